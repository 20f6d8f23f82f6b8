select
    id as customer_id,
    company as customer_name,
    lower(email) as billing_email,
    country,
    currency,
    signed_up_on,
    _loaded_at as loaded_at
from {{ source('billing', 'customers') }}
