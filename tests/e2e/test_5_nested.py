"""
A node of kind: a container has timeouts of its own, and the host's table.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from e2e.cluster import wait

if TYPE_CHECKING:
    from e2e.cluster import Cluster

pytestmark = pytest.mark.e2e

POLICY = {
    "apiVersion": "conntrack.dev/v1alpha1",
    "kind": "ConntrackPolicy",
    "metadata": {"name": "nested"},
    "spec": {
        "nodeSelector": {},
        "table": {"maxEntries": 65536},
        "timeouts": {"tcp": {"established": 10800}},
    },
}


@pytest.mark.usefixtures("installed")
def test_the_size_is_the_hosts_and_timeouts_are_applied(nested: Cluster) -> None:
    """
    The object says whose the size is, in words that help, and the rest is done.
    """

    def failures() -> dict[str, str]:
        items = nested.get("conntracknodes")["items"]
        found = items[0].get("status", {}).get("failures", []) if items else []
        return {each["reason"]: each["message"] for each in found}

    nested.kubectl("apply", "-f", "-", given=json.dumps(POLICY))
    wait(lambda: "NotInInitialNamespace" in failures(), "the node says why")
    node = nested.get("nodes")["items"][0]["metadata"]["name"]
    file = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established"
    done = subprocess.run(
        ["docker", "exec", node, "cat", file],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "belongs to the host that this node runs in" in str(failures())
    assert "10800" == done.stdout.strip()
