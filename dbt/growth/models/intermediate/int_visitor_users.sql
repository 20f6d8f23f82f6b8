-- The user that a visitor turned out to be: events before the sign-up belong to him too.
select visitor_id, min(user_id) as user_id, min(occurred_at) as identified_at
from {{ ref('stg_web__events') }}
where user_id is not null
group by visitor_id
