-- Each document of billing against its document in the ledger; a difference is somebody's mistake.
with documents as (
    select 'INV' as document_type, invoice_id as document_number, currency, gross_amount as billing_amount
    from {{ ref('stg_billing__invoices') }}

    union all

    select 'PAY', payment_id, currency, -amount
    from {{ ref('stg_billing__payments') }}
)

select
    coalesce(documents.document_type, ledger.document_type) as document_type,
    coalesce(documents.document_number, ledger.document_number) as document_number,
    coalesce(documents.currency, ledger.currency) as currency,
    documents.billing_amount,
    ledger.receivable_change as ledger_amount,
    coalesce(documents.billing_amount, 0) - coalesce(ledger.receivable_change, 0) as difference
from documents
full outer join {{ ref('int_ledger_documents') }} as ledger
    on documents.document_type = ledger.document_type
    and documents.document_number = ledger.document_number
