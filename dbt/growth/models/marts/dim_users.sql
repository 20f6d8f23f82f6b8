select
    users.user_id,
    users.email,
    users.country,
    users.plan,
    users.created_at,
    count(sessions.session_id) as sessions,
    min(sessions.started_at) as first_seen_at,
    max(sessions.ended_at) as last_seen_at,
    (array_agg(sessions.channel order by sessions.started_at))[1] as first_channel
from {{ ref('stg_web__users') }} as users
left join {{ ref('fct_sessions') }} as sessions on users.user_id = sessions.user_id
group by users.user_id, users.email, users.country, users.plan, users.created_at
