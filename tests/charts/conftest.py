"""
Rendering the chart with a real helm.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from control_plane.testing import skip_without_programs
from programs import find_program

if TYPE_CHECKING:
    from collections.abc import Hashable

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "conntrack-operator"

Json = dict[str, Any]


class Strict(yaml.SafeLoader):
    """Reads YAML, and refuses two equal keys: readers differ in which one counts."""


def mapping(loader: Strict, node: yaml.MappingNode) -> dict[Hashable, Any]:
    """
    Make a mapping.
    """
    keys = [key.value for key, _ in node.value]
    assert len(keys) == len(set(keys)), f"twice the same key: {keys}"
    return loader.construct_mapping(node, deep=True)


Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)


@dataclass(frozen=True, slots=True, kw_only=True)
class Helm:
    """The program, and what it makes of the chart."""

    program: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """
        Run it.
        """
        return subprocess.run(
            [str(self.program), *arguments], capture_output=True, text=True, check=False
        )

    def template(self, *sets: str) -> subprocess.CompletedProcess[str]:
        """
        Render with values given as ``key=value``, in JSON after ``:=``.
        """
        words = ["template", "one", str(CHART), "--namespace", "conntrack-system"]
        for each in sets:
            json = ":=" in each
            words += ["--set-json" if json else "--set", each.replace(":=", "=", 1)]
        return self.run(*words)

    def render(self, *sets: str) -> list[Json]:
        """
        Render, and read the objects.
        """
        done = self.template(*sets)
        assert 0 == done.returncode, done.stderr
        return [each for each in yaml.load_all(done.stdout, Strict) if each]

    def refusal(self, *sets: str) -> str:
        """
        Render what cannot work, and give what is said.
        """
        done = self.template(*sets)
        assert 0 != done.returncode
        return done.stderr


def one(objects: list[Json], kind: str, name: str = "") -> Json:
    """
    Find the one object of a kind, or of a kind and a name.
    """
    found = [
        each
        for each in objects
        if each["kind"] == kind and name in ("", each["metadata"]["name"])
    ]
    assert 1 == len(found), [each["metadata"]["name"] for each in found]
    return found[0]


def pod_specs(objects: list[Json]) -> dict[str, Json]:
    """
    Find every pod's spec: kind and name to spec.
    """
    return {
        f"{each['kind']}/{each['metadata']['name']}": pod_template(each)["spec"]
        for each in objects
        if each["kind"] in {"Pod", "Deployment", "PodTemplate", "Job"}
    }


def pod_template(obj: Json) -> Json:
    """
    Find an object's pods: metadata and spec.
    """
    if obj["kind"] == "Pod":
        return obj
    found: Json = obj["template"] if "template" in obj else obj["spec"]["template"]
    return found


@pytest.fixture(scope="session")
def helm() -> Helm:
    """
    Find helm; skip where it can neither be found nor built.

    `make scan` runs these tests once more with the oldest helm that is supported.
    """
    with skip_without_programs():
        return Helm(program=find_program("helm"))
