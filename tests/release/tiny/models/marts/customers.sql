select o.id, c.name
from {{ ref("stg_orders") }} as o
join {{ source("crm", "customers") }} as c on c.id = o.id
