"""
What a Prometheus reads from both processes, where their metrics are on.
"""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.e2e.conftest import AGENTS, SYSTEM, install, settled
from tests.e2e.test_1_install import kernel

from e2e.cluster import wait
from e2e.layout import NODE, NODE_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster import Cluster

pytestmark = pytest.mark.e2e

POLICY = "cluster-default"
AGENT_ON = ("--set", "agent.metrics.enabled=true")
OPERATOR_ON = ("--set", "operator.metrics.enabled=true")


@pytest.fixture
def silent(policed: Cluster) -> Iterator[Cluster]:
    """
    Give the installation whose metrics are off; they are off again afterwards.
    """
    yield policed
    install(policed)
    wait(lambda: settled(policed, 1), "the agent serves nothing again")


def scrape(cluster: Cluster, namespace: str) -> dict[str, float]:
    """
    Read the pod's port of the name that a PodMonitor selects.

    Returns:
        Metric, with the values of its labels behind it, to number.
    """
    pods = cluster.get("pods", "-n", namespace)["items"]
    (pod,) = (each for each in pods if each["spec"]["nodeName"] == NODE)
    (container,) = pod["spec"]["containers"]
    (port,) = (
        each["containerPort"]
        for each in container["ports"]
        if each["name"] == "metrics"
    )
    url = f"http://{pod['status']['podIP']}:{port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def until_there(cluster: Cluster, namespace: str, metric: str) -> dict[str, float]:
    """
    Scrape until a process that has just started listens, and knows something.
    """
    found: dict[str, float] = {}

    def there() -> float:
        with suppress(urllib.error.URLError):
            found.update(scrape(cluster, namespace))
        return found.get(metric, 0)

    wait(there, f"{metric} is true")
    return found


def test_both_processes_are_scraped(silent: Cluster) -> None:
    """
    The agent's numbers are the kernel's, the operator's those of the policy.
    """
    install(silent, *AGENT_ON, *OPERATOR_ON)
    wait(lambda: settled(silent, 1), "the new agent is ready")
    agent = until_there(silent, AGENTS, "conntrack_agent_ready")
    counted = "conntrack_operator_policy_nodes"
    operator = until_there(silent, SYSTEM, f"{counted} {POLICY} updated")

    assert kernel("max") == agent["conntrack_agent_entries_limit"]
    assert kernel("buckets") == agent["conntrack_agent_buckets"]
    assert 0 < agent["conntrack_agent_entries"]
    assert 0 == agent["conntrack_agent_writes_total applied"]
    assert 1 == operator["conntrack_operator_lease_held"]
    assert 1 == operator["conntrack_operator_synced"]
    nodes = {
        state: operator[f"{counted} {POLICY} {state}"]
        for state in ("matched", "updated", "failed")
    }
    assert {"matched": 1, "updated": 1, "failed": 0} == nodes


def test_nothing_listens_unless_asked(silent: Cluster) -> None:
    """
    Neither port is open by default.
    """
    (operator,) = silent.get("pods", "-n", SYSTEM)["items"]
    for address, port in (
        (NODE_ADDRESS, 9464),
        (operator["status"]["podIP"], 8081),
    ):
        with closing(socket.socket()) as client:
            assert 0 != client.connect_ex((address, port)), port


def test_a_port_that_is_taken_is_said(silent: Cluster) -> None:
    """
    The agent does not start without what it was asked for, and names the port.
    """

    def said() -> Any:  # noqa: ANN401 - any object
        return silent.get("conntrackpolicy", POLICY)["status"].get("agents") or {}

    with closing(socket.create_server((NODE_ADDRESS, 9464))):
        install(silent, *AGENT_ON)
        wait(lambda: said().get("reason") == "CrashLoopBackOff", "the policy says it")

    words = f"--metrics-address: cannot listen at {NODE_ADDRESS} port 9464: Address"
    assert words in said()["message"]
