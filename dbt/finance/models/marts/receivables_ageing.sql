select
    invoice_id,
    customer_id,
    due_on,
    open_amount_eur,
    datediff('day', due_on, to_date('{{ var("as_of") }}')) as days_overdue,
    case
        when datediff('day', due_on, to_date('{{ var("as_of") }}')) <= 0 then 'not due'
        when datediff('day', due_on, to_date('{{ var("as_of") }}')) <= 30 then '1-30 days'
        when datediff('day', due_on, to_date('{{ var("as_of") }}')) <= 90 then '31-90 days'
        else 'over 90 days'
    end as ageing_bucket
from {{ ref('fct_invoices') }}
where open_amount > 0
