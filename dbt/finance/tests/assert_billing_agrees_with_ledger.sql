-- Nothing is billed that is not booked, and the other way round.
select *
from {{ ref('ledger_reconciliation') }}
where difference <> 0
