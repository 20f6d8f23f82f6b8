{% snapshot orders_history %}
{{ config(unique_key='id', strategy='check', check_cols=['amount'], schema='history') }}
select id, amount from {{ ref('stg_orders') }}
{% endsnapshot %}
