with subscriptions as (
    select
        customer_id,
        count(*) as subscriptions,
        count_if(cancelled_on is null) as active_subscriptions,
        min(started_on) as first_subscribed_on
    from {{ ref('stg_billing__subscriptions') }}
    group by customer_id
)

select
    cast(customers.customer_id as integer) as customer_id,
    cast(customers.customer_name as varchar(100)) as customer_name,
    cast(customers.country as varchar(2)) as country,
    cast(customers.currency as varchar(3)) as currency,
    cast(customers.signed_up_on as date) as signed_up_on,
    cast(subscriptions.first_subscribed_on as date) as first_subscribed_on,
    cast(coalesce(subscriptions.subscriptions, 0) as integer) as subscriptions,
    cast(coalesce(subscriptions.active_subscriptions, 0) > 0 as boolean) as is_active
from {{ ref('stg_billing__customers') }} as customers
left join subscriptions on customers.customer_id = subscriptions.customer_id
