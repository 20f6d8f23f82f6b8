select
    document,
    document_type,
    document_number,
    currency,
    min(booked_on) as booked_on,
    cast(sum(debit) as number(14, 2)) as debit,
    cast(sum(credit) as number(14, 2)) as credit,
    cast(sum(case when account_code = '1200' then debit - credit else 0 end) as number(14, 2)) as receivable_change
from {{ ref('stg_ledger__entries') }}
group by document, document_type, document_number, currency
