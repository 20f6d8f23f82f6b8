{{ config(alias=env_var('ALIAS', 'plain')) }} select 1 as id
