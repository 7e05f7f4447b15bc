"""
To the chart's next version and back, while somebody looks at the kernel all the time.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.e2e.conftest import AGENTS, RELEASE, SYSTEM, install
from tests.e2e.test_1_install import kernel
from tests.install.conftest import make_next_chart

from e2e.cluster import wait
from image.build import project_version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e2e.cluster import Cluster

pytestmark = pytest.mark.e2e

LOOK_SECONDS = 0.01
SETTINGS = ("max", "buckets", "tcp_timeout_established", "udp_timeout_stream")
POLICY = ("conntrackpolicy", "cluster-default")


@contextmanager
def unchanged_kernel() -> Iterator[None]:
    """
    Look at the kernel a hundred times a second, and see the same each time.
    """
    seen, over = set(), threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            seen.add(tuple(kernel(name) for name in SETTINGS))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert 1 == len(seen), seen


def new_agent(cluster: Cluster, *former: str) -> str:
    """
    Wait until one agent is there, not a former one and ready, and name it.
    """
    ready: list[str] = []

    def there() -> bool:
        pods = cluster.get("pods", "-n", AGENTS)["items"]
        ready[:] = [
            each["metadata"]["uid"]
            for each in pods
            for condition in each["status"].get("conditions", ())
            if (condition["type"], condition["status"]) == ("Ready", "True")
        ]
        return 1 == len(ready) == len(pods) and ready[0] not in former

    wait(there, "there is one agent, a new one")
    return ready[0]


def test_upgrade_and_rollback_are_no_writes(own: Cluster, tmp_path: Path) -> None:
    """
    New fields in the CRD, a new agent; the same policy, the same values throughout.
    """
    chart = str(make_next_chart(tmp_path))
    sets = (f"image.tag={project_version()}", "agent.config.observeSeconds=2")
    newer = [word for each in sets for word in ("--set", each)]
    install(own)
    own.kubectl("apply", "-f", "examples/cluster-default.yaml")
    own.kubectl("wait", "--for=condition=Ready", "/".join(POLICY), "--timeout=60s")
    before = own.get(*POLICY)["metadata"]
    first = new_agent(own)

    with unchanged_kernel():
        install(own, *newer, chart=chart)
        second = new_agent(own, first)
        own.kubectl("explain", "conntrackpolicy.spec.note")
        back = ("--namespace", SYSTEM, "--wait", "--timeout", "120s")
        own.helm("rollback", RELEASE, *back)
        third = new_agent(own, first, second)
        own.kubectl("wait", "--for=condition=Ready", "/".join(POLICY))

    after = own.get(*POLICY)["metadata"]
    assert 3 == len({first, second, third})
    assert (before["uid"], before["generation"]) == (after["uid"], after["generation"])
