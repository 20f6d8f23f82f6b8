-- The euro is its own rate: with it in the table, every amount converts by the same join.
select rate_month, currency, rate_to_eur
from {{ ref('fx_rates') }}

union all

select distinct rate_month, 'EUR' as currency, cast(1 as number(12, 4)) as rate_to_eur
from {{ ref('fx_rates') }}
