"""
The schema of the chart's values: closed, so that a misspelt key is refused.

Types come from the defaults in `values.yaml`; what a default cannot tell stands here.
"""

from __future__ import annotations

import json
from typing import Any, Final

import yaml

from conntrack_agent.configured import MODPROBE_FOLDERS, SYSCTL_FOLDERS
from generate.chart_page import described

Schema = dict[str, Any]

_ANYTHING: Final[Schema] = {"type": "object"}
_LABELS: Final[Schema] = {
    "type": "object",
    "additionalProperties": {"type": "string"},
}
_PORT: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 65535}
_NAME: Final[Schema] = {
    "type": "string",
    "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$",
}
_DIGEST: Final[Schema] = {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"}
_OBJECTS: Final[Schema] = {"type": "array", "items": {"type": "object"}}
_NAMES: Final[Schema] = {"type": "array", "items": {"type": "string"}}
TUNED_FOLDERS: Final = ("/etc/tuned", "/usr/lib/tuned")
"""What of TuneD holds profiles, and which of them is active."""
_LOG_FORMAT: Final[Schema] = {"enum": ["json", "text"]}

_KNOWN: Final[dict[str, Schema]] = {
    "global.imagePullSecrets": _NAMES,
    "image.flavour": {"enum": ["", "debug"]},
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "apiServer.port": _PORT,
    "operator.image.digest": _DIGEST,
    "operator.config.logFormat": _LOG_FORMAT,
    "operator.config.logLevel": {"enum": ["debug", "info", "warning", "error"]},
    "operator.livenessPort": _PORT,
    "operator.metrics.port": _PORT,
    "operator.networkPolicy.apiServerCIDRs": _NAMES,
    "operator.networkPolicy.apiServerPorts": {"type": "array", "items": _PORT},
    "agent.image.digest": _DIGEST,
    "agent.namespace.name": _NAME,
    "agent.config.logFormat": _LOG_FORMAT,
    "agent.config.observeSeconds": {"type": "number", "minimum": 0.1, "maximum": 60},
    "agent.metrics.port": _PORT,
    "agent.metrics.address": {"type": "string", "pattern": "^[0-9a-fA-F:.]*$"},
    "agent.hostFiles": {
        "type": "array",
        "uniqueItems": True,
        "items": {"enum": sorted({*SYSCTL_FOLDERS, *MODPROBE_FOLDERS, *TUNED_FOLDERS})},
    },
    "agent.stateDir": {"type": "string", "pattern": "^/[^/]+/.+"},
    "agent.updateStrategy.type": {"enum": ["RollingUpdate", "OnDelete"]},
    "agent.updateStrategy.maxUnavailable": {
        "anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "string", "pattern": "^(100|[1-9][0-9]?)%$"},
        ]
    },
    "monitoring.podMonitor.interval": {
        "type": "string",
        "pattern": "^([0-9]+(ms|s|m|h))*$",
    },
    "monitoring.podMonitor.labels": _LABELS,
    "extraObjects": _OBJECTS,
}
_BY_NAME: Final[dict[str, Schema]] = {
    "name": _NAME,
    "resources": _ANYTHING,
    "affinity": _ANYTHING,
    "tolerations": _OBJECTS,
    "extraEnv": _OBJECTS,
}
_TYPES: Final = {str: "string", bool: "boolean", int: "integer", float: "number"}


def chart_schema(text: str) -> str:
    """
    Make the schema of a values file.

    Args:
        text: ``values.yaml``, with its comments.

    Returns:
        JSON.
    """
    found = _schema(yaml.safe_load(text), "", described(text))
    head = {"$schema": "http://json-schema.org/draft-07/schema#"}
    return json.dumps({**head, **found}, indent=2, ensure_ascii=False) + "\n"


def _schema(value: Any, path: str, known: dict[str, str]) -> Schema:  # noqa: ANN401
    """
    Make the schema of one value, and of what is below it.
    """
    name = path.rpartition(".")[2]
    said: Schema = {"description": known[path]} if path in known else {}
    given = _KNOWN.get(path) or _BY_NAME.get(name)
    if given:
        return {**said, **given}
    if value == {}:
        return {**said, **_LABELS}
    if isinstance(value, dict):
        below = {
            key: _schema(each, f"{path}.{key}" if path else key, known)
            for key, each in value.items()
        }
        # Charts that have this one inside put keys of their own into `global`.
        closed = path != "global"
        return {
            **said,
            "type": "object",
            "additionalProperties": not closed,
            "properties": below,
        }
    return {**said, "type": _TYPES[type(value)]}
