"""
Little clusters for the tests of this folder; they leave them running and Ready.
"""

import gc
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from control_plane.processes import Watch
from control_plane.testing import control_plane_or_skip
from demo.rehearsal import Audit, Cluster
from faults.house import House, house


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
    with ExitStack() as stack:
        plane = stack.enter_context(
            control_plane_or_skip(
                controller_manager=True, apiserver_arguments=audit.arguments
            )
        )
        watch = Watch(folder)
        stack.callback(watch.close)
        running = Cluster(plane, folder, watch)
        stack.callback(running.cast.end)
        running.apply(table={"maxEntries": 524288}, timeouts={"icmp": 20})
        running.wait_ready()
        yield running


@pytest.fixture(scope="module")
def thirty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """
    Run a control plane with thirty Nodes, whose agents are simulated.
    """
    folder = tmp_path_factory.mktemp("thirty")
    with control_plane_or_skip() as plane, house(plane, folder) as found:
        yield found


@pytest.fixture
def hung_up() -> Iterator[None]:
    """
    Let connections be broken off without a word.

    aiohttp leaves a socket behind when it is cancelled while it connects, which is what
    ending an operator or an agent in the middle comes to. Such sockets are collected
    here, where nobody minds, and not under a later test.
    """
    yield
    gc.collect()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Have no test that asks for `hung_up` fail for a socket left behind.
    """
    for item in items:
        if "hung_up" in getattr(item, "fixturenames", ()):
            silent = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
            item.add_marker(silent)
