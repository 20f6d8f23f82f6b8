select
    id as subscription_id,
    customer_id,
    plan_code,
    seats,
    started_on,
    cancelled_on,
    _loaded_at as loaded_at
from {{ source('billing', 'subscriptions') }}
