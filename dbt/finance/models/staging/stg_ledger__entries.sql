select
    id as entry_id,
    document,
    split_part(document, '-', 1) as document_type,
    cast(split_part(document, '-', 2) as integer) as document_number,
    booked_on,
    currency,
    account as account_code,
    cast(debit_cents / 100 as number(14, 2)) as debit,
    cast(credit_cents / 100 as number(14, 2)) as credit,
    _loaded_at as loaded_at
from {{ source('ledger', 'entries') }}
