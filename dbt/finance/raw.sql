-- What the loaders of two source systems would have put into the warehouse before dbt runs: the billing system's tables
-- and the ledger's. Business dates are fixed, so that results are the same on every day; _loaded_at is relative to now,
-- so that source freshness means something. Safe to run again: each table is replaced.

create schema if not exists analytics;
create schema if not exists raw_billing;
create schema if not exists raw_ledger;

create or replace table raw_billing.customers as
with numbers as (
    select row_number() over (order by seq4()) as n from table(generator(rowcount => 30))
)
select
    n as id,
    split_part('Harbour,Lantern,Tern,Quay,Cedar,Granite', ',', mod(n, 6) + 1)
        || ' ' || split_part('Foods,Freight,Labs,Textiles,Optics', ',', mod(n, 5) + 1) as company,
    'billing+' || n || '@example.com' as email,
    split_part('DE,PT,FR,GB,US,CH', ',', mod(n * 5, 6) + 1) as country,
    split_part('EUR,EUR,EUR,GBP,USD,CHF', ',', mod(n * 5, 6) + 1) as currency,
    dateadd(day, mod(n * 11, 240), to_date('2024-03-04')) as signed_up_on,
    dateadd(hour, -2, current_timestamp())::timestamp_ntz as _loaded_at
from numbers;

create or replace table raw_billing.subscriptions as
with numbers as (
    select row_number() over (order by seq4()) as n from table(generator(rowcount => 36))
),
planned as (
    select
        n as id,
        mod(n - 1, 30) + 1 as customer_id,
        split_part('starter,team,team,business,enterprise', ',', mod(n * 3, 5) + 1) as plan_code,
        1 + mod(n * 7, 4) as seats,
        12 + mod(n * 5, 14) as starts_after_months,
        case when mod(n, 5) = 0 then 4 + mod(n, 7) end as months_kept
    from numbers
)
select
    id,
    customer_id,
    plan_code,
    seats,
    dateadd(month, starts_after_months - 12, to_date('2025-01-01')) as started_on,
    dateadd(month, starts_after_months - 12 + months_kept, to_date('2025-01-01')) as cancelled_on,
    dateadd(hour, -2, current_timestamp())::timestamp_ntz as _loaded_at
from planned;

-- One invoice for each month that a subscription was active, in the customer's currency, in cents.
create or replace table raw_billing.invoices as
with months as (
    select row_number() over (order by seq4()) - 1 as k from table(generator(rowcount => 22))
),
billed as (
    select
        s.id as subscription_id,
        s.customer_id,
        c.currency,
        dateadd(month, m.k, to_date('2025-01-01')) as issued_on,
        s.seats * case s.plan_code when 'starter' then 4900 when 'team' then 19000 when 'business' then 52000 else 145000 end
            as net_cents,
        case c.country when 'US' then 0 when 'CH' then 8 else 20 end as vat_percent
    from raw_billing.subscriptions as s
    inner join raw_billing.customers as c on s.customer_id = c.id
    inner join months as m
        on dateadd(month, m.k, to_date('2025-01-01')) >= s.started_on
        and dateadd(month, m.k, to_date('2025-01-01')) < coalesce(s.cancelled_on, to_date('2026-11-01'))
)
select
    row_number() over (order by issued_on, subscription_id) as id,
    subscription_id,
    customer_id,
    currency,
    issued_on,
    dateadd(day, 14, issued_on) as due_on,
    net_cents,
    floor(net_cents * vat_percent / 100) as vat_cents,
    dateadd(minute, -90, current_timestamp())::timestamp_ntz as _loaded_at
from billed;

-- Most invoices are paid around their due date, every 17th in two halves, every 23rd not at all.
create or replace table raw_billing.payments as
with paid as (
    select
        id as invoice_id,
        currency,
        net_cents + vat_cents as gross_cents,
        dateadd(day, mod(id * 5, 13) - 6, due_on) as paid_on,
        split_part('card,sepa,transfer', ',', mod(id, 3) + 1) as method,
        mod(id, 17) = 0 as in_two_parts
    from raw_billing.invoices
    where mod(id, 23) <> 0
),
parts as (
    select invoice_id, currency, paid_on, method, 1 as part,
        case when in_two_parts then floor(gross_cents / 2) else gross_cents end as amount_cents
    from paid
    union all
    select invoice_id, currency, dateadd(day, 20, paid_on), method, 2, gross_cents - floor(gross_cents / 2)
    from paid
    where in_two_parts
)
select
    invoice_id * 10 + part as id,
    invoice_id,
    currency,
    amount_cents,
    method,
    paid_on,
    dateadd(minute, -75, current_timestamp())::timestamp_ntz as _loaded_at
from parts
where paid_on <= to_date('2026-10-31');

-- The ledger books what billing reports, both sides of it, in the invoice's currency.
create or replace table raw_ledger.entries as
with lines as (
    select 'INV-' || id as document, issued_on as booked_on, currency, '1200' as account, net_cents + vat_cents as debit_cents, 0 as credit_cents
    from raw_billing.invoices
    union all
    select 'INV-' || id, issued_on, currency, '4000', 0, net_cents from raw_billing.invoices
    union all
    select 'INV-' || id, issued_on, currency, '2200', 0, vat_cents from raw_billing.invoices where vat_cents > 0
    union all
    select 'PAY-' || id, paid_on, currency, '1000', amount_cents, 0 from raw_billing.payments
    union all
    select 'PAY-' || id, paid_on, currency, '1200', 0, amount_cents from raw_billing.payments
)
select
    row_number() over (order by booked_on, document, account) as id,
    document,
    booked_on,
    currency,
    account,
    debit_cents,
    credit_cents,
    dateadd(minute, -60, current_timestamp())::timestamp_ntz as _loaded_at
from lines;
