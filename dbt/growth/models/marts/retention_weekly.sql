-- Of the visitors who first came in a week, how many came back so many weeks later.
with weeks as (
    select distinct visitor_id, cast(date_trunc('week', started_at) as date) as week
    from {{ ref('fct_sessions') }}
),

cohorts as (
    select visitor_id, min(week) as cohort_week
    from weeks
    group by visitor_id
)

select
    cohorts.cohort_week,
    (weeks.week - cohorts.cohort_week) / 7 as weeks_later,
    count(*) as visitors
from weeks
inner join cohorts on weeks.visitor_id = cohorts.visitor_id
group by 1, 2
