select * from {{ ref('orders') }} join {{ source('raw', 'items') }} using (id)
