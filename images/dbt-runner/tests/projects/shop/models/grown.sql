{{ config(materialized='incremental', unique_key='id') }}
select id, amount, {% if is_incremental() %}'again'{% else %}'first'{% endif %} as how from {{ ref('stg_orders') }}
{% if is_incremental() %}where id > (select max(id) - 1 from {{ this }}){% endif %}
