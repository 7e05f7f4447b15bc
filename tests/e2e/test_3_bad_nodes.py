"""
Installations that helm cannot refuse: what their pods and objects say.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e.conftest import (
    AGENT,
    AGENTS,
    POLICY,
    RELEASE,
    SYSTEM,
    UNINSTALL,
    install,
    settled,
)
from tests.e2e.test_1_install import kernel

from e2e.cluster import wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster import Cluster

pytestmark = pytest.mark.e2e

ENFORCE = "pod-security.kubernetes.io/enforce"
MOUNT = "/template/spec/containers/0/volumeMounts/0"
"""Of the template: that of the host's ``/proc/sys/net``."""
STATE = "/template/spec/volumes/2/hostPath/path"
"""Of the template: the journal's folder. The chart refuses some that do here."""
QUOTA = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "none", "namespace": AGENTS},
    "spec": {
        "hard": {"pods": "0"},
        "scopeSelector": {
            "matchExpressions": [
                {
                    "scopeName": "PriorityClass",
                    "operator": "In",
                    "values": ["system-node-critical"],
                }
            ]
        },
    },
}


@pytest.fixture
def governed(own: Cluster) -> Iterator[Cluster]:
    """
    Install, with a policy that is Ready; installed properly again afterwards.
    """
    install(own)
    own.kubectl("apply", "-f", "examples/cluster-default.yaml")
    own.kubectl("wait", "--for=condition=Ready", POLICY, "--timeout=60s")
    wait(lambda: settled(own, 1), "the agent is ready")
    yield own
    own.helm(*UNINSTALL)
    own.kubectl("wait", "--for=delete", f"namespace/{AGENTS}", "--timeout=60s")


def bad(cluster: Cluster, setting: str) -> None:
    """
    Upgrade to what cannot work, without waiting for it.
    """
    cluster.helm(
        *("upgrade", RELEASE, "charts/conntrack-operator", "--reuse-values"),
        *("--namespace", SYSTEM, "--set", setting),
    )


def change(cluster: Cluster, operation: str, path: str, value: object = None) -> None:
    """
    Change the template behind helm's back, as a mutating policy does.
    """
    steps = [
        {"op": "test", "path": f"{MOUNT}/name", "value": "sysctl-net"},
        {"op": operation, "path": path, "value": value},
    ]
    what = ("podtemplate", AGENT, "-n", AGENTS, "--type=json")
    cluster.kubectl("patch", *what, "-p", json.dumps(steps))


def missing(cluster: Cluster) -> dict[str, Any]:
    """
    Read what the policy says of the agents.
    """
    said: dict[str, Any] = cluster.get(POLICY)["status"].get("agents") or {}
    return said


def ready(cluster: Cluster) -> dict[str, str]:
    """
    Read the node's condition.
    """
    (node,) = cluster.get("conntracknodes")["items"]
    found: list[dict[str, str]] = node["status"].get("conditions", [])
    return {each["type"]: each for each in found}.get("Ready", {})


def test_a_state_directory_that_cannot_be_mounted_is_said(governed: Cluster) -> None:
    """
    The pod waits, and its event names the path.
    """
    assert governed.layout is not None
    file = governed.layout.folder / "file"
    file.touch()

    change(governed, "replace", STATE, str(file))

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
    change(governed, "replace", STATE, "/sys/kernel")

    wait(
        lambda: ready(governed).get("reason") == "JournalUnavailable",
        "the node says why",
    )
    assert "False" == ready(governed)["status"]
    assert "/var/lib/conntrack-operator" in ready(governed)["message"]


@pytest.mark.parametrize(
    ("operation", "path", "words"),
    [
        ("remove", MOUNT, "must be a directory that exists; in a pod it is a mount"),
        (
            "replace",
            "/template/spec/volumes/0/hostPath/path",
            "must be the host's /proc/sys/net, which has a folder core",
        ),
    ],
)
def test_a_mount_that_is_missing_or_another_is_said(
    governed: Cluster, operation: str, path: str, words: str
) -> None:
    """
    The agent does not start; its sentence stands in the policy, and the kernel stays.
    """
    assert governed.layout is not None
    before = kernel("max")

    change(governed, operation, path, str(governed.layout.folder / "kubelet"))

    wait(
        lambda: missing(governed).get("reason") == "CrashLoopBackOff", "the policy says"
    )
    said = "conntrack-agent: --sysctl-net: found '/host/proc/sys/net', "
    assert f"{said}{words}" in missing(governed)["message"]
    assert before == kernel("max") == 65536


def test_a_mount_that_is_read_only_is_said(governed: Cluster) -> None:
    """
    The agent watches and reports; what it is told to write it says it cannot, and why.
    """
    change(governed, "add", f"{MOUNT}/readOnly", value=True)
    wait(lambda: settled(governed, 1), "there is a new agent")
    asked = {"spec": {"timeouts": {"tcp": {"established": 7200}}}}
    governed.kubectl("patch", POLICY, "--type=merge", "-p", json.dumps(asked))

    wait(lambda: ready(governed)["reason"] == "WriteRefused", "the node says why")
    said = "Read-only file system (EROFS): it is mounted read-only here"
    assert f"nf_conntrack_tcp_timeout_established: {said}" in ready(governed)["message"]
    assert 10800 == kernel("tcp_timeout_established")


def test_a_namespace_that_refuses_pods_afterwards_is_said(governed: Cluster) -> None:
    """
    Agents that run go on; the one that has to be made anew is missing, and why.
    """
    space = ("namespace", AGENTS, f"{ENFORCE}=restricted")
    governed.kubectl("label", "--overwrite", *space)
    governed.kubectl("delete", "pods", "--all", "-n", AGENTS)

    wait(lambda: missing(governed).get("reason") == "FailedCreate", "the policy says")
    assert 'violates PodSecurity "restricted' in missing(governed)["message"]
    assert 65536 == kernel("max")


def test_a_quota_that_refuses_critical_pods_is_said(governed: Cluster) -> None:
    """
    Without the priority class the agents run.
    """
    governed.kubectl("apply", "-f", "-", given=json.dumps(QUOTA))
    quota = ("resourcequota", "none", "-n", AGENTS)
    wait(lambda: "hard" in governed.get(*quota).get("status", {}), "the quota counts")
    governed.kubectl("delete", "pods", "--all", "-n", AGENTS)

    wait(lambda: missing(governed).get("reason") == "FailedCreate", "the policy says")
    assert "exceeded quota: none" in missing(governed)["message"]

    bad(governed, "agent.priorityClassName=")
    wait(lambda: settled(governed, 1), "the agent runs without the class")
