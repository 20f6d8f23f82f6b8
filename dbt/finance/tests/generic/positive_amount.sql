{% test positive_amount(model, column_name) %}
-- An amount of money that must be above zero.
select * from {{ model }} where {{ column_name }} is null or {{ column_name }} <= 0
{% endtest %}
