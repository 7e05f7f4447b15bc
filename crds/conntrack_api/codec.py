"""
The one place where camelCase objects become dataclasses and back.

Decoding (see `decode`) collects every problem before it raises, so that a person can
mend all of them at once. Encoding leaves out what is ``None``.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any

from conntrack_api import API_VERSION
from conntrack_api.bounds import Range
from conntrack_api.decode import Json, decode
from conntrack_api.durations import nested
from conntrack_api.errors import InvalidObject, Problem
from conntrack_api.hints import camel
from conntrack_api.node import HOLD, MOST_HOLD, ConntrackNode, NodeSpec, NodeStatus
from conntrack_api.policy import KIND, ConntrackPolicy, PolicySpec
from conntrack_api.policy_status import PolicyStatus
from conntrack_api.rollout import Share
from conntrack_api.settings import BY_NAME


def policy_from_object(obj: Json, *, strict: bool = False) -> ConntrackPolicy:
    """
    Read a policy.

    Args:
        obj: A ConntrackPolicy as the API server or a file gives it.
        strict:
            Refuse unknown fields, and what is not a ConntrackPolicy, as the API
            server does for people. Without it they are ignored: a newer server may
            know more than we do.

    Returns:
        The policy; a missing or unreadable status counts as "nothing said yet".

    Raises:
        InvalidObject: With every field of the spec that does not hold.
    """
    problems = _envelope(obj) if strict else []
    spec = decode(PolicySpec, obj.get("spec"), "spec", problems, strict=strict)
    if isinstance(spec, PolicySpec) and not problems:
        problems += spec.problems()
    if problems:
        raise InvalidObject(tuple(problems))
    meta = obj.get("metadata") or {}
    return ConntrackPolicy(
        name=meta.get("name", ""),
        uid=meta.get("uid", ""),
        generation=meta.get("generation", 0),
        created=meta.get("creationTimestamp") or "",
        deleting=bool(meta.get("deletionTimestamp")),
        finalizers=tuple(meta.get("finalizers") or ()),
        spec=spec,
        status=policy_status_from_object(obj),
    )


def _envelope(obj: Json) -> list[Problem]:
    """
    Check what stands around the spec of a policy that a person wrote.

    Names and labels are not looked at: their rules are the API server's own.
    """
    wanted = {"apiVersion": API_VERSION, "kind": KIND}
    problems = [
        Problem(field=field, value=obj.get(field), allowed=allowed)
        for field, allowed in wanted.items()
        if obj.get(field) != allowed
    ]
    if not isinstance(obj.get("metadata") or {}, Mapping):
        shape = "an object with name and labels"
        problems.append(Problem(field="metadata", value=obj["metadata"], allowed=shape))
    known = (*wanted, "metadata", "spec", "status")
    allowed = f"one of the fields {', '.join(known)}"
    problems += (
        Problem(field=str(field), value=value, allowed=allowed)
        for field, value in obj.items()
        if field not in known
    )
    return problems


def policy_status_from_object(obj: Json) -> PolicyStatus:
    """
    Read a policy's status; one that cannot be read counts as "nothing said yet".

    Of that one the halt is kept all the same: what cannot be read lifts none.
    """
    problems: list[Problem] = []
    raw = obj.get("status") or {}
    status: PolicyStatus = decode(PolicyStatus, raw, "status", problems, strict=False)
    if not problems:
        return status
    halted = raw.get("haltedGeneration") if isinstance(raw, Mapping) else None
    return PolicyStatus(halted_generation=halted if isinstance(halted, int) else None)


def node_from_object(obj: Json) -> ConntrackNode:
    """
    Read a node's object.

    Args:
        obj: A ConntrackNode as the API server gives it.

    Returns:
        The object; an unreadable status counts as "nothing said yet", since the next
        report replaces it.

    Raises:
        InvalidObject: With every field of the spec that does not hold.
    """
    problems: list[Problem] = []
    spec = decode(NodeSpec, obj.get("spec"), "spec", problems, strict=False)
    if isinstance(spec, NodeSpec):
        for name, value in spec.settings.items():
            row = BY_NAME.get(name)
            if row and not row.minimum <= value <= row.maximum:
                allowed = str(Range(row.minimum, row.maximum))
                where = f"spec.settings.{name}"
                problems.append(Problem(field=where, value=value, allowed=allowed))
    if problems:
        raise InvalidObject(tuple(problems))
    unread: list[Problem] = []
    raw = obj.get("status") or {}
    status = decode(NodeStatus, raw, "status", unread, strict=False)
    meta = obj.get("metadata") or {}
    notes = meta.get("annotations")
    hold = notes.get(HOLD) if isinstance(notes, Mapping) else None
    return ConntrackNode(
        name=meta.get("name", ""),
        uid=meta.get("uid", ""),
        generation=meta.get("generation", 0),
        resource_version=meta.get("resourceVersion", ""),
        hold=None if hold is None else _sentence(hold),
        deleting=bool(meta.get("deletionTimestamp")),
        spec=spec,
        status=NodeStatus() if unread else status,
    )


def _sentence(text: object) -> str:
    """
    Take what a person wrote as one line, which steers no terminal and is not endless.
    """
    short = str(text)[:MOST_HOLD]
    return "".join(each if each.isprintable() else " " for each in short)


def to_object(value: object) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """
    Encode a dataclass as JSON types.

    Args:
        value: A dataclass of this package, or anything it may hold.

    Returns:
        Dicts with camelCase names, lists, strings, numbers. Fields that are ``None``
        are left out. The order is the order of the fields.
    """
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Share):
        return str(value) if value.percent else value.number
    if is_dataclass(value) and not isinstance(value, type):
        result: dict[str, Any] = {}
        for each in fields(value):
            content = getattr(value, each.name)
            if isinstance(value, PolicySpec) and each.name == "timeouts":
                content = nested(content) or None
            if content is not None:
                result[camel(each.name)] = to_object(content)
        return result
    if isinstance(value, Mapping):
        return {str(key): to_object(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [to_object(each) for each in value]
    return value
