{{ config(schema='side') }} select 1 as id, pg_sleep({{ env_var('SLEEP', '60') }})::text as slept
