select * from {{ ref('raw_orders') }} join {{ ref('stg_items') }} using (id)
