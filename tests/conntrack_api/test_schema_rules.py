"""
House rules of the CRD files, and what kubectl shows of both kinds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from conntrack_api import GROUP, VERSION, node, policy

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema = dict[str, Any]

KINDS = pytest.mark.parametrize("kind", ["ConntrackPolicy", "ConntrackNode"])


def walk(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """
    Give every schema with its path; items end in ``[]``, values of maps in ``.*``.
    """
    yield path, schema
    for name, each in schema.get("properties", {}).items():
        yield from walk(each, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from walk(schema["additionalProperties"], f"{path}.*")


def fields(schema: Schema) -> list[tuple[str, Schema]]:
    """
    Give the fields of spec and status, without items and values of maps.
    """
    return [
        (path, each)
        for path, each in walk(schema)
        if path.startswith((".spec", ".status")) and path[-1] not in "]*"
    ]


@KINDS
def test_every_field_is_described_and_the_text_begins_with_its_name(
    kind: str, schemas: dict[str, Schema]
) -> None:
    """
    ``kubectl explain`` answers for each field, in the form of the API conventions.
    """
    for path, schema in fields(schemas[kind]):
        name = path.rpartition(".")[2]
        description = schema.get("description", "")

        assert name == description.partition(" ")[0].rstrip(":"), path
        assert description.endswith("."), path
        assert description == " ".join(description.split()), path


@KINDS
def test_every_size_is_bounded(kind: str, schemas: dict[str, Schema]) -> None:
    """
    Lists, maps and texts have a largest size; rules are affordable only then.
    """
    for path, schema in walk(schemas[kind]):
        assert "nullable" not in schema, path
        if schema.get("type") == "array":
            assert schema["maxItems"] >= 1, path
            assert schema["x-kubernetes-list-type"] in {"atomic", "map"}, path
        if "additionalProperties" in schema:
            assert schema["maxProperties"] >= 1, path
        text = schema.get("type") == "string" or "x-kubernetes-int-or-string" in schema
        if text and path not in {".apiVersion", ".kind"}:
            assert schema.keys() & {"maxLength", "enum", "format"}, path


@KINDS
def test_every_number_is_whole_and_of_64_bits(
    kind: str, schemas: dict[str, Schema]
) -> None:
    """
    No fractions and no truth values; in a spec a number has both bounds.
    """
    for path, schema in walk(schemas[kind]):
        assert schema.get("type") not in {"number", "boolean"}, path
        if schema.get("type") == "integer":
            assert "int64" == schema["format"], path
        if schema.get("type") == "integer" and path.startswith(".spec"):
            assert path == ".spec.policyRef.generation" or "maximum" in schema, path
            assert "minimum" in schema, path


def test_every_number_of_a_policy_says_its_bounds_and_default(
    schemas: dict[str, Schema],
) -> None:
    """
    What the schema enforces, the text says: bounds, default, and the unit of a size.
    """
    for path, schema in fields(schemas["ConntrackPolicy"]):
        description = schema["description"]
        if path.startswith(".spec.") and "minimum" in schema:
            bounds = f"Bounds: {schema['minimum']} to {schema['maximum']}"
            assert bounds in description, path
        if path.startswith(".spec.") and schema.get("type") != "object":
            default = schema.get("default")
            assert default is None or f"Default: {default}." in description, path


@KINDS
def test_enumerations_are_in_camel_case_and_explained(
    kind: str, schemas: dict[str, Schema]
) -> None:
    """
    Every value of an enumeration in a spec is named in the field's description.
    """
    for path, schema in walk(schemas[kind]):
        for value in schema.get("enum", ()):
            assert value[0].isupper(), path
            assert value.isalnum(), path
            explained = path.startswith(".status") or path.endswith(".operator")
            assert explained or value in schema["description"], path


@KINDS
def test_a_status_says_nothing_before_the_first_look(
    kind: str, schemas: dict[str, Schema]
) -> None:
    """
    A new object counts as not looked at, so that nobody takes it for ready.
    """
    status = schemas[kind]["properties"]["status"]
    conditions = status["properties"]["conditions"]

    assert {"observedGeneration": -1} == status["default"]
    assert ["type"] == conditions["x-kubernetes-list-map-keys"]
    assert "observedGeneration" in conditions["items"]["required"]


def test_both_kinds_have_the_same_conditions_and_pressure(
    schemas: dict[str, Schema],
) -> None:
    """
    What is one class in Python is one text in YAML.
    """
    one, other = (schemas[kind]["properties"] for kind in schemas)
    status = [each["status"]["properties"]["conditions"] for each in (one, other)]
    pressure = [each["spec"]["properties"]["pressure"] for each in (one, other)]

    assert status[0] == status[1]
    assert pressure[0] == pressure[1]


@KINDS
def test_names_scope_and_versions(kind: str, kinds: dict[str, Schema]) -> None:
    """
    Cluster-scoped, one version, status apart, short name and category as documented.
    """
    module = {"ConntrackPolicy": policy, "ConntrackNode": node}[kind]
    short = {"ConntrackPolicy": "ctpol", "ConntrackNode": "ctnode"}[kind]
    crd = kinds[kind]
    (version,) = crd["versions"]

    assert (kind, module.PLURAL) == (module.KIND, crd["names"]["plural"])
    assert (GROUP, "Cluster") == (crd["group"], crd["scope"])
    assert ([short], ["conntrack"]) == (
        crd["names"]["shortNames"],
        crd["names"]["categories"],
    )
    assert (VERSION, True, True) == (
        version["name"],
        version["served"],
        version["storage"],
    )
    assert {"status": {}} == version["subresources"]


@pytest.mark.parametrize(
    ("kind", "narrow", "wide"),
    [
        (
            "ConntrackPolicy",
            "Ready Nodes Updated Failed Fullest% Age",
            "Mode Pressure Unreachable Reason Message",
        ),
        (
            "ConntrackNode",
            "Policy Ready Entries Max Used% Age",
            "Mode Buckets Peak% Drops Pressure Drifted Kernel Agent Reason",
        ),
    ],
)
def test_columns(kind: str, narrow: str, wide: str, kinds: dict[str, Schema]) -> None:
    """
    ``kubectl get`` shows these, and with ``-o wide`` the others behind them.
    """
    (version,) = kinds[kind]["versions"]
    columns = version["additionalPrinterColumns"]

    for priority, names in enumerate((narrow, wide)):
        assert names.split() == [
            each["name"] for each in columns if each.get("priority", 0) == priority
        ]


@KINDS
def test_every_column_shows_a_field_that_exists(
    kind: str, kinds: dict[str, Schema], schemas: dict[str, Schema]
) -> None:
    """
    No column stays empty because of a slip in its path.
    """
    (version,) = kinds[kind]["versions"]
    known = {path for path, _ in walk(schemas[kind])} | {".metadata.creationTimestamp"}

    for each in version["additionalPrinterColumns"]:
        head, _, rest = each["jsonPath"].partition("[?")
        path = f"{head}[]{rest.partition(']')[2]}" if rest else head
        assert path in known, each["name"]
