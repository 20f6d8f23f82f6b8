select 1 as id, 'one'::text as label
