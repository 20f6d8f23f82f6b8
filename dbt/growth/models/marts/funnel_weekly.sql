-- Of the sessions that began in a week: how many came to each step, and how many of those at the step before went on.
with counted as (
    select
        cast(date_trunc('week', sessions.started_at) as date) as week,
        steps.step,
        steps.step_name,
        count(*) filter (where sessions.furthest_step >= steps.step) as sessions
    from {{ ref('fct_sessions') }} as sessions
    cross join {{ ref('funnel_steps') }} as steps
    group by 1, 2, 3
)

select
    week,
    step,
    step_name,
    sessions,
    round(sessions::numeric / nullif(lag(sessions) over (partition by week order by step), 0), 4) as from_previous_step
from counted
