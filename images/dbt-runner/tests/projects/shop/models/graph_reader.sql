select '{{ graph.nodes.values() | selectattr("resource_type", "equalto", "model") | list | length }}'::int as models,
  '{{ called_by_name("answer") }}'::int as answer
