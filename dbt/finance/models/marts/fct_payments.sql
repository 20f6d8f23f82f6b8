select
    payments.payment_id,
    payments.invoice_id,
    payments.payment_method,
    payments.paid_on,
    payments.currency,
    payments.amount,
    cast(round(payments.amount * rates.rate_to_eur, 2) as number(14, 2)) as amount_eur
from {{ ref('stg_billing__payments') }} as payments
left join {{ ref('stg_reference__fx_rates') }} as rates
    on payments.currency = rates.currency
    and date_trunc('month', payments.paid_on) = rates.rate_month
