select
    id as payment_id,
    invoice_id,
    currency,
    cast(amount_cents / 100 as number(14, 2)) as amount,
    method as payment_method,
    paid_on,
    _loaded_at as loaded_at
from {{ source('billing', 'payments') }}
