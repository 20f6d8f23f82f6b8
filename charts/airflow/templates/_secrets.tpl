{{/* Which Secret holds what, and values for those that the chart makes. */}}

{{/* The Secret of a value: (list $ .Values.keys.fernet "keys"). */}}
{{- define "airflow.secretName" -}}
{{ default (printf "%s-%s" (include "airflow.fullname" (index . 0)) (index . 2)) (index . 1).existingSecret }}
{{- end }}

{{/* A reference to a key of it: (list $ .Values.keys.fernet "keys"). */}}
{{- define "airflow.secretKeyRef" -}}
secretKeyRef:
  name: {{ include "airflow.secretName" . }}
  key: {{ (index . 1).key }}
{{- end }}

{{/* What a Secret of this release holds already, base64; otherwise something new: (list $ "keys" "jwt-secret" 48); a fifth item
asks for the characters in base64, as Fernet wants its 32 bytes.
What was generated once stays: an upgrade or a rollback that changed it would log everyone out, or lose every connection. */}}
{{- define "airflow.kept" -}}
{{- $root := index . 0 -}}
{{- $name := printf "%s-%s" (include "airflow.fullname" $root) (index . 1) -}}
{{- $found := dig "data" (index . 2) "" (default dict (lookup "v1" "Secret" $root.Release.Namespace $name)) -}}
{{- $new := randAlphaNum (int (index . 3)) -}}
{{- if gt (len .) 4 }}{{ $new = b64enc $new }}{{ end -}}
{{- default (b64enc $new) $found -}}
{{- end }}

{{/* Metadata of a generated Secret: (list $ "keys"). It outlives the release, as the data that it opens does. */}}
{{- define "airflow.secretMetadata" -}}
name: {{ include "airflow.fullname" (first .) }}-{{ last . }}
namespace: {{ (first .).Release.Namespace }}
labels:
  {{- include "airflow.labels" . | nindent 2 }}
annotations:
  helm.sh/resource-policy: keep
{{- end }}
