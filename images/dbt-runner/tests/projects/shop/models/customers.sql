select distinct customer_id as id from {{ ref('stg_orders') }}
