select * from {{ ref('orders') }} o join {{ ref('customers') }} c on c.id = o.customer_id where o.amount < 0
