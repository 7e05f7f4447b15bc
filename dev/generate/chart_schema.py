"""
The schema of the chart's values: closed, so that a misspelt key is refused.

Types come from the defaults in `values.yaml`; what a default cannot tell stands here.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import yaml

from conntrack_agent.configured import MODPROBE_FOLDERS, SYSCTL_FOLDERS
from generate.chart_page import described

Schema = dict[str, Any]

_PORT: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 65535}
_MOST: Final = (1 << 31) - 1
"""The largest count that Kubernetes has."""

_STEM: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_IPV6: Final = r"[0-9a-fA-F]*(:[0-9a-fA-F.]*){2,}"
_PATH: Final = "[a-z0-9]+([._/-]+[a-z0-9]+)*"
_HOST: Final = r"([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(:[0-9]+)?"
_QUANTITY: Final = r"[0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i|[eE][0-9]+)?"


def _text(pattern: str, most: int | None = None) -> Schema:
    """
    Describe a text that has this form from its beginning to its end.
    """
    found: Schema = {"type": "string", "pattern": f"^({pattern})$"}
    return found if most is None else {**found, "maxLength": most}


def _record(required: tuple[str, ...] = (), **fields: Schema) -> Schema:
    """
    Describe an object that has these fields and no others.
    """
    found: Schema = {"type": "object", "additionalProperties": False}
    more: Schema = {"required": list(required)} if required else {}
    return {**found, "properties": fields, **more}


def _list(items: Schema, **more: Any) -> Schema:  # noqa: ANN401
    """
    Describe a list of such items.
    """
    return {"type": "array", "items": items, **more}


_ANYTHING: Final[Schema] = {"type": "object"}
_WORD: Final[Schema] = {"type": "string"}
_ANNOTATIONS: Final[Schema] = {"type": "object", "additionalProperties": _WORD}
_LABELS: Final[Schema] = {
    "type": "object",
    "additionalProperties": _text("|([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", 63),
}
_SUBDOMAIN: Final = "[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
_SECRET: Final = _text(_SUBDOMAIN, 253)
_NAME: Final = _text(f"|{_SUBDOMAIN}", 253)
_REGISTRY: Final = _text(f"|{_HOST}(/{_PATH})?/?")
_DIGEST: Final = _text("|sha256:[0-9a-f]{64}")
_QUANTITIES: Final[Schema] = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [{"type": "number", "minimum": 0}, _text(_QUANTITY)]
    },
}
TUNED_FOLDERS: Final = ("/etc/tuned", "/usr/lib/tuned")
"""What of TuneD holds profiles, and which of them is active."""
_LOG_FORMAT: Final[Schema] = {"enum": ["json", "text"]}

_KNOWN: Final[dict[str, Schema]] = {
    "global.imageRegistry": _REGISTRY,
    # A parent chart may hand down either form.
    "global.imagePullSecrets": _list(
        {"anyOf": [_SECRET, _record(("name",), name=_SECRET)]}
    ),
    "nameOverride": _text(f"|{_STEM}"),
    "fullnameOverride": _text(f"|{_STEM}"),
    "image.registry": _REGISTRY,
    "image.tag": _text("|[A-Za-z0-9_][A-Za-z0-9_.-]*", 128),
    "image.flavour": {"enum": ["", "debug"]},
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "apiServer.host": _text(f"[A-Za-z0-9.-]*|{_IPV6}"),
    "operator.config.logLevel": {"enum": ["debug", "info", "warning", "error"]},
    "operator.networkPolicy.apiServerCIDRs": _list(_text("[0-9a-fA-F.:]+/[0-9]{1,3}")),
    "operator.networkPolicy.apiServerPorts": _list(_PORT, minItems=1, uniqueItems=True),
    "agent.namespace.name": _text(f"|{_STEM}", 63),
    # `helm --set` makes a text of a number with a point.
    "agent.config.observeSeconds": {
        "anyOf": [
            {"type": "number", "minimum": 0.1, "maximum": 60},
            _text(r"0\.[1-9][0-9]*|[1-5]?[1-9](\.[0-9]+)?|[1-5]0(\.[0-9]+)?|60"),
        ]
    },
    "agent.metrics.address": _text(rf"|[0-9]{{1,3}}(\.[0-9]{{1,3}}){{3}}|{_IPV6}"),
    "agent.hostFiles": _list(
        {"enum": sorted({*SYSCTL_FOLDERS, *MODPROBE_FOLDERS, *TUNED_FOLDERS})},
        uniqueItems=True,
    ),
    "agent.stateDir": _text("(/[A-Za-z0-9_][A-Za-z0-9_.-]*){2,}"),
    "agent.updateStrategy.type": {"enum": ["RollingUpdate", "OnDelete"]},
    "agent.updateStrategy.maxUnavailable": {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": _MOST},
            _text("(100|[1-9][0-9]?)%"),
        ]
    },
    "monitoring.podMonitor.interval": _text("([0-9]+(ms|s|m|h))*"),
    "extraObjects": _list({"type": "object", "required": ["apiVersion", "kind"]}),
}
_BY_NAME: Final[dict[str, Schema]] = {
    "name": _NAME,
    "priorityClassName": _NAME,
    "repository": _text(f"({_HOST}/)?{_PATH}"),
    "digest": _DIGEST,
    "port": _PORT,
    "livenessPort": _PORT,
    "logFormat": {"enum": ["json", "text"]},
    "annotations": _ANNOTATIONS,
    "podAnnotations": _ANNOTATIONS,
    # What is inside is Kubernetes' own, and the API server checks it; a field that is
    # misspelt it may drop without a word.
    "resources": _record(
        limits=_QUANTITIES, requests=_QUANTITIES, claims=_list(_ANYTHING)
    ),
    "affinity": _record(
        nodeAffinity=_ANYTHING, podAffinity=_ANYTHING, podAntiAffinity=_ANYTHING
    ),
    "tolerations": _list(
        _record(
            key=_WORD,
            operator=_WORD,
            value=_WORD,
            effect=_WORD,
            tolerationSeconds={"type": "integer"},
        )
    ),
    "extraEnv": _list(
        _record(("name",), name=_text("[^=]+"), value=_WORD, valueFrom=_ANYTHING)
    ),
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
            "required": [key for key, each in below.items() if not _optional(each)],
        }
    return {**said, "type": _TYPES[type(value)]}


def _optional(schema: Schema) -> bool:
    """
    Tell whether a value may be missing: where an empty one means the same.

    `null` takes a default away, and so does `helm upgrade --reuse-values` to a chart
    that has the value since.
    """
    kind = schema.get("type")
    if kind == "string":
        return bool(re.search(schema.get("pattern", ""), ""))
    if kind == "array":
        return "minItems" not in schema
    if kind == "object":
        return "required" not in schema
    return "" in schema.get("enum", ())
