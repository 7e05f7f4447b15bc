"""
The CRD files and the dataclasses say the same, field by field and in both directions.
"""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest

from conntrack_api.bounds import Items, Range, Text
from conntrack_api.codec import to_object
from conntrack_api.conditions import Condition
from conntrack_api.hints import annotations, camel
from conntrack_api.node import NodeSpec, NodeStatus
from conntrack_api.policy import PolicySpec
from conntrack_api.policy_status import PolicyStatus
from conntrack_api.rollout import Share

Schema = dict[str, Any]

HALVES = [
    pytest.param("ConntrackPolicy", "spec", PolicySpec, id="policy spec"),
    pytest.param("ConntrackPolicy", "status", PolicyStatus, id="policy status"),
    pytest.param("ConntrackNode", "spec", NodeSpec, id="node spec"),
    pytest.param("ConntrackNode", "status", NodeStatus, id="node status"),
]

MADE_FROM_THE_TABLE = {(PolicySpec, "timeouts"), (NodeSpec, "settings")}
"""One mapping in Python, one field for each setting in YAML; see
`test_settings_in_yaml`."""

halves = pytest.mark.parametrize(("kind", "half", "cls"), HALVES)


def classes(cls: Any) -> list[Any]:  # noqa: ANN401 - a dataclass
    """
    List a dataclass and every dataclass below it.
    """
    found = [cls]
    for hint in annotations(cls).values():
        inner = core(hint)
        if is_dataclass(inner) and inner is not Share:
            found += classes(inner)
    return found


def core(hint: Any) -> Any:  # noqa: ANN401 - an annotation
    """
    Take bounds, ``None`` and the list off an annotation.
    """
    while True:
        if get_origin(hint) is Annotated:
            hint = get_args(hint)[0]
        elif get_origin(hint) in (Union, UnionType):
            (hint,) = (each for each in get_args(hint) if each is not NoneType)
        elif get_origin(hint) is tuple:
            hint = get_args(hint)[0]
        else:
            return hint


def bounds(hint: Any) -> Any:  # noqa: ANN401 - an annotation
    """
    Give the bounds of an annotation, the outermost ones; ``None`` when it has none.
    """
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (each for each in get_args(hint) if each is not NoneType)
    return get_args(hint)[1] if get_origin(hint) is Annotated else None


def compare(cls: Any, schema: Schema, path: str) -> list[str]:  # noqa: ANN401
    """
    Compare one dataclass with one object schema, and all below.

    Returns:
        The differences, as sentences.
    """
    known = {camel(each.name): each for each in fields(cls)}
    there = schema["properties"]
    wrong = [f"{path}.{name}: in YAML only" for name in there.keys() - known.keys()]
    wrong += [f"{path}.{name}: in Python only" for name in known.keys() - there.keys()]
    for name in known.keys() & there.keys():
        if (cls, known[name].name) not in MADE_FROM_THE_TABLE:
            hint = annotations(cls)[known[name].name]
            wrong += compare_value(hint, there[name], f"{path}.{name}", cls)
    return wrong


def compare_value(
    hint: Any,  # noqa: ANN401 - an annotation
    schema: Schema,
    path: str,
    owner: type,
) -> list[str]:
    """
    Compare one annotation with one schema, and all below.
    """
    wrong = compare_bounds(bounds(hint), schema, path, owner)
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (each for each in get_args(hint) if each is not NoneType)
        return compare_value(hint, schema, path, owner)
    expected = type_of(hint)
    if expected == "int-or-string":
        return [] if schema["x-kubernetes-int-or-string"] else [path]
    if expected != schema["type"]:
        wrong.append(f"{path}: {expected} in Python, {schema['type']} in YAML")
    elif is_dataclass(hint):
        wrong += compare(hint, schema, path)
    elif expected == "array":
        wrong += compare_value(get_args(hint)[0], schema["items"], f"{path}[]", owner)
    elif expected == "object":
        value = schema["additionalProperties"]
        wrong += compare_value(get_args(hint)[1], value, f"{path}.*", owner)
    elif issubclass(hint, StrEnum) and list(hint) != schema.get("enum"):
        wrong.append(f"{path}: {list(hint)} in Python, {schema.get('enum')} in YAML")
    return wrong


def type_of(hint: Any) -> str:  # noqa: ANN401 - an annotation
    """
    Give the JSON type of an annotation without bounds.
    """
    if hint is Share:
        return "int-or-string"
    if is_dataclass(hint) or get_origin(hint) is Mapping:
        return "object"
    if get_origin(hint) is tuple:
        return "array"
    return {"int": "integer", "str": "string"}.get(hint.__name__, "string")


def compare_bounds(bound: object, schema: Schema, path: str, owner: type) -> list[str]:
    """
    Compare the bounds of one value.

    What a node or the operator reports has no bounds in Python but "not negative", and
    conditions keep theirs in YAML alone: their makers cut, nobody reads them in.
    """
    lower, upper = schema.get("minimum"), schema.get("maximum")
    length = schema.get("maxLength")
    count = schema.get("maxItems", schema.get("maxProperties"))
    match bound:
        case Range():
            same = (bound.minimum, bound.maximum) == (lower, upper)
        case Text():
            same = bound.max_length == length
            same = same and bound.pattern in str(schema.get("x-kubernetes-validations"))
        case Items():
            same = bound.maximum == count
        case _:
            same = lower in {None, 0} and upper is None
            whole = owner is Condition or "x-kubernetes-int-or-string" in schema
            same = same and (length is None or whole)
    return [] if same else [f"{path}: {bound} in Python, {schema} in YAML"]


@halves
def test_the_same_fields_types_and_bounds(
    kind: str, half: str, cls: type, schemas: dict[str, Schema]
) -> None:
    """
    No field is on one side only, and types, enumerations and bounds are equal.
    """
    assert [] == compare(cls, schemas[kind]["properties"][half], half)


def schema_of(cls: type, root: Any, schema: Schema) -> Schema:  # noqa: ANN401
    """
    Find the object schema of a dataclass somewhere below another one.
    """
    if cls is root:
        return schema
    for name, hint in annotations(root).items():
        inner = core(hint)
        below = schema["properties"].get(camel(name), {})
        if is_dataclass(inner) and cls in classes(inner):
            return schema_of(cls, inner, below.get("items", below))
    raise AssertionError(cls)


def default_of(field: Field[Any]) -> object:
    """
    Give a field's default as the YAML should have it; ``None``: it should have none.
    """
    if field.default_factory is not MISSING:
        made = field.default_factory()
        return to_object(made) if is_dataclass(made) else None
    if field.default is MISSING or isinstance(field.default, tuple):
        return None
    return to_object(field.default)


@halves
def test_the_same_fields_are_required(
    kind: str, half: str, cls: type, schemas: dict[str, Schema]
) -> None:
    """
    In a spec, YAML requires what has no default in Python.

    In a status, YAML may require more: whatever the encoder always writes.
    """
    for each in classes(cls):
        schema = schema_of(each, cls, schemas[kind]["properties"][half])
        needed = {
            camel(field.name)
            for field in fields(each)
            if field.default is MISSING and field.default_factory is MISSING
        }
        written = {
            camel(field.name) for field in fields(each) if field.default is not None
        }
        required = set(schema.get("required", ()))

        assert needed <= required, each
        assert required <= (needed if half == "spec" else written), each


@halves
def test_the_same_defaults(
    kind: str, half: str, cls: type, schemas: dict[str, Schema]
) -> None:
    """
    In a spec, both sides fill in the same; a status has no defaults inside.
    """
    for each in classes(cls):
        schema = schema_of(each, cls, schemas[kind]["properties"][half])
        for field in fields(each):
            found = schema["properties"][camel(field.name)].get("default")

            expected = default_of(field) if half == "spec" else None
            assert expected == found, (each, field.name)
