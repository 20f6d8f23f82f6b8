{{ config(tags=[target.host]) }} select 1 as id
