{{ config(snowflake_warehouse='HEAVY_WH', tags=['heavy']) }}

with invoiced as (
    select
        customer_id,
        count(*) as invoices,
        cast(sum(net_amount_eur) as number(16, 2)) as lifetime_value_eur,
        cast(sum(open_amount_eur) as number(16, 2)) as open_amount_eur
    from {{ ref('fct_invoices') }}
    group by customer_id
)

select
    customers.customer_id,
    customers.customer_name,
    customers.country,
    customers.is_active,
    coalesce(invoiced.invoices, 0) as invoices,
    coalesce(invoiced.lifetime_value_eur, 0) as lifetime_value_eur,
    coalesce(invoiced.open_amount_eur, 0) as open_amount_eur,
    rank() over (order by coalesce(invoiced.lifetime_value_eur, 0) desc, customers.customer_id) as value_rank
from {{ ref('dim_customers') }} as customers
left join invoiced on customers.customer_id = invoiced.customer_id
