select * from {{ ref('lines', v=2) }} join {{ ref('countries') }} using (id)
