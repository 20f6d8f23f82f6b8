-- One row for each month in which a subscription was active, priced in euros at the list price.
with months as (
    select distinct rate_month as month from {{ ref('stg_reference__fx_rates') }}
)

select
    subscriptions.subscription_id,
    subscriptions.customer_id,
    subscriptions.plan_code,
    months.month,
    subscriptions.seats,
    cast(subscriptions.seats * plans.monthly_price_eur as number(14, 2)) as mrr_eur,
    months.month = subscriptions.started_on as is_first_month
from {{ ref('stg_billing__subscriptions') }} as subscriptions
inner join {{ ref('plans') }} as plans on subscriptions.plan_code = plans.plan_code
inner join months
    on months.month >= subscriptions.started_on
    and (subscriptions.cancelled_on is null or months.month < subscriptions.cancelled_on)
