-- How far down the funnel each session came. A later step counts only if every earlier one was taken.
with reached as (
    select distinct events.session_id, steps.step
    from {{ ref('int_events_sessionised') }} as events
    inner join {{ ref('funnel_steps') }} as steps on events.event_name = steps.event_name
),

numbered as (
    select session_id, step, row_number() over (partition by session_id order by step) as position
    from reached
)

select session_id, max(step) as furthest_step
from numbered
where step = position
group by session_id
