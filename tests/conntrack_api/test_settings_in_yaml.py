"""
The CRD files offer exactly the settings of the table, with what the table knows.
"""

from __future__ import annotations

from typing import Any

import pytest

from conntrack_api.settings import FLAGS, SETTINGS, TIMEOUTS, Setting

Schema = dict[str, Any]


def timeout_schema(row: Setting, schemas: dict[str, Schema]) -> Schema:
    """
    Find the schema of one timeout of a policy.
    """
    schema: Schema = schemas["ConntrackPolicy"]["properties"]["spec"]
    for name in row.field.split("."):
        schema = schema["properties"][name]
    return schema


def test_a_policy_has_exactly_the_timeouts_of_the_table(
    schemas: dict[str, Schema],
) -> None:
    """
    No timeout is on one side only, and the order is the same.
    """
    found = []
    tree = schemas["ConntrackPolicy"]["properties"]["spec"]["properties"]["timeouts"]
    for name, schema in tree["properties"].items():
        below = schema.get("properties")
        found += [f"{name}.{leaf}" for leaf in below] if below else [name]

    assert [row.field.removeprefix("timeouts.") for row in TIMEOUTS] == found


@pytest.mark.parametrize("row", TIMEOUTS, ids=lambda row: row.field)
def test_a_timeout_of_a_policy_is_described_as_in_the_table(
    row: Setting, schemas: dict[str, Schema]
) -> None:
    """
    Bounds are the rule's, and the description has everything that the table knows.
    """
    schema = timeout_schema(row, schemas)
    (rule,) = schema["x-kubernetes-validations"]
    sentences = (
        f"{row.note}. ",
        f"Unit: {row.unit}",
        f"Bounds: {row.minimum} to {row.maximum}. ",
        f"an untouched kernel has {row.kernel_default}. ",
        f"Kernel: {row.name}.",
    )

    assert all(words in schema["description"] for words in sentences)
    assert f"self >= {row.minimum} && self <= {row.maximum}" in rule["rule"]
    assert f"duration('{row.minimum}s')" in rule["rule"]
    assert f"duration('{row.maximum}s')" in rule["rule"]
    assert schema["x-kubernetes-int-or-string"] is True


def test_the_table_of_a_policy_is_described_as_in_the_table(
    schemas: dict[str, Schema],
) -> None:
    """
    The size's two fields name their kernel setting, unit and bounds.
    """
    table = schemas["ConntrackPolicy"]["properties"]["spec"]["properties"]["table"]
    for row in set(SETTINGS) - set(TIMEOUTS) - set(FLAGS):
        schema = table["properties"][row.field.removeprefix("table.")]

        assert f"Unit: {row.unit}" in schema["description"]
        assert f"Bounds: {row.minimum} to {row.maximum}" in schema["description"]
        assert f"Kernel: {row.name}" in schema["description"]


def test_a_policy_has_exactly_the_flags_of_the_table(
    schemas: dict[str, Schema],
) -> None:
    """
    Order, words, bounds and descriptions are those of the table.
    """
    tree = schemas["ConntrackPolicy"]["properties"]["spec"]["properties"]["flags"]
    found = tree["properties"]

    assert [row.field for row in FLAGS] == [f"flags.{name}" for name in found]
    for row, schema in zip(FLAGS, found.values(), strict=True):
        assert list(row.words) == schema.get("enum", [])
        if not row.words:
            bounds = (schema["minimum"], schema["maximum"])
            assert (row.minimum, row.maximum) == bounds
        values = f"Values: {', '.join(row.words)}. " if row.words else "Bounds: "
        for words in (
            f"{row.note}. ",
            values,
            f"an untouched kernel has {row.kernel_default}. ",
            f"Kernel: {row.name}.",
        ):
            assert words in schema["description"]


def test_a_node_has_exactly_the_settings_of_the_table(
    schemas: dict[str, Schema],
) -> None:
    """
    Kernel names, bounds, notes and units are those of the table, in its order.
    """
    spec = schemas["ConntrackNode"]["properties"]["spec"]["properties"]
    found = spec["settings"]["properties"]

    assert [row.name for row in SETTINGS] == list(found)
    for row in SETTINGS:
        expected = {
            "description": f"{row.name}: {row.note}. Unit: {row.unit}.",
            "type": "integer",
            "format": "int64",
            "minimum": row.minimum,
            "maximum": row.maximum,
        }
        assert expected == found[row.name]
