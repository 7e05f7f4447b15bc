"""
Installed by Helm: what runs, and what a policy does to the kernel.
"""

from __future__ import annotations

import json
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
from tests.install.leftovers import OURS
from tests.kstatus import health, mute

from e2e.cluster import wait

if TYPE_CHECKING:
    from e2e.cluster import Cluster

pytestmark = pytest.mark.e2e

LOOK = {
    "apiVersion": "conntrack.dev/v1alpha1",
    "kind": "ConntrackPolicy",
    "metadata": {"name": "look"},
    "spec": {"nodeSelector": {}, "mode": "Observe"},
}
NETFILTER = Path("/proc/sys/net/netfilter")
HEALTHY = (
    "deployments,daemonsets,configmaps,serviceaccounts,roles,rolebindings,namespaces,"
    "clusterroles,clusterrolebindings,crds,validatingadmissionpolicies,"
    "validatingadmissionpolicybindings"
)
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


def test_every_node_answers(installed: Cluster) -> None:
    """
    Whatever cluster it is: a policy that only looks is Ready, and writes nothing.
    """
    look = "conntrackpolicy/look"
    installed.kubectl("apply", "-f", "-", given=json.dumps(LOOK))
    try:
        installed.kubectl("wait", "--for=condition=Ready", "--timeout=120s", look)
        nodes = installed.get("conntracknodes")["items"]
        ours = (*nodes, installed.get(look))
        healthy = [health(each) for each in ours if not mute(each)]
        linux = installed.get("nodes", "-l", "kubernetes.io/os=linux")["items"]
        asked = [each["metadata"]["name"] for each in linux]
        done = installed.helm("test", RELEASE, "--namespace", SYSTEM, check=False)
    finally:
        installed.kubectl("delete", "--timeout=60s", look)

    assert asked == [each["metadata"]["name"] for each in nodes]
    assert ["Current"] * len(ours) == healthy
    assert [True] * len(nodes) == [
        each["status"]["table"] is not None for each in nodes
    ]
    assert 0 == done.returncode, done.stderr


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


def test_every_object_is_healthy(installed: Cluster) -> None:
    """
    By the rules that Argo CD, Flux and `helm --wait` go by.
    """
    objects = installed.get(HEALTHY, "-A", "-l", OURS)["items"]
    objects += installed.get("conntrackpolicies,conntracknodes")["items"]

    found = {f"{each['kind']}/{each['metadata']['name']}": each for each in objects}
    ill = {name: health(each) for name, each in found.items()}

    assert {"Current"} == set(ill.values()), ill
    assert "Deployment" in {each["kind"] for each in objects}


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
