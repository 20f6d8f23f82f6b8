select
    plans.plan_code,
    plans.plan_name,
    plans.tier,
    plans.monthly_price_eur,
    count(subscriptions.subscription_id) as subscriptions,
    count_if(subscriptions.subscription_id is not null and subscriptions.cancelled_on is null) as active_subscriptions
from {{ ref('plans') }} as plans
left join {{ ref('stg_billing__subscriptions') }} as subscriptions on plans.plan_code = subscriptions.plan_code
group by plans.plan_code, plans.plan_name, plans.tier, plans.monthly_price_eur
