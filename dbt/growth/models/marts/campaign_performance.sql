with spend as (
    select campaign, sum(impressions) as impressions, sum(clicks) as clicks, sum(cost_eur) as cost_eur
    from {{ ref('stg_ads__spend') }}
    group by campaign
),

results as (
    select campaign, count(*) as sessions, count(*) filter (where is_purchase) as purchases
    from {{ ref('fct_sessions') }}
    where campaign is not null
    group by campaign
)

select
    spend.campaign,
    spend.impressions,
    spend.clicks,
    spend.cost_eur,
    coalesce(results.sessions, 0) as sessions,
    coalesce(results.purchases, 0) as purchases,
    round(spend.cost_eur / nullif(results.purchases, 0), 2) as cost_per_purchase_eur
from spend
left join results on spend.campaign = results.campaign
