"""
Hold objects against the schemas of one Kubernetes release, with kubeconform.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from control_plane import ControlPlane, ControlPlaneFailed, find_binaries
from control_plane.recipe import MODULES, VARIABLE, minors
from programs import find_program
from scan.schemas import LOCATION, schemas

ROOT: Final = Path(__file__).resolve().parents[2]
CRDS: Final = ROOT / "crds"
OURS: Final = {
    f"dev.conntrack.v1alpha1.{kind}" for kind in ("ConntrackPolicy", "ConntrackNode")
}
PUBLISHED_SECONDS: Final = 60.0
OLDEST, *_, NEWEST = minors(MODULES)
"""Minors of Kubernetes, such as ``1.33``."""


@contextmanager
def control_plane(minor: str) -> Iterator[ControlPlane]:
    """
    Run a control plane of one minor that knows both our kinds.

    Args:
        minor: Such as ``1.33``.
    """
    binaries = find_binaries({**os.environ, VARIABLE: minor})
    with ControlPlane(binaries) as plane:
        plane.kubectl_run("apply", "--server-side", f"--filename={CRDS}")
        plane.kubectl_run("wait", "--for=condition=Established", "crd", "--all")
        yield plane


def write_schemas(plane: ControlPlane, folder: Path) -> str:
    """
    Write the schemas of a running API server.

    Args:
        plane: It, with the CRDs of this checkout.
        folder: Where the files go; made if missing.

    Returns:
        Release of that server, such as ``v1.33.13``.
    """
    for path, schema in schemas(_published(plane)).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(schema))
    return plane.version


def _published(plane: ControlPlane) -> Any:  # noqa: ANN401 - a document
    """
    Read the document, once the server has put our kinds into it.

    Raises:
        ControlPlaneFailed: It did not.
    """
    deadline = time.monotonic() + PUBLISHED_SECONDS
    while time.monotonic() < deadline:
        document = json.loads(plane.kubectl_run("get", "--raw", "/openapi/v2").stdout)
        if set(document["definitions"]) >= OURS:
            return document
    raise ControlPlaneFailed("kube-apiserver does not publish our kinds.")


def conform(objects: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """
    Hold objects against schemas.

    Args:
        objects: YAML documents.
        folder: The schemas.

    Returns:
        What kubeconform said; its exit code is 0 where everything conforms. A kind
        without a schema is an error, too.
    """
    return subprocess.run(
        [
            str(find_program("kubeconform")),
            "-strict",
            "-summary",
            "-verbose",
            f"-schema-location={folder}/{LOCATION}",
        ],
        input=objects,
        capture_output=True,
        text=True,
        check=False,
    )
