{{ config(snowflake_warehouse='HEAVY_WH', tags=['heavy']) }}

with invoiced as (
    select
        date_trunc('month', issued_on) as month,
        count(*) as invoices,
        cast(sum(net_amount_eur) as number(16, 2)) as revenue_eur
    from {{ ref('fct_invoices') }}
    group by 1
),

recurring as (
    select
        month,
        count(distinct customer_id) as customers,
        cast(sum(mrr_eur) as number(16, 2)) as mrr_eur
    from {{ ref('fct_mrr') }}
    group by month
)

select
    cast(invoiced.month as date) as month,
    invoiced.invoices,
    invoiced.revenue_eur,
    recurring.customers,
    recurring.mrr_eur
from invoiced
left join recurring on invoiced.month = recurring.month
