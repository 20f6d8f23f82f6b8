select null::int as id union all select 1
