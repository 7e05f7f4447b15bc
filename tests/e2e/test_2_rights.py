"""
What the running processes are to their kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.e2e.conftest import AGENTS, SYSTEM

if TYPE_CHECKING:
    from e2e.cluster import Cluster

pytestmark = pytest.mark.e2e

NET_ADMIN, SYSLOG = 1 << 12, 1 << 34
FILTERED = "2"
"""Of ``Seccomp``: a filter decides."""

OF_MAIN = "cat /proc/1/status"
OWN = ("/dev", "/proc", "/sys/fs/cgroup")
"""Mounts that every container has for itself."""
HOST = "/host/proc/sys/net/netfilter"


def container(cluster: Cluster, namespace: str) -> str:
    """
    Find the container of the one pod of a namespace.
    """
    pods = cluster.get("pods", "-n", namespace)["items"]
    running = [each for each in pods if each["status"]["phase"] == "Running"]
    return str(running[0]["status"]["containerStatuses"][0]["containerID"])


def status(cluster: Cluster, namespace: str) -> dict[str, str]:
    """
    Read what the kernel says about the process itself.
    """
    text = cluster.inside(container(cluster, namespace), OF_MAIN)
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: value.strip() for name, value in pairs}


@pytest.mark.usefixtures("policed")
def test_the_agent_is_root_with_one_capability(own: Cluster) -> None:
    """
    It cannot get more, and system calls are filtered.
    """
    seen = status(own, AGENTS)

    assert ["0"] * 4 == seen["Uid"].split()
    assert NET_ADMIN == int(seen["CapEff"], 16) == int(seen["CapBnd"], 16)
    assert "1" == seen["NoNewPrivs"]
    assert FILTERED == seen["Seccomp"]


@pytest.mark.usefixtures("policed")
def test_the_operator_is_nobody(own: Cluster) -> None:
    """
    No uid of anybody, no capability.
    """
    seen = status(own, SYSTEM)

    assert ["65532"] * 4 == seen["Uid"].split()
    assert 0 == int(seen["CapEff"], 16) == int(seen["CapBnd"], 16)
    assert ("1", FILTERED) == (seen["NoNewPrivs"], seen["Seccomp"])


@pytest.mark.usefixtures("policed")
@pytest.mark.parametrize(
    ("what", "script", "words"),
    [
        ("the table's size", f"F={HOST}/nf_conntrack_max; cat $F > $F", ""),
        (
            "the module's buckets",
            "test -w /host/sys/module/nf_conntrack/parameters/hashsize || echo no",
            "",
        ),
        ("its journal", "touch /var/lib/conntrack-operator/x", ""),
        ("its own file system", "touch /x", "Read-only"),
        ("its program", "touch /opt/conntrack/x", "Read-only"),
        ("a temporary file", "touch /var/tmp/x", "Read-only"),
        ("sysctls at home", "F=/proc/sys/vm/swappiness; cat $F > $F", "Read-only"),
        ("the kernel's panic", "F=/proc/sys/kernel/panic; cat $F > $F", "Read-only"),
        ("sysfs", "echo x > /sys/kernel/uevent_helper", "Read-only"),
        ("devices", "mknod /dev/x b 8 0", "not permitted"),
        ("mounts", "mount -t tmpfs x /mnt", "ermission denied"),
        ("host processes", "ls -d /proc/[0-9]* | wc -l | grep -v '^[1-9]$'", ""),
        ("the clock", "date -s @0", "not permitted"),
        ("the host's files", "ls /host", "proc"),
        ("its user", "setpriv --reuid 1 true", "not permitted"),
        ("pip", "python3 -m pip --version", "No module named pip"),
        ("fakes", "python3 -m conntrack_agent.fake_kernel", "No module named"),
        ("tests", "find /opt/conntrack -name 'test*' -type d", ""),
        ("setuid programs", "find / -xdev -type f -perm /6000", ""),
    ],
)
def test_what_an_agent_can_and_cannot_do(
    own: Cluster, what: str, script: str, words: str
) -> None:
    """
    With the rights of its own process; nothing said means that it was done.
    """
    said = own.inside(container(own, AGENTS), script).strip()

    assert words in said if words else said == "", f"{what}: {said}"


@pytest.mark.usefixtures("policed")
def test_the_agents_mounts_are_these(own: Cluster) -> None:
    """
    Three folders of the host can be written, and the rest of what is there is not.
    """
    mounts = own.inside(container(own, AGENTS), "cat /proc/self/mounts").splitlines()
    writable = {
        fields[1]
        for fields in map(str.split, mounts)
        if fields[3].startswith("rw") and not fields[1].startswith(OWN)
    }

    assert {
        "/host/proc/sys/net",
        "/host/sys/module",
        "/var/lib/conntrack-operator",
        "/etc/hosts",
        "/etc/resolv.conf",
        "/etc/hostname",
    } >= writable - {"/sys", "/"}
    assert any(line.split()[1] == "/" and "ro" in line.split()[3] for line in mounts)
