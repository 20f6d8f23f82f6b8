{% macro doubled(column) %}{{ return(adapter.dispatch('doubled', 'util')(column)) }}{% endmacro %}
{% macro default__doubled(column) %}{{ column }} + {{ column }}{% endmacro %}
{% macro postgres__doubled(column) %}2 * {{ column }}{% endmacro %}
