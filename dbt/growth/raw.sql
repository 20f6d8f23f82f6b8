-- What the event collector and the ads loader would have put into the warehouse before dbt runs. Event times are fixed,
-- so that results are the same on every day; _loaded_at is relative to now, so that source freshness means something.
-- Safe to run again: each table is filled anew, and stays in place for the views that read it.

-- One pod a dbt node, many at once: `create schema if not exists` in two of them can collide in PostgreSQL. Made here.
create schema if not exists analytics;
create schema if not exists raw_web;
create schema if not exists raw_ads;

create table if not exists raw_web.users (
    id integer primary key, email text, country text, plan text, created_at timestamp, _loaded_at timestamp
);
create table if not exists raw_web.events (
    id integer primary key, visitor_id text, user_id integer, event_name text, page text, utm_source text, utm_campaign text,
    occurred_at timestamp, _loaded_at timestamp
);
create table if not exists raw_ads.spend (
    day date, campaign text, utm_source text, impressions integer, clicks integer, cost_eur numeric(12, 2),
    _loaded_at timestamp
);
truncate raw_web.users, raw_web.events, raw_ads.spend;

-- 600 visits of 180 visitors within eight weeks. Chance is played by the digits of an md5, so it falls the same everywhere.
-- A visit walks down the funnel, a step every few minutes; a visitor who has signed up once is a user from then on.
insert into raw_web.events
with dice as (
    select n, ('x' || substr(md5('visit' || n), 1, 8))::bit(32)::bigint as a, ('x' || substr(md5('visit' || n), 9, 8))::bit(32)::bigint as b
    from generate_series(1, 600) as n
),
visits as (
    select
        n,
        1 + least(a % 180, b % 260) as visitor,
        timestamp '2026-09-07' + (b % 56) * interval '1 day' + (7 * 60 + a % 840) * interval '1 minute' as started_at,
        (array['google', 'google', 'google', 'linkedin', 'linkedin', 'newsletter', 'partner', null, null])[1 + a / 7 % 9] as utm_source,
        a / 1000 % 100 as luck,
        1 + b / 100 % 6 as pace
    from dice
),
walked as (
    select
        *,
        case when luck + case utm_source when 'newsletter' then 12 when 'partner' then 8 when 'linkedin' then -6 else 0 end >= 96 then 5
            when luck >= 86 then 4 when luck >= 72 then 3 when luck >= 45 then 2 else 1
        end as depth
    from visits
),
steps as (
    select v.*, s as step, v.started_at + (s - 1) * v.pace * interval '1 minute' as occurred_at
    from walked as v
    cross join generate_series(1, v.depth) as s
)
select
    row_number() over (order by occurred_at, n, step),
    'v' || lpad(visitor::text, 4, '0'),
    case when step >= 4 then visitor end,
    (array['page_view', 'pricing_view', 'signup_start', 'signup_complete', 'plan_purchase'])[step],
    (array['/', '/pricing', '/signup', '/signup/done', '/checkout'])[step],
    utm_source,
    case when utm_source in ('google', 'linkedin') then utm_source || '_' || (array['brand', 'trial'])[1 + n % 2] end,
    occurred_at,
    (now() at time zone 'utc') - interval '20 minutes'
from steps;

insert into raw_web.users
select
    user_id,
    'user' || user_id || '@example.com',
    (array['DE', 'PT', 'FR', 'GB', 'US'])[1 + user_id % 5],
    case when bool_or(event_name = 'plan_purchase') then 'paid' else 'trial' end,
    min(occurred_at),
    (now() at time zone 'utc') - interval '15 minutes'
from raw_web.events
where user_id is not null
group by user_id;

insert into raw_ads.spend
select
    day::date,
    source || '_' || name,
    source,
    800 + (extract(doy from day)::int * 17 + length(source) * 31 + length(name) * 7) % 400,
    20 + (extract(doy from day)::int * 5 + length(source)) % 25,
    round((12 + (extract(doy from day)::int * 3 + length(source) * 2) % 18)::numeric * 1.15, 2),
    (now() at time zone 'utc') - interval '40 minutes'
from generate_series(timestamp '2026-09-07', timestamp '2026-11-01', interval '1 day') as day
cross join unnest(array['google', 'linkedin']) as source
cross join unnest(array['brand', 'trial']) as name;
