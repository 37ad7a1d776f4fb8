{{- define "cvm-gateway.labels" -}}
app.kubernetes.io/name: cvm-gateway
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "cvm-gateway.selector" -}}
app.kubernetes.io/name: cvm-gateway
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "cvm-gateway.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary .Release.Name "default" .Values.serviceAccount.create) }}
{{- end }}
