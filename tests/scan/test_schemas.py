"""
Schemas for kubeconform, of what an API server publishes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from control_plane.testing import skip_without_programs
from scan.conform import NEWEST, OLDEST, ROOT, conform, control_plane, write_schemas
from scan.schemas import schemas

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = {
    "definitions": {
        "tree": {
            "x-kubernetes-group-version-kind": [
                {"group": "", "version": "v1", "kind": "Tree"},
                {"group": "wood.example", "version": "v2", "kind": "Tree"},
            ],
            "properties": {
                "branches": {"type": "array", "items": {"$ref": "#/definitions/twig"}},
                "height": {"type": "string", "format": "int-or-string"},
                "names": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
        "twig": {
            "properties": {"tree": {"$ref": "#/definitions/tree"}, "any": {}},
            "x-kubernetes-preserve-unknown-fields": True,
        },
        "stone": {"properties": {}},
    }
}


def test_every_kind_has_a_closed_schema_of_its_own() -> None:
    """
    With what it needs and no more; only what is open to the server is open here.
    """
    made = schemas(DOCUMENT)

    assert {"v1/tree_v1.json", "wood.example/tree_v2.json"} == set(made)
    parts = made["v1/tree_v1.json"]["definitions"]
    assert {"tree", "twig"} == set(parts)
    assert parts["tree"]["additionalProperties"] is False
    assert "additionalProperties" not in parts["twig"]
    fields = parts["tree"]["properties"]
    assert {"type": "string"} == fields["names"]["additionalProperties"]
    assert {"string", "integer", "number"} == set(fields["height"]["type"])


@pytest.fixture(scope="module", params=[OLDEST, NEWEST])
def folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """
    Write the schemas of one release of Kubernetes.
    """
    made = tmp_path_factory.mktemp("schemas")
    with skip_without_programs(), control_plane(request.param) as plane:
        write_schemas(plane, made)
    return made


def said(folder: Path, changed: dict[str, Any]) -> str:
    """
    Hold a policy of ours, changed, against the schemas.
    """
    policy = yaml.safe_load((ROOT / "examples" / "cluster-default.yaml").read_text())
    policy["spec"].update(changed)
    return conform(yaml.safe_dump(policy), folder).stdout


@pytest.mark.install
def test_a_wrong_object_is_found(folder: Path) -> None:
    """
    A field that nobody knows, and a value of the wrong type; ours pass as they are.
    """
    assert "Valid: 1, Invalid: 0" in said(folder, {})
    assert "'priorty' not allowed" in said(folder, {"priorty": 1})
    assert "want integer" in said(folder, {"priority": "high"})
