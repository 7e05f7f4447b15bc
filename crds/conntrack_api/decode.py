"""
Read JSON values as the annotations of a dataclass say.

One walk for every class of the contract. It never raises: each thing that does not
hold becomes a `Problem`. The shape of a policy's timeouts is the one exception to the
rule that annotations tell everything, see `durations`.
"""

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from conntrack_api.bounds import Items, Range, Text
from conntrack_api.durations import flatten
from conntrack_api.errors import Problem
from conntrack_api.policy import PolicySpec
from conntrack_api.rollout import ALLOWED as SHARE_ALLOWED
from conntrack_api.rollout import Share
from conntrack_api.rollout import read as read_share

Json = Mapping[str, Any]
"""An object as it comes from JSON or YAML."""


@cache
def camel(name: str) -> str:
    """
    Turn ``max_entries`` into ``maxEntries``; ``uid`` stays in capitals inside names.
    """
    head, *rest = name.split("_")
    return head + "".join("UID" if each == "uid" else each.title() for each in rest)


@cache
def annotations(cls: type) -> Mapping[str, Any]:
    """
    Give the evaluated annotations of a dataclass, bounds included.
    """
    return get_type_hints(cls, include_extras=True)


def decode(
    hint: Any,  # noqa: ANN401 - an annotation
    value: Any,  # noqa: ANN401 - JSON
    path: str,
    problems: list[Problem],
    *,
    strict: bool,
) -> Any:  # noqa: ANN401 - what the annotation says
    """
    Read one value.

    Args:
        hint: An annotation, bounds included.
        value: JSON: dicts, lists, strings, numbers.
        path: Where the value stands, for problems.
        problems: Grows by one for each thing that does not hold.
        strict: Whether an unknown field is a problem.

    Returns:
        What the annotation says; the value as it came when there was a problem.
    """
    origin = get_origin(hint)
    if origin is Annotated:
        inner, *bounds = get_args(hint)
        before = len(problems)
        decoded = decode(inner, value, path, problems, strict=strict)
        if len(problems) == before:
            problems += (
                Problem(field=path, value=value, allowed=str(bound))
                for bound in bounds
                if not _within(bound, decoded)
            )
        return decoded
    if origin in (Union, UnionType):
        (inner,) = (each for each in get_args(hint) if each is not NoneType)
        return decode(inner, value, path, problems, strict=strict)
    if origin is Mapping and isinstance(value, Mapping):
        key_hint, value_hint = get_args(hint)
        return {
            decode(key_hint, key, f"{path}.{key}", problems, strict=strict): decode(
                value_hint, each, f"{path}.{key}", problems, strict=strict
            )
            for key, each in value.items()
        }
    if origin is tuple and isinstance(value, list | tuple):
        (inner, _) = get_args(hint)
        return tuple(
            decode(inner, each, f"{path}[{index}]", problems, strict=strict)
            for index, each in enumerate(value)
        )
    if hint is Share:
        share = read_share(value)
        if share is None:
            problems.append(Problem(field=path, value=value, allowed=SHARE_ALLOWED))
        return share
    if is_dataclass(hint) and isinstance(value, Mapping):
        return _decode_fields(hint, value, path, problems, strict=strict)
    return _decode_scalar(hint, value, path, problems)


def _decode_fields(
    cls: Any,  # noqa: ANN401 - a dataclass
    obj: Json,
    path: str,
    problems: list[Problem],
    *,
    strict: bool,
) -> Any:  # noqa: ANN401 - an instance of it
    """
    Read the fields of one object.
    """
    before = len(problems)
    known = {camel(each.name): each for each in fields(cls)}
    if strict:
        allowed = f"one of the fields {', '.join(known)}"
        problems += (
            Problem(field=f"{path}.{key}", value=obj[key], allowed=allowed)
            for key in obj
            if key not in known
        )
    found: dict[str, Any] = {}
    for key, each in known.items():
        value = obj.get(key)
        where = f"{path}.{key}"
        if value is None:
            if each.default is MISSING and each.default_factory is MISSING:
                allowed = _wanted(annotations(cls)[each.name])
                problems.append(Problem(field=where, value=None, allowed=allowed))
        elif cls is PolicySpec and each.name == "timeouts":
            found[each.name] = flatten(value, where, problems, strict=strict)
        else:
            hint = annotations(cls)[each.name]
            found[each.name] = decode(hint, value, where, problems, strict=strict)
    return cls(**found) if len(problems) == before else obj


def _decode_scalar(hint: Any, value: Any, path: str, problems: list[Problem]) -> Any:  # noqa: ANN401
    """
    Read a string, a number or an enumeration; anything else is a problem.
    """
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        if isinstance(value, str) and value in list(hint):
            return hint(value)
    elif hint is int and isinstance(value, float) and value.is_integer():
        return int(value)  # JSON has one kind of number; the API server does the same
    elif isinstance(hint, type) and isinstance(value, hint):
        truth = hint is int and isinstance(value, bool)
        if not truth:
            return value
    problems.append(Problem(field=path, value=value, allowed=_wanted(hint)))
    return value


def _within(bound: object, value: Any) -> bool:  # noqa: ANN401 - already decoded
    """
    Tell whether a decoded value keeps one bound.
    """
    match bound:
        case Range():
            return bool(bound.minimum <= value <= bound.maximum)
        case Text():
            return bound.accepts(value)
        case Items():
            return len(value) <= bound.maximum
    return True


def _wanted(hint: Any) -> str:  # noqa: ANN401 - an annotation
    """
    Complete the sentence "must be ..." for an annotation.
    """
    if get_origin(hint) is Annotated:
        return str(get_args(hint)[1])
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return f"one of {', '.join(hint)}"
    name = getattr(hint, "__name__", str(hint))
    names = {
        "int": "a whole number",
        "str": "text",
        "tuple": "a list",
        "Mapping": "a map",
    }
    if is_dataclass(hint):
        listed = ", ".join(camel(each.name) for each in fields(hint))
        return f"an object with {listed}"
    return names.get(name, re.sub(r"([A-Z])", r" \1", name).strip().lower())
