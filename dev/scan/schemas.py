"""
Make schemas for kubeconform of what an API server publishes; pure.

An API server describes its kinds at ``/openapi/v2``. kubeconform wants one JSON schema
for each kind and version, and knows a misspelt field only where a schema is closed.
"""

from typing import Any, Final

Json = dict[str, Any]

LOCATION: Final = "{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"
"""Where kubeconform looks for a kind; in its words ``Group`` of the core is ``v1``."""

_KINDS: Final = "x-kubernetes-group-version-kind"
_OPEN: Final = "x-kubernetes-preserve-unknown-fields"
_REFERENCE: Final = "#/definitions/"
_NUMBERS_TOO: Final = ("int-or-string", "io.k8s.apimachinery.pkg.api.resource.Quantity")


def schemas(document: Json) -> dict[str, Json]:
    """
    Make every kind's schema.

    Args:
        document: Body of ``/openapi/v2``.

    Returns:
        Path below the folder of schemas, as `LOCATION` spells it, to closed schema.
    """
    definitions: dict[str, Json] = document["definitions"]
    made = {}
    for name, definition in definitions.items():
        for kind in definition.get(_KINDS, ()):
            group = kind["group"] or kind["version"]
            path = f"{group}/{kind['kind'].lower()}_{kind['version']}.json"
            made[path] = {
                "$ref": f"{_REFERENCE}{name}",
                "definitions": {
                    each: _closed(each, definitions[each])
                    for each in _reached(name, definitions)
                },
            }
    return made


def _reached(name: str, definitions: dict[str, Json]) -> list[str]:
    """
    Name the definitions that one of them needs, itself the first.
    """
    found, waiting = [name], [name]
    while waiting:
        for other in _references(definitions[waiting.pop()]):
            if other not in found:
                found.append(other)
                waiting.append(other)
    return found


def _references(value: Any) -> list[str]:  # noqa: ANN401 - any part of a schema
    if isinstance(value, list):
        return [name for each in value for name in _references(each)]
    if not isinstance(value, dict):
        return []
    found = [name for each in value.values() for name in _references(each)]
    reference = value.get("$ref")
    if isinstance(reference, str):
        found.append(reference.removeprefix(_REFERENCE))
    return found


def _closed(name: str, schema: Json) -> Json:
    """
    Refuse fields that a schema does not name, at every depth.
    """
    if name in _NUMBERS_TOO or schema.get("format") in _NUMBERS_TOO:
        return {"type": ["string", "integer", "number"]}
    made = dict(schema)
    if "properties" in schema:
        made["properties"] = {
            field: _closed("", each) for field, each in schema["properties"].items()
        }
        if not schema.get(_OPEN):
            made["additionalProperties"] = False
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), dict):
            made[part] = _closed("", schema[part])
    return made
