"""
Read JSON values as the annotations of a dataclass say.

One reader for each annotation, made once and kept: a fleet has thousands of objects of
the same few shapes. Reading never raises: each thing that does not hold becomes a
`Problem`. The shape of a policy's timeouts is the one exception to the rule that
annotations tell everything, see `durations`.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from conntrack_api.durations import flatten
from conntrack_api.errors import Problem
from conntrack_api.hints import annotations, camel, wanted, within
from conntrack_api.policy import PolicySpec
from conntrack_api.rollout import ALLOWED as SHARE_ALLOWED
from conntrack_api.rollout import Share
from conntrack_api.rollout import read as read_share

Json = Mapping[str, Any]
"""An object as it comes from JSON or YAML."""


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
    return _reader(hint)(value, (None, path), _Walk(problems, strict=strict))


_Place = tuple[Any, str]
"""The place around, and the last part of the path: made text only for a problem."""


class _Walk:
    """One decoding: how strict it is, and what was found wrong so far."""

    __slots__ = ("problems", "strict")

    def __init__(self, problems: list[Problem], *, strict: bool) -> None:
        """
        Begin.
        """
        self.problems = problems
        self.strict = strict

    def refuse(self, value: Any, place: _Place, allowed: str) -> Any:  # noqa: ANN401
        """
        Note a problem; give the value as it came.
        """
        self.problems.append(Problem(field=_text(place), value=value, allowed=allowed))
        return value


_Reader = Callable[[Any, _Place, _Walk], Any]
"""Makes of JSON what one annotation says."""


def _text(place: _Place | None) -> str:
    """
    Write a place as people do, for example ``spec.table.buckets``.
    """
    return "" if place is None else _text(place[0]) + place[1]


@cache
def _reader(hint: Any) -> _Reader:  # noqa: ANN401 - an annotation
    """
    Make the reader of one annotation.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _bounded(_reader(arguments[0]), arguments[1:])
    if origin in (Union, UnionType):
        (inner,) = (each for each in arguments if each is not NoneType)
        return _reader(inner)
    if origin is Mapping:
        return _map(hint, *map(_reader, arguments))
    if origin is tuple:
        return _list(hint, _reader(arguments[0]))
    if hint is Share:
        return _share
    if is_dataclass(hint):
        return _object(hint)
    if issubclass(hint, StrEnum):
        return _enumeration(hint)
    return _scalar(hint)


def _bounded(inner: _Reader, bounds: tuple[object, ...]) -> _Reader:
    """
    Read a value that has to keep bounds.
    """

    def read(value: Any, place: _Place, walk: _Walk) -> Any:  # noqa: ANN401
        before = len(walk.problems)
        decoded = inner(value, place, walk)
        if len(walk.problems) == before:
            for bound in bounds:
                if not within(bound, decoded):
                    walk.refuse(value, place, str(bound))
        return decoded

    return read


def _map(hint: object, read_key: _Reader, read_value: _Reader) -> _Reader:
    """
    Read a map whose keys are names.
    """

    def read(value: Any, place: _Place, walk: _Walk) -> Any:  # noqa: ANN401
        if not isinstance(value, Mapping):
            return walk.refuse(value, place, wanted(hint))
        found = {}
        for key, each in value.items():
            there = place, f".{key}"
            name = read_key(key, there, walk)
            found[name] = read_value(each, there, walk)
        return found

    return read


def _list(hint: object, read_item: _Reader) -> _Reader:
    """
    Read a list.
    """

    def read(value: Any, place: _Place, walk: _Walk) -> Any:  # noqa: ANN401
        if not isinstance(value, list | tuple):
            return walk.refuse(value, place, wanted(hint))
        items = enumerate(value)
        return tuple(read_item(item, (place, f"[{at}]"), walk) for at, item in items)

    return read


def _share(value: Any, place: _Place, walk: _Walk) -> Any:  # noqa: ANN401
    """
    Read a number or a percentage of nodes.
    """
    share = read_share(value)
    return walk.refuse(value, place, SHARE_ALLOWED) if share is None else share


def _object(cls: Any) -> _Reader:  # noqa: ANN401 - a dataclass
    """
    Read an object field by field.
    """
    hints = annotations(cls)
    known = {camel(each.name): each for each in fields(cls)}
    allowed = f"one of the fields {', '.join(known)}"
    required = {
        key: wanted(hints[each.name])
        for key, each in known.items()
        if each.default is MISSING and each.default_factory is MISSING
    }
    parts = [
        (each.name, key, f".{key}", _field_reader(cls, each.name))
        for key, each in known.items()
    ]

    def read(value: Any, place: _Place, walk: _Walk) -> Any:  # noqa: ANN401
        if not isinstance(value, Mapping):
            return walk.refuse(value, place, wanted(cls))
        before = len(walk.problems)
        if walk.strict:
            for key in value:
                if key not in known:
                    walk.refuse(value[key], (place, f".{key}"), allowed)
        found = {}
        for name, key, dotted, read_part in parts:
            content = value.get(key)
            if content is not None:
                found[name] = read_part(content, (place, dotted), walk)
            elif key in required:
                walk.refuse(None, (place, dotted), required[key])
        return cls(**found) if len(walk.problems) == before else value

    return read


def _field_reader(cls: type, name: str) -> _Reader:
    """
    Give the reader of one field.
    """
    if cls is PolicySpec and name == "timeouts":
        return _timeouts
    return _reader(annotations(cls)[name])


def _timeouts(value: Any, place: _Place, walk: _Walk) -> Any:  # noqa: ANN401
    """
    Read the timeouts of a policy.
    """
    return flatten(value, _text(place), walk.problems, strict=walk.strict)


def _enumeration(hint: type[StrEnum]) -> _Reader:
    """
    Read one of a few words.
    """
    members = {each.value: each for each in hint}

    def read(value: Any, place: _Place, walk: _Walk) -> Any:  # noqa: ANN401
        found = members.get(value) if isinstance(value, str) else None
        return walk.refuse(value, place, wanted(hint)) if found is None else found

    return read


def _scalar(hint: type) -> _Reader:
    """
    Read a string, a number or a truth value; anything else is a problem.
    """

    def read(value: Any, place: _Place, walk: _Walk) -> Any:  # noqa: ANN401
        if type(value) is hint:
            return value
        if hint is int and isinstance(value, float) and value.is_integer():
            return int(value)  # JSON has one kind of number; so does the API server
        return walk.refuse(value, place, wanted(hint))

    return read
