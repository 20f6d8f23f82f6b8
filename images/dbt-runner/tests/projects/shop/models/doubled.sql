{{ config(materialized='ephemeral') }} select id, customer_id, {{ util.doubled('amount') }} as amount from {{ ref('large') }}
