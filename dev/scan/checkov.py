"""
Scan objects with checkov; what is accepted stands in the folder `accepted`, with why.
"""

import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

import yaml

ACCEPTED: Final = Path(__file__).parent / "accepted"
PARTS: Final = ("operator", "agent", "test")
"""Each is scanned by itself: what an agent needs, nothing else is forgiven."""


def part(rendered: str, name: str) -> str:
    """
    Pick the objects of one part of the product.

    Args:
        rendered: YAML documents, as helm renders them.
        name: One of `PARTS`; what belongs to no other is the operator's.

    Returns:
        YAML documents.
    """
    objects = [each for each in yaml.safe_load_all(rendered) if each]
    return yaml.safe_dump_all(
        _as_it_runs(each) for each in objects if _part_of(each) == name
    )


def _as_it_runs(each: dict[str, Any]) -> dict[str, Any]:
    """
    Make of a template the DaemonSet that the operator makes of it.
    """
    if each["kind"] != "PodTemplate":
        return each
    template = each["template"]
    labels = {"matchLabels": template["metadata"]["labels"]}
    spec = {"selector": labels, "template": template}
    made = {"apiVersion": "apps/v1", "kind": "DaemonSet", "spec": spec}
    return made | {"metadata": each["metadata"]}


def _part_of(each: dict[str, Any]) -> str:
    component = each["metadata"]["labels"]["app.kubernetes.io/component"]
    return component if component in PARTS else PARTS[0]


def checkov(program: Path, objects: str, name: str) -> subprocess.CompletedProcess[str]:
    """
    Scan objects.

    Args:
        program: checkov.
        objects: YAML documents.
        name: One of `PARTS`, whose accepted findings are left out.

    Returns:
        What it said; its exit code is 1 where it found something.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.yaml"
        file.write_text(objects)
        return subprocess.run(
            [
                *(str(program), "--framework", "kubernetes", "--compact", "--quiet"),
                *("--config-file", str(ACCEPTED / f"{name}.yaml")),
                *("--file", str(file)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
