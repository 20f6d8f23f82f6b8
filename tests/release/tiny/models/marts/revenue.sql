{{ config(tags=["heavy"], meta={"owner": "ana", "wherry": {"retries": 1}}) }}
select sum(amount) as amount from {{ ref("stg_orders") }}
