-- Sessions and accounts come by different ways: they must tell the same story.
select sessions.session_id, users.user_id, users.plan
from {{ ref('fct_sessions') }} as sessions
inner join {{ ref('stg_web__users') }} as users on sessions.user_id = users.user_id
where sessions.is_purchase and users.plan <> 'paid'
