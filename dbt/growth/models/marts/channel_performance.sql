select
    channel,
    count(*) as sessions,
    count(distinct visitor_id) as visitors,
    count(*) filter (where furthest_step >= 4) as signups,
    count(*) filter (where is_purchase) as purchases,
    round(count(*) filter (where is_purchase)::numeric / count(*), 4) as purchase_rate
from {{ ref('fct_sessions') }}
group by channel
