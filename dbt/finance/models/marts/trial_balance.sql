select
    accounts.account_code,
    accounts.account_name,
    entries.currency,
    cast(sum(entries.debit) as number(16, 2)) as debit,
    cast(sum(entries.credit) as number(16, 2)) as credit,
    cast(
        case when accounts.normal_side = 'debit' then sum(entries.debit - entries.credit) else sum(entries.credit - entries.debit) end
        as number(16, 2)
    ) as balance
from {{ ref('stg_ledger__entries') }} as entries
inner join {{ ref('gl_accounts') }} as accounts on entries.account_code = accounts.account_code
group by accounts.account_code, accounts.account_name, accounts.normal_side, entries.currency
