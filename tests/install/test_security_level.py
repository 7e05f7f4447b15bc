"""
The operator's side holds to the Pod Security level ``restricted``, as the README says.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.install.conftest import CHART, IN, INSTALL, RELEASE, SYSTEM

if TYPE_CHECKING:
    from e2e.cluster import Cluster

pytestmark = [pytest.mark.apiserver, pytest.mark.install]

LEVEL = "pod-security.kubernetes.io/enforce=restricted"


def test_the_releases_namespace_may_be_restricted(cluster: Cluster) -> None:
    """
    The operator's pod is admitted there, and that of `helm test`, whatever is switched
    on.
    """
    cluster.kubectl("create", "namespace", SYSTEM)
    cluster.kubectl("label", "namespace", SYSTEM, LEVEL)
    sets = ("--set", "operator.metrics.enabled=true", "--set", "apiServer.host=::1")
    cluster.helm(*INSTALL, *sets)

    show = ("--show-only", "templates/tests/install.yaml")
    test = cluster.helm("template", RELEASE, str(CHART), *IN, *sets, *show).stdout
    made = cluster.kubectl("create", "--dry-run=server", "-f", "-", given=test)
    deadline = time.monotonic() + 60
    while not cluster.get("pods", *IN)["items"]:
        assert time.monotonic() < deadline, cluster.kubectl("get", "events", *IN)
        time.sleep(0.2)

    assert "created" in made
