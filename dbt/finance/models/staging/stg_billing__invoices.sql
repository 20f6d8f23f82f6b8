select
    id as invoice_id,
    subscription_id,
    customer_id,
    currency,
    issued_on,
    due_on,
    cast(net_cents / 100 as number(14, 2)) as net_amount,
    cast(vat_cents / 100 as number(14, 2)) as vat_amount,
    cast((net_cents + vat_cents) / 100 as number(14, 2)) as gross_amount,
    _loaded_at as loaded_at
from {{ source('billing', 'invoices') }}
