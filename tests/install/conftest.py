"""
The chart on a real API server; nothing of it runs.

Controllers run, a kubelet does not: what pods do is the business of `tests/e2e`. `make
scan` runs these tests once more with the oldest helm that is supported.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from control_plane.testing import control_plane_or_skip, skip_without_programs
from e2e.cluster import Cluster
from programs import find_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from control_plane import ControlPlane

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "conntrack-operator"

RELEASE, SYSTEM, AGENTS = "conntrack", "conntrack-system", "conntrack-system-agents"
KINDS = ("conntracknodes.conntrack.dev", "conntrackpolicies.conntrack.dev")
CRDS = tuple(f"crd/{name}" for name in KINDS)
IN = ("--namespace", SYSTEM)
INSTALL = ("upgrade", "--install", RELEASE, str(CHART), *IN, "--create-namespace")


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    """
    Run a control plane with controllers.
    """
    with control_plane_or_skip(controller_manager=True) as plane:
        yield plane


@pytest.fixture
def cluster(plane: ControlPlane) -> Iterator[Cluster]:
    """
    Give the empty cluster, and empty it again afterwards.
    """
    with skip_without_programs():
        helm = find_program("helm")
    cluster = Cluster(
        kubeconfig=plane.kubeconfig,
        kubectl_program=plane.kubectl,
        helm_program=helm,
    )
    yield cluster
    cluster.helm("uninstall", RELEASE, *IN, check=False)
    namespaces = f"namespace/{SYSTEM}", f"namespace/{AGENTS}"  # may be on their way
    cluster.kubectl("delete", "--ignore-not-found", *namespaces)
    cluster.kubectl("delete", "--ignore-not-found", *CRDS)


@pytest.fixture
def next_chart(tmp_path: Path) -> Path:
    """
    Make the chart's next version.
    """
    return make_next_chart(tmp_path)


def make_next_chart(folder: Path) -> Path:
    """
    Make a chart of version 0.2.0, with a field more in a CRD, ``spec.note``, and a
    value more that has to be there, ``noted``.
    """
    chart = folder / "conntrack-operator"
    shutil.copytree(CHART, chart)
    about = chart / "Chart.yaml"
    about.write_text(about.read_text().replace(": 0.1.0", ": 0.2.0"))
    crd = chart / "templates" / "crds" / "conntrackpolicies.yaml"
    before, found, after = crd.read_text().partition("                priority:\n")
    assert found
    field = "                note: {type: string, maxLength: 64}\n"
    crd.write_text(before + field + found + after)
    values = chart / "values.yaml"
    values.write_text(f"{values.read_text()}noted: true\n")
    form = chart / "values.schema.json"
    schema = json.loads(form.read_text())
    schema["properties"]["noted"] = {"type": "boolean"}
    schema["required"].append("noted")
    form.write_text(json.dumps(schema))
    return chart
