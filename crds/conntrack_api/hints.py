"""
What the annotation of a field says: its name in JSON, its bounds, and in words.

Computes only; `decode` reads values by it.
"""

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from conntrack_api.bounds import Items, Range, Text


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


def within(bound: object, value: Any) -> bool:  # noqa: ANN401 - already decoded
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


def wanted(hint: Any) -> str:  # noqa: ANN401 - an annotation
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
