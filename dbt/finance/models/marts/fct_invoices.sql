{{ config(materialized='incremental', incremental_strategy='merge', unique_key='invoice_id', on_schema_change='append_new_columns') }}

-- An invoice changes when a payment for it arrives: it is merged again whenever either was loaded since the last run.
select
    invoices.invoice_id,
    invoices.subscription_id,
    invoices.customer_id,
    invoices.currency,
    invoices.issued_on,
    invoices.due_on,
    invoices.gross_amount,
    invoices.net_amount_eur,
    invoices.gross_amount_eur,
    coalesce(payments.paid_amount, 0) as paid_amount,
    cast(invoices.gross_amount - coalesce(payments.paid_amount, 0) as number(14, 2)) as open_amount,
    cast(round((invoices.gross_amount - coalesce(payments.paid_amount, 0)) * invoices.rate_to_eur, 2) as number(14, 2))
        as open_amount_eur,
    payments.last_paid_on,
    case
        when coalesce(payments.paid_amount, 0) >= invoices.gross_amount then 'paid'
        when coalesce(payments.paid_amount, 0) > 0 then 'part_paid'
        else 'open'
    end as invoice_status,
    greatest(invoices.loaded_at, coalesce(payments.loaded_at, invoices.loaded_at)) as loaded_at
from {{ ref('int_invoices_converted') }} as invoices
left join {{ ref('int_invoice_payments') }} as payments on invoices.invoice_id = payments.invoice_id

{% if is_incremental() %}
where greatest(invoices.loaded_at, coalesce(payments.loaded_at, invoices.loaded_at))
    >= (select max(loaded_at) from {{ this }})
{% endif %}
