{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key='session_id') }}

-- Late events change sessions that were built already: the last days are built again in each run.
with sessions as (
    select
        session_id,
        min(visitor_id) as visitor_id,
        min(occurred_at) as started_at,
        max(occurred_at) as ended_at,
        count(*) as events,
        (array_agg(utm_source order by occurred_at, event_id))[1] as utm_source,
        (array_agg(campaign order by occurred_at, event_id))[1] as campaign
    from {{ ref('int_events_sessionised') }}
    group by session_id
)

select
    sessions.session_id,
    sessions.visitor_id,
    users.user_id,
    sessions.started_at,
    sessions.ended_at,
    sessions.events,
    sessions.utm_source,
    sessions.campaign,
    channels.channel,
    coalesce(steps.furthest_step, 0) as furthest_step,
    coalesce(steps.furthest_step, 0) >= 5 as is_purchase
from sessions
left join {{ ref('int_session_steps') }} as steps on sessions.session_id = steps.session_id
left join {{ ref('int_visitor_users') }} as users on sessions.visitor_id = users.visitor_id
left join {{ ref('channels') }} as channels on sessions.utm_source = channels.utm_source

{% if is_incremental() %}
where sessions.started_at >= (
    select max(started_at) - {{ var('lookback_days') }} * interval '1 day' from {{ this }}
)
{% endif %}
