"""
The CRD files, as a test wants to walk them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

Schema = dict[str, Any]

CRDS = Path(__file__).parents[2] / "crds"
FILES = {
    "ConntrackPolicy": CRDS / "conntrackpolicies.yaml",
    "ConntrackNode": CRDS / "conntracknodes.yaml",
}


@pytest.fixture(scope="session")
def kinds() -> dict[str, Schema]:
    """
    Give both CRDs: kind to ``spec``.
    """
    return {
        kind: yaml.safe_load(path.read_text())["spec"] for kind, path in FILES.items()
    }


@pytest.fixture(scope="session")
def schemas(kinds: dict[str, Schema]) -> dict[str, Schema]:
    """
    Give both schemas: kind to ``openAPIV3Schema`` of the one version.
    """
    return {
        kind: crd["versions"][0]["schema"]["openAPIV3Schema"]
        for kind, crd in kinds.items()
    }
