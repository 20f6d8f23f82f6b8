select
    invoice_id,
    count(*) as payments,
    cast(sum(amount) as number(14, 2)) as paid_amount,
    max(paid_on) as last_paid_on,
    max(loaded_at) as loaded_at
from {{ ref('stg_billing__payments') }}
group by invoice_id
