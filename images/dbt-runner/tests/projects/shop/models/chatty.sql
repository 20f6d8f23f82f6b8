{% do log("the token is " ~ env_var("API_TOKEN", "unset"), info=true) %}
select {{ env_var("API_TOKEN", "unset") }} as id
