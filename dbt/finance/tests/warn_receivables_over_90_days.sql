{{ config(severity='warn') }}

-- Old debts don't stop the pipeline, but somebody should call these customers.
select invoice_id, customer_id, days_overdue, open_amount_eur
from {{ ref('receivables_ageing') }}
where ageing_bucket = 'over 90 days'
