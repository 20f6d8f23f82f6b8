select
    invoices.invoice_id,
    invoices.subscription_id,
    invoices.customer_id,
    invoices.currency,
    invoices.issued_on,
    invoices.due_on,
    invoices.net_amount,
    invoices.gross_amount,
    cast(round(invoices.net_amount * rates.rate_to_eur, 2) as number(14, 2)) as net_amount_eur,
    cast(round(invoices.gross_amount * rates.rate_to_eur, 2) as number(14, 2)) as gross_amount_eur,
    rates.rate_to_eur,
    invoices.loaded_at
from {{ ref('stg_billing__invoices') }} as invoices
left join {{ ref('stg_reference__fx_rates') }} as rates
    on invoices.currency = rates.currency
    and date_trunc('month', invoices.issued_on) = rates.rate_month
