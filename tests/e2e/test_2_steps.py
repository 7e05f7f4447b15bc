"""
Agents are replaced in steps: the real one, and those of nine simulated nodes.

Scheduler and DaemonSet controller are the real ones; so is the kernel.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from tests.e2e.conftest import AGENTS, RELEASE, SYSTEM, install, settled
from tests.e2e.test_2_metrics import AGENT_ON, until_there
from tests.e2e.test_2_upgrade import unchanged_kernel

from conntrack_operator.access import Credentials
from conntrack_operator.transport import Transport
from e2e.cluster import wait
from e2e.layout import NODE
from e2e.simulated import NEVER, Fleet, fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2e.cluster import Cluster

pytestmark = pytest.mark.e2e

NAMES = [f"simulated-{number}" for number in range(1, 10)]
SEED = 20_26
SECONDS = 120.0
STILL_SECONDS = 5.0
"""How long a rollout that is held has to stand still."""


@pytest.fixture
def one(policed: Cluster) -> Iterator[Cluster]:
    """
    Give the installation; it has one node and its usual values again afterwards.
    """
    yield policed
    install(policed)
    wait(lambda: settled(policed, 1), "there is one node again")


async def until(check: Callable[[], bool], what: str) -> None:
    """
    Wait for a condition.
    """
    deadline = time.monotonic() + SECONDS
    while not check():
        assert time.monotonic() < deadline, f"not within {SECONDS:.0f} s: {what}"
        await asyncio.sleep(0.1)


async def replaced(nodes: Fleet, cluster: Cluster, *sets: str) -> int:
    """
    Upgrade until every node has another agent.

    Returns:
        How many agents were away at the worst instant.
    """
    before, count = nodes.pods, len(NAMES) + 1
    assert count == len(before)
    nodes.away.clear()
    words = [word for each in sets for word in ("--set", each)]
    await asyncio.to_thread(install, cluster, *AGENT_ON, *words)
    await until(
        lambda: (
            count == len(nodes.pods)
            and not set(before.values()) & set(nodes.pods.values())
        ),
        "every node has a new agent",
    )
    return max(nodes.away)


async def test_never_more_agents_are_away_than_allowed(one: Cluster) -> None:
    """
    One in ten by default, three where three are allowed, and one where the new version
    does not start; the kernel is not written, and the object stays Ready.
    """
    credentials = Credentials(
        kubeconfig=str(one.kubeconfig), context=None, clock=time.monotonic
    )
    count = len(NAMES) + 1
    async with (
        Transport(credentials) as transport,
        fleet(transport, AGENTS, NAMES, SEED) as nodes,
    ):
        await until(lambda: count == len(nodes.pods), "ten agents run")
        with unchanged_kernel():
            default = await replaced(nodes, one, "agent.config.observeSeconds=2")
            wider = await replaced(
                nodes,
                one,
                "agent.config.observeSeconds=3",
                "agent.updateStrategy.maxUnavailable=3",
            )
            metric = "conntrack_agent_ready"
            last = await asyncio.to_thread(until_there, one, AGENTS, metric)
            written = last["conntrack_agent_writes_total applied"]

            nodes.away.clear()
            broken = ("--set", f"agent.image.repository={NEVER}")
            await asyncio.to_thread(install, one, *AGENT_ON, *broken)
            await until(lambda: nodes.away[-1:] == [1], "one agent is away")
            await asyncio.sleep(STILL_SECONDS)
            still = [*nodes.away]
            running = [image for image in nodes.images.values() if NEVER in image]
            rollback = ("rollback", RELEASE, "--namespace", SYSTEM, "--wait")
            await asyncio.to_thread(one.helm, *rollback)
            await until(
                lambda: count == len(nodes.pods) and settled(one, count), "all is well"
            )
        (ready,) = (
            each["status"]
            for each in one.get("conntracknode", NODE)["status"]["conditions"]
            if each["type"] == "Ready"
        )

    assert 1 == default
    assert 2 <= wider <= 3
    assert 0 == written
    assert (1, 1) == (max(still), still[-1])
    assert [] == running
    assert 1 == max(nodes.away)
    assert "True" == ready
