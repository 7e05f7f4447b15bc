"""
The API server estimates what validation may cost, and refuses a kind that costs much.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from control_plane import ControlPlane

pytestmark = pytest.mark.apiserver

CRDS = Path(__file__).parents[2] / "crds"


def test_there_is_room_for_ten_more_timeouts(control_plane: ControlPlane) -> None:
    """
    The policy's rules stay clear of the limit, also where it is tightest.

    Kubernetes 1.33 takes no notice of the length of an int-or-string, so that each
    timeout costs as much as a text of 3 MiB; newer ones are far from the limit.
    """
    kind = yaml.safe_load((CRDS / "conntrackpolicies.yaml").read_text())
    schema = kind["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    timeouts = schema["properties"]["spec"]["properties"]["timeouts"]["properties"]
    timeouts["more"] = timeouts["tcp"]

    done = control_plane.kubectl_run(
        "replace",
        "--dry-run=server",
        "--filename=-",
        input=json.dumps(kind),
        check=False,
    )

    assert ("", 0) == (done.stderr, done.returncode)
