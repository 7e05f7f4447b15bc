"""
One little cluster for the tests of this folder; they leave it running and Ready.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from control_plane import ControlPlane, ControlPlaneUnavailable
from control_plane.processes import Watch
from demo.rehearsal import Audit, Cluster


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """
    Keep an audit log of the module's API server.
    """
    return Audit(tmp_path_factory.mktemp("audit"))


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, audit: Audit
) -> Iterator[Cluster]:
    """
    Run the whole product; a policy is applied and Ready.
    """
    folder = tmp_path_factory.mktemp("cluster")
    plane = ControlPlane(controller_manager=True, apiserver_arguments=audit.arguments)
    try:
        plane.start()
    except ControlPlaneUnavailable as error:
        if os.environ.get("CONNTRACK_REQUIRE_APISERVER") == "1":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    with ExitStack() as stack:
        stack.enter_context(plane)
        watch = Watch(folder)
        stack.callback(watch.close)
        running = Cluster(plane, folder, watch)
        stack.callback(running.cast.end)
        running.apply(table={"maxEntries": 524288}, timeouts={"icmp": 20})
        running.wait_ready()
        yield running
