select
    cast(started_at as date) as day,
    count(distinct visitor_id) as visitors,
    count(distinct user_id) as users,
    count(*) as sessions
from {{ ref('fct_sessions') }}
group by 1
