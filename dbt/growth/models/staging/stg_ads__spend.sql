select
    day,
    campaign,
    utm_source,
    impressions,
    clicks,
    cost_eur
from {{ source('ads', 'spend') }}
