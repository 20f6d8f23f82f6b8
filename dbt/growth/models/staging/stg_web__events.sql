select
    id as event_id,
    visitor_id,
    user_id,
    event_name,
    page,
    coalesce(utm_source, 'direct') as utm_source,
    utm_campaign as campaign,
    occurred_at,
    _loaded_at as loaded_at
from {{ source('web', 'events') }}
