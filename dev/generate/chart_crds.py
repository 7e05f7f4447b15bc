"""
The chart's copies of the CRDs: the same text, with the chart's switches around it.
"""

from __future__ import annotations

import re

_NOTICE = "{{- /* Written by `make fmt` from crds/. Do not edit. */ -}}"

_PLAIN = re.compile(
    r"(?m)^(metadata:\n  name: \S+\n)"
    r"  annotations:\n    conntrack\.dev/version: \S+\n(?=spec:)"
)
_HEAD = """\
  labels:
    {{- include "conntrack.labels" (dict "root" . "component" "crds") | nindent 4 }}
  annotations:
    conntrack.dev/version: {{ .Chart.AppVersion | quote }}
    {{- if .Values.crds.keep }}
    helm.sh/resource-policy: keep
    {{- end }}
"""


def chart_crd(text: str) -> str:
    """
    Make a template of a CRD.

    Args:
        text: The CRD as it is in ``crds/``.

    Returns:
        The same document: annotated, and rendered only if the values want it.

    Raises:
        ValueError: The text would mean something to the template engine, or has
            metadata besides a name and its version.
    """
    if "{{" in text:
        raise ValueError("a CRD must not hold two opening braces")
    head = _PLAIN.search(text)
    if head is None:
        raise ValueError("a CRD must have a name and its version for all its metadata")
    body = text[: head.start()] + head[1] + _HEAD + text[head.end() :]
    return f"{_NOTICE}\n{{{{- if .Values.crds.enabled }}}}\n{body}{{{{- end }}}}\n"
