{% macro called_by_name(name) %}{{ return(context[name]()) }}{% endmacro %}
{% macro answer() %}42{% endmacro %}
