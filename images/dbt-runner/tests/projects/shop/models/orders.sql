select * from {{ ref('doubled') }}
