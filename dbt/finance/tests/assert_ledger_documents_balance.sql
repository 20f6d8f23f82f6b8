-- Double entry: debit equals credit in every document.
select document, debit, credit
from {{ ref('int_ledger_documents') }}
where debit <> credit
