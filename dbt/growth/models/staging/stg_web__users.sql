select
    id as user_id,
    lower(email) as email,
    country,
    plan,
    created_at
from {{ source('web', 'users') }}
