-- A session is a visitor's events with no pause longer than the timeout between them; its id is its first event's.
with gaps as (
    select
        *,
        lag(occurred_at) over visitor_events as previous_at
    from {{ ref('stg_web__events') }}
    window visitor_events as (partition by visitor_id order by occurred_at, event_id)
),

starts as (
    select
        *,
        previous_at is null
            or occurred_at - previous_at > {{ var('session_timeout_minutes') }} * interval '1 minute' as is_start
    from gaps
)

select
    event_id,
    visitor_id,
    user_id,
    event_name,
    page,
    utm_source,
    campaign,
    occurred_at,
    max(case when is_start then event_id end) over (
        partition by visitor_id order by occurred_at, event_id rows unbounded preceding
    ) as session_id
from starts
