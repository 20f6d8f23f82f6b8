-- No step of the funnel has more sessions than the step before it.
select *
from {{ ref('funnel_weekly') }}
where from_previous_step > 1
