{{/* What components have besides a pod. */}}

{{/* A Deployment around a pod; takes the pod's keys, and `autoscaled`. */}}
{{- define "airflow.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "airflow.metadata" (list .root .component) | nindent 2 }}
spec:
  {{- if not .autoscaled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  revisionHistoryLimit: {{ .root.Values.revisionHistoryLimit }}
  strategy:
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  selector:
    matchLabels:
      {{- include "airflow.selectorLabels" (list .root .component) | nindent 6 }}
  template:
    {{- include "airflow.pod" . | nindent 4 }}
{{- end }}

{{/* A PodDisruptionBudget: (list $ "scheduler" .Values.scheduler). */}}
{{- define "airflow.pdb" -}}
{{- with (index . 2).podDisruptionBudget }}
{{- if .enabled }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "airflow.metadata" (list (index $ 0) (index $ 1)) | nindent 2 }}
spec:
  maxUnavailable: {{ .maxUnavailable }}
  selector:
    matchLabels:
      {{- include "airflow.selectorLabels" (list (index $ 0) (index $ 1)) | nindent 6 }}
{{- end }}
{{- end }}
{{- end }}

{{/* A HorizontalPodAutoscaler: (list $ "workers" .Values.workers). */}}
{{- define "airflow.hpa" -}}
{{- with (index . 2).autoscaling }}
{{- if .enabled }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "airflow.metadata" (list (index $ 0) (index $ 1)) | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "airflow.fullname" (index $ 0) }}-{{ index $ 1 }}
  minReplicas: {{ .minReplicas }}
  maxReplicas: {{ .maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ .targetCPU }}}
{{- end }}
{{- end }}
{{- end }}

{{/* A NetworkPolicy for what comes in. Keys: root, component, port, from (components, or peers as they are). */}}
{{- define "airflow.networkPolicy" -}}
{{- if .root.Values.networkPolicies.enabled }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "airflow.metadata" (list .root .component) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "airflow.selectorLabels" (list .root .component) | nindent 6 }}
  policyTypes: [Ingress]
  {{- if .port }}
  ingress:
    - ports:
        - {protocol: TCP, port: {{ .port }}}
      {{- if or .components .peers .labels }}
      from:
        {{- range .components }}
        - podSelector:
            matchLabels:
              {{- include "airflow.selectorLabels" (list $.root .) | nindent 14 }}
        {{- end }}
        {{- with .labels }}
        - podSelector:
            matchLabels:
              app.kubernetes.io/instance: {{ $.root.Release.Name }}
              {{- toYaml . | nindent 14 }}
        {{- end }}
        {{- with .peers }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
  {{- end }}
{{- end }}
{{- end }}
