"""
Installed by Helm: what runs, and what a policy does to the kernel.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.e2e.conftest import (
    AGENT,
    AGENTS,
    OPERATOR,
    RELEASE,
    SYSTEM,
    daemon_set,
    install,
    settled,
)

from e2e.cluster import wait

if TYPE_CHECKING:
    from e2e.cluster import Cluster

pytestmark = pytest.mark.e2e

NETFILTER = Path("/proc/sys/net/netfilter")
PODS = ("get", "pods", "-A", "-o", "jsonpath={.items[*].metadata.uid}")
READY = ("wait", "--for=condition=Ready", "conntrackpolicy/cluster-default")


def kernel(name: str) -> int:
    """
    Read a value of this machine's kernel itself.
    """
    return int((NETFILTER / f"nf_conntrack_{name}").read_text())


def agent_uid(cluster: Cluster) -> str:
    """
    Name the agent's pod as no other pod is named.
    """
    return str(
        cluster.kubectl(
            *("get", "pods", "-n", AGENTS),
            *("-o", "jsonpath={.items[*].metadata.uid}"),
        )
    )


def test_without_a_policy_no_agent_runs(own: Cluster) -> None:
    """
    The DaemonSet is there, made by the operator, and matches no node.
    """
    install(own)
    wait(lambda: settled(own, 0), "the DaemonSet is there and wants no agent")

    assert [] == own.get("conntracknodes")["items"]
    assert [] == own.get("pods", "-n", AGENTS)["items"]
    (owner,) = daemon_set(own)["metadata"]["ownerReferences"]
    assert ("PodTemplate", AGENT) == (owner["kind"], owner["name"])


def test_a_policy_reaches_the_kernel(own: Cluster, installed: Cluster) -> None:
    """
    What `kubectl wait` calls Ready is in this machine's own files.
    """
    before = kernel("max")
    installed.kubectl("apply", "-f", "examples/cluster-default.yaml")
    own.kubectl(*READY, "--timeout=60s")

    deployment = installed.get("deployment", OPERATOR, "-n", SYSTEM)["status"]
    assert 1 == deployment["availableReplicas"]
    wait(lambda: settled(own, 1), "the agent is ready")
    after = {
        name: kernel(name)
        for name in ("max", "buckets", "tcp_timeout_established", "udp_timeout_stream")
    }

    assert before != after["max"]
    assert {
        "max": 65536,
        "buckets": 16384,
        "tcp_timeout_established": 10800,
        "udp_timeout_stream": 90,
    } == after


def test_helms_own_test_passes(installed: Cluster) -> None:
    """
    `helm test` asks with the operator's token, from the operator's image.
    """
    done = installed.helm(
        *("test", RELEASE, "--namespace", SYSTEM, "--timeout", "90s"), check=False
    )

    assert 0 == done.returncode, done.stderr
    assert "Phase:          Succeeded" in done.stdout


def test_an_upgrade_without_a_change_changes_nothing(installed: Cluster) -> None:
    """
    The same pods run before and after, and the DaemonSet is of the same generation.
    """

    def seen() -> tuple[str, str, int]:
        daemons = daemon_set(installed)
        deployment = installed.get("deployment", OPERATOR, "-n", SYSTEM)
        return (
            agent_uid(installed),
            deployment["metadata"]["uid"],
            daemons["metadata"]["generation"] + deployment["metadata"]["generation"],
        )

    before = seen()
    install(installed)

    assert before == seen()


def test_a_new_agent_keeps_the_values_of_the_old_one(own: Cluster) -> None:
    """
    An upgrade replaces the pod, a rollback does so again; the kernel sees neither.
    """
    first = agent_uid(own)
    before = {name: kernel(name) for name in ("max", "buckets")}

    def replaced(former: str) -> str:
        wait(
            lambda: settled(own, 1) and agent_uid(own) != former, "there is a new agent"
        )
        return agent_uid(own)

    install(own, "--set", "agent.config.observeSeconds=2")
    second = replaced(first)
    own.helm("rollback", RELEASE, "--namespace", SYSTEM, "--wait", "--timeout", "120s")
    third = replaced(second)
    own.kubectl(*READY, "--timeout=60s")

    assert 3 == len({first, second, third})
    assert before == {name: kernel(name) for name in ("max", "buckets")}


@pytest.mark.usefixtures("own")
def test_drift_is_put_back_by_the_pod() -> None:
    """
    Somebody else's value does not stay.
    """
    name = "tcp_timeout_established"
    (NETFILTER / f"nf_conntrack_{name}").write_text("4242")

    wait(lambda: kernel(name) == 10800, "the value of the policy is back")


def test_uninstalling_leaves_values_and_policies(own: Cluster) -> None:
    """
    Whoever installs again finds everything as it was.
    """
    before = {name: kernel(name) for name in ("max", "buckets")}

    own.helm("uninstall", RELEASE, "--namespace", SYSTEM, "--wait")
    wait(lambda: not own.kubectl(*PODS), "no pod is left")
    policies = own.kubectl("get", "conntrackpolicies", "-o", "name")
    roles = own.kubectl("get", "clusterroles,clusterrolebindings", "-o", "name")
    guards = own.kubectl("get", "validatingadmissionpolicies", "-o", "name")

    assert [] == own.get("daemonsets", "-A")["items"]
    assert "conntrackpolicy.conntrack.dev/cluster-default" == policies.strip()
    assert "conntrack-operator" not in roles + guards
    assert before == {name: kernel(name) for name in ("max", "buckets")}
    own.kubectl("wait", "--for=delete", f"namespace/{AGENTS}", "--timeout=60s")
    install(own)
    wait(lambda: settled(own, 1), "the agent is back")
    own.kubectl(*READY, "--timeout=60s")
