{{ config(snowflake_warehouse='HEAVY_WH', tags=['heavy']) }}

-- Monthly recurring revenue of a customer, and what moved it since the month before.
with monthly as (
    select customer_id, month, sum(mrr_eur) as mrr_eur
    from {{ ref('int_subscription_months') }}
    group by customer_id, month
),

compared as (
    select
        customer_id,
        month,
        cast(mrr_eur as number(14, 2)) as mrr_eur,
        lag(mrr_eur) over (partition by customer_id order by month) as previous_mrr_eur
    from monthly
)

select
    customer_id,
    month,
    mrr_eur,
    cast(mrr_eur - coalesce(previous_mrr_eur, 0) as number(14, 2)) as change_eur,
    case
        when previous_mrr_eur is null then 'new'
        when mrr_eur > previous_mrr_eur then 'expansion'
        when mrr_eur < previous_mrr_eur then 'contraction'
        else 'unchanged'
    end as movement
from compared
