{{/* Name of the chart's objects. */}}
{{- define "conntrack.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 46 | trimAll "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 46 | trimAll "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 46 | trimAll "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "conntrack.agentName" -}}
{{ include "conntrack.fullname" . }}-agent
{{- end -}}

{{/* Where the agents live. */}}
{{- define "conntrack.agentNamespace" -}}
{{- if .Values.agent.namespace.name -}}
{{- .Values.agent.namespace.name -}}
{{- else if .Values.agent.namespace.create -}}
{{- printf "%s-agents" (.Release.Namespace | trunc 56 | trimAll "-") -}}
{{- else -}}
{{- .Release.Namespace -}}
{{- end -}}
{{- end -}}

{{- define "conntrack.operatorAccount" -}}
{{- default (include "conntrack.fullname" .) .Values.operator.serviceAccount.name -}}
{{- end -}}

{{- define "conntrack.agentAccount" -}}
{{- default (include "conntrack.agentName" .) .Values.agent.serviceAccount.name -}}
{{- end -}}

{{/* What each process is in the API server's eyes. */}}
{{- define "conntrack.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "conntrack.operatorAccount" . }}
{{- end -}}

{{- define "conntrack.agentUser" -}}
system:serviceaccount:{{ include "conntrack.agentNamespace" . }}:{{ include "conntrack.agentAccount" . }}
{{- end -}}

{{/* Labels that select pods; they never change. */}}
{{- define "conntrack.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | trimAll "-" }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "conntrack.labels" -}}
{{ include "conntrack.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* One way to an image for every container. Takes root and the component's values. */}}
{{- define "conntrack.image" -}}
{{- $registry := default .root.Values.image.registry .root.Values.global.imageRegistry -}}
{{- $name := .values.image.repository -}}
{{- if $registry -}}{{- $name = printf "%s/%s" (trimSuffix "/" $registry) $name -}}{{- end -}}
{{- if .values.image.digest -}}
{{- printf "%s@%s" $name .values.image.digest -}}
{{- else -}}
{{- $tag := default .root.Chart.AppVersion .root.Values.image.tag -}}
{{- if .root.Values.image.flavour -}}{{- $tag = printf "%s-%s" $tag .root.Values.image.flavour -}}{{- end -}}
{{- printf "%s:%s" $name $tag -}}
{{- end -}}
{{- end -}}

{{/* Name of the volume of a directory: /etc/sysctl.d is files-etc-sysctl-d. */}}
{{- define "conntrack.hostFiles" -}}
files{{ regexReplaceAll "[/.]" . "-" }}
{{- end -}}

{{- define "conntrack.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ kindIs "map" . | ternary . (dict "name" .) | dig "name" "" }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Address of the API server, where it is not that of the service. */}}
{{- define "conntrack.apiServer" -}}
{{- if .Values.apiServer.host }}
- name: KUBERNETES_SERVICE_HOST
  value: {{ .Values.apiServer.host | quote }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ .Values.apiServer.port | quote }}
{{- end }}
{{- end -}}
