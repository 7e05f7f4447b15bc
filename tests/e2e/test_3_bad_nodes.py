"""
Installations that helm cannot refuse: what their pods and objects say.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.e2e.conftest import AGENTS, install

from e2e.cluster import wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster import Cluster

pytestmark = pytest.mark.e2e


@pytest.fixture
def governed(own: Cluster) -> Iterator[Cluster]:
    """
    Install, with a policy that is Ready; installed properly again afterwards.
    """
    install(own)
    own.kubectl("apply", "-f", "examples/cluster-default.yaml")
    ready = ("wait", "--for=condition=Ready", "conntrackpolicy/cluster-default")
    own.kubectl(*ready, "--timeout=60s")
    yield own
    own.helm("uninstall", "conntrack", "--namespace", "conntrack-system", "--wait")
    own.kubectl("wait", "--for=delete", f"namespace/{AGENTS}", "--timeout=60s")


def bad(cluster: Cluster, setting: str) -> None:
    """
    Upgrade to what cannot work, without waiting for it.
    """
    cluster.helm(
        *("upgrade", "conntrack", "charts/conntrack-operator", "--reuse-values"),
        *("--namespace", "conntrack-system", "--set", setting),
    )


def test_a_state_directory_that_cannot_be_mounted_is_said(governed: Cluster) -> None:
    """
    The pod waits, and its event names the path.
    """
    assert governed.layout is not None
    file = governed.layout.folder / "file"
    file.touch()

    bad(governed, f"agent.stateDir={file}")

    events = ("get", "events", "-n", AGENTS, "--field-selector=reason=FailedMount")
    wait(
        lambda: f"{file} is not a directory" in governed.kubectl(*events),
        "an event names the path",
    )


def test_a_directory_of_the_host_that_is_not_there_is_said_and_not_made(
    governed: Cluster,
) -> None:
    """
    The pod waits, its event names the path, and the host is left as it is.
    """
    missing = Path("/usr/local/lib/modprobe.d")
    assert not missing.exists()

    bad(governed, f"agent.hostFiles={{/etc/modprobe.d,{missing}}}")

    events = ("get", "events", "-n", AGENTS, "--field-selector=reason=FailedMount")
    wait(
        lambda: f"{missing} is not a directory" in governed.kubectl(*events),
        "an event names the path",
    )
    assert not missing.exists()


def test_a_state_directory_that_cannot_be_written_is_said(governed: Cluster) -> None:
    """
    The agent writes nothing, since the way back could not be written down, and says so.
    """
    bad(governed, "agent.stateDir=/sys/kernel")

    def ready() -> dict[str, str]:
        (node,) = governed.get("conntracknodes")["items"]
        found: list[dict[str, str]] = node["status"].get("conditions", [])
        return {each["type"]: each for each in found}.get("Ready", {})

    wait(lambda: ready().get("reason") == "JournalUnavailable", "the node says why")
    assert "False" == ready()["status"]
    assert "/var/lib/conntrack-operator" in ready()["message"]
