{{/* What the schema can't say: rules between values. Each message names the value and what to do. */}}
{{- define "airflow.check" -}}
{{- $v := .Values -}}
{{- if not $v.database.internal -}}
  {{- if not $v.database.host -}}
    {{- fail "database.host: empty, but database.internal is false. Name the external database's host." -}}
  {{- end -}}
  {{- if not $v.database.existingSecret -}}
    {{- fail "database.existingSecret: empty, but database.internal is false. Name the Secret that holds the password." -}}
  {{- end -}}
{{- else if $v.database.host -}}
  {{- fail (printf "database.host: it is %s, but database.internal is true. Set database.internal=false to use it." $v.database.host) -}}
{{- end -}}
{{- if and (eq $v.executor "CeleryExecutor") (not $v.redis.internal) (not $v.redis.existingSecret) -}}
  {{- fail "redis.existingSecret: empty, but redis.internal is false. Name the Secret that holds broker-url and result-backend." -}}
{{- end -}}
{{- with $v.releases -}}
{{- if and (eq .source "git") (not .git.url) -}}
  {{- fail "releases.git.url: empty, but releases.source is git. Give the deploy repository's address." -}}
{{- end -}}
{{- if and (eq .source "volume") (eq (empty .volume.existingClaim) (empty .volume.hostPath)) -}}
  {{- fail "releases.volume: give either existingClaim or hostPath, as releases.source is volume." -}}
{{- end -}}
{{- end -}}
{{- with $v.apiServer -}}
{{- if and .ingress.enabled (not .ingress.host) -}}
  {{- fail "apiServer.ingress.host: empty, but the Ingress is enabled. Give the host." -}}
{{- end -}}
{{- if and .httpRoute.enabled (not .httpRoute.parentRefs) -}}
  {{- fail "apiServer.httpRoute.parentRefs: empty, but the route is enabled. Name the Gateway." -}}
{{- end -}}
{{- end -}}
{{- range $name, $scaled := dict "apiServer" $v.apiServer.autoscaling "workers" $v.workers.autoscaling -}}
{{- if gt (int $scaled.minReplicas) (int $scaled.maxReplicas) -}}
  {{- fail (printf "%s.autoscaling.minReplicas: %v is more than maxReplicas, which is %v." $name $scaled.minReplicas $scaled.maxReplicas) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $v.auth.manager "other") (not (dig "core" "auth_manager" "" $v.config)) -}}
  {{- fail "config.core.auth_manager: empty, but auth.manager is other. Name the auth manager's class." -}}
{{- end -}}
{{- with $v.auth -}}
{{- if and (ne .manager "fab") (or (ne .login "db") .roles .config) -}}
  {{- fail (printf "auth.manager: it is %s, but auth.login, auth.roles and auth.config are for fab. Set auth.manager=fab." .manager) -}}
{{- end -}}
{{- if and .roles (not (has .login (list "oauth" "ldap"))) -}}
  {{- fail (printf "auth.roles: groups come from oauth or ldap, but auth.login is %s. Give roles with `airflow users create --role`." .login) -}}
{{- end -}}
{{- range $login, $setting := dict "oauth" "OAUTH_PROVIDERS" "ldap" "AUTH_LDAP_SERVER" -}}
{{- if and (eq $.Values.auth.login $login) (not (contains $setting $.Values.auth.config)) -}}
  {{- fail (printf "auth.config: it sets no %s, but auth.login is %s. Name the identity provider." $setting $login) -}}
{{- end -}}
{{- end -}}
{{- range $group, $roles := .roles -}}
{{- range $role := $roles -}}
  {{- if and (hasPrefix "team-" $role) (not (hasKey $v.teams (trimPrefix "team-" $role))) -}}
    {{- fail (printf "auth.roles.%s: found the role %s, but teams has no %s. Give its file, or mend the name." $group $role (trimPrefix "team-" $role)) -}}
  {{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $text := $v.teams -}}
  {{- $team := fromYaml $text -}}
  {{- if hasKey $team "Error" -}}
    {{- fail (printf "teams.%s: not a team file: %s. Give the file with --set-file teams.%s=k8s/teams/%s.yaml." $name $team.Error $name $name) -}}
  {{- end -}}
  {{- if ne (toString $team.name) $name -}}
    {{- fail (printf "teams.%s: the file is team %v's. The key must be the team's name." $name $team.name) -}}
  {{- end -}}
  {{- if not $team.namespace -}}
    {{- fail (printf "teams.%s: the file names no namespace." $name) -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{/* The teams' namespaces, as a JSON list. */}}
{{- define "airflow.teamNamespaces" -}}
{{- $namespaces := list -}}
{{- range .Values.teams -}}{{- $namespaces = append $namespaces (fromYaml .).namespace -}}{{- end -}}
{{- $namespaces | uniq | sortAlpha | toJson -}}
{{- end }}
