{{- define "aada-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* Name of all objects; a release that is called like the chart does not say it twice. */}}
{{- define "aada-operator.fullname" -}}
{{- $name := include "aada-operator.name" . }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "aada-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "aada-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "aada-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "aada-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: aada-lms
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "aada-operator.serviceAccountName" -}}
{{- $default := ternary (include "aada-operator.fullname" .) "default" .Values.serviceAccount.create }}
{{- default $default .Values.serviceAccount.name }}
{{- end }}

{{- define "aada-operator.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{- /* Rules of a role, from one of the lists in files/permissions.yaml; what each is for is told in comments there. */}}
{{- define "aada-operator.rules" -}}
{{- range . }}
- apiGroups: [{{ .group | quote }}]
  resources: {{ toJson .resources }}
  {{- with .names }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: {{ toJson .verbs }}
{{- end }}
{{- end }}

{{- define "aada-operator.subject" -}}
- kind: ServiceAccount
  name: {{ include "aada-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
