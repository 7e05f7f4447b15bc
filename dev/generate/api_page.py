"""
``docs/api.md``: both kinds, field by field, as ``kubectl explain`` tells it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from generate.markdown import code, page, prose, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Schema = dict[str, Any]

INTRODUCTION = """
Two kinds, both cluster-scoped, in the group `{group}`, version `{version}`. A person
writes a `ConntrackPolicy`. The operator makes one `ConntrackNode` for each node that
a policy governs, and nobody else writes its spec. `kubectl explain` shows the same
texts; `kubectl get conntrack` lists both kinds.
"""

_FROM_THE_TABLE = {"timeouts", "flags", "settings"}
"""Objects with one field for each setting: `settings_page` has these."""


def api_page(crds: Sequence[Mapping[str, Any]]) -> str:
    """
    Write the page.

    Args:
        crds: CustomResourceDefinitions as they stand in the files, in order.

    Returns:
        Markdown, one sentence on a line outside the tables.
    """
    spec = crds[0]["spec"]
    group, version = spec["group"], spec["versions"][0]["name"]
    return page(
        "# API reference",
        prose(INTRODUCTION.format(group=group, version=version)),
        *(block for crd in crds for block in _kind(crd["spec"])),
    )


def _kind(spec: Mapping[str, Any]) -> Iterator[str]:
    """
    Write the section of one kind.
    """
    names, (version,) = spec["names"], spec["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    yield f"## {names['kind']}"
    yield prose(schema["description"])
    yield f"Short name: {', '.join(map(code, names['shortNames']))}."
    for half in ("spec", "status"):
        below = schema["properties"][half]
        yield f"### {names['kind']} {half}"
        yield prose(_without_name(half, below["description"]))
        yield table(("Field", "Type", "Description"), _rows(below, ""))


def _rows(schema: Schema, prefix: str) -> Iterator[tuple[str, str, str]]:
    """
    Write the rows of an object's fields, and of all below, depth first.
    """
    required = schema.get("required", ())
    for name, each in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        text = each["description"]
        if name in _FROM_THE_TABLE:
            text += " The fields are those of [settings](settings.md)."
        kind = _type(each) + (", required" if name in required else "")
        yield code(path), kind, text
        if name not in _FROM_THE_TABLE:
            yield from _rows(each, f"{path}.")
            yield from _rows(each.get("items", {}), f"{path}[].")


def _type(schema: Schema) -> str:
    """
    Say in words what a field takes.
    """
    if "enum" in schema:
        return "one of " + ", ".join(map(code, schema["enum"]))
    if "items" in schema:
        return f"list of {_type(schema['items'])}, at most {schema['maxItems']}"
    if "additionalProperties" in schema:
        return f"map to {_type(schema['additionalProperties'])}"
    if schema.get("format") == "date-time":
        return "time"
    if "x-kubernetes-int-or-string" in schema:
        return "integer or string"
    return str(schema["type"])


def _without_name(name: str, description: str) -> str:
    """
    Turn ``spec is what ...`` into a sentence for below a headline.
    """
    rest = description.removeprefix(f"{name} is ")
    return rest[0].upper() + rest[1:]
