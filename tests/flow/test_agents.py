"""
The agents' DaemonSet beside the controllers that work on it: counts, reasons, the end.

Nothing runs the pods, and no scheduler looks at them; the DaemonSet controller and the
garbage collector are the real ones.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import pytest
import yaml

from conntrack_api.policy_status import AgentCounts
from conntrack_operator.access import Credentials
from conntrack_operator.agents import Agents
from conntrack_operator.cluster import ApiCluster
from conntrack_operator.decide import decide
from conntrack_operator.pacing import Backoff
from conntrack_operator.patience import NARROW_SECONDS
from conntrack_operator.rows import PolicyRow
from conntrack_operator.testing import FakeTime, pod_template, policy, policy_row
from conntrack_operator.transport import Transport
from control_plane import ControlPlane
from control_plane.testing import control_plane_or_skip

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("hung_up")]

DEADLINE = 180.0
ENFORCE = "pod-security.kubernetes.io/enforce"
TEMPLATE = {
    "apiVersion": "v1",
    "kind": "PodTemplate",
    **pod_template("agent:1", hostNetwork=True),
    "metadata": {"name": "agent", "namespace": "agents"},
}


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """Run a control plane with three nodes, two of them selected."""
    with control_plane_or_skip(controller_manager=True) as running:
        objects = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "agents"}},
            TEMPLATE,
            *(
                {
                    "apiVersion": "v1",
                    "kind": "Node",
                    "metadata": {"name": name, "labels": {"pool": pool}},
                }
                for name, pool in (("n1", "web"), ("n2", "web"), ("n3", "db"))
            ),
        ]
        running.kubectl_run("create", "-f", "-", input=yaml.safe_dump_all(objects))
        yield running


class Keeper:
    """A keeper with a clock of its own."""

    def __init__(self, transport: Transport) -> None:
        """Start without having looked."""
        self.time = FakeTime()
        self.policies: Sequence[PolicyRow] = [
            policy_row(policy(labels={"pool": "web"}))
        ]
        self.daemons = ApiCluster(transport).daemons("agents", "agent")
        self.agents = Agents(
            self.daemons,
            policies=self._policies,
            ring=lambda: None,
            epoch=lambda: 1,
            backoff=Backoff(Random(0)),  # noqa: S311 - spreads nothing here
            clock=self.time.clock,
            sleep=self.time.sleep,
        )

    async def _policies(self) -> Sequence[PolicyRow]:
        """List freshly."""
        return self.policies

    async def until(self, true: Callable[[AgentCounts], bool]) -> AgentCounts:
        """Look and keep until the counts are so."""
        deadline = time.monotonic() + DEADLINE
        found: AgentCounts | None = None
        while time.monotonic() < deadline:
            self.time.now += 10
            await self.agents.look()
            await self.agents.keep(self.policies, decide(self.policies, {}, {}))
            found = self.agents.counts(None)
            if found is not None and true(found):
                return found
            await asyncio.sleep(0.2)
        raise AssertionError(f"it never came to that: {found}")

    async def generation(self) -> int:
        """Tell how often the DaemonSet was changed."""
        live = await self.daemons.daemon_set()
        assert live is not None
        return int(live["metadata"]["generation"])


@asynccontextmanager
async def keeper(plane: ControlPlane) -> AsyncIterator[Keeper]:
    """Connect a keeper."""
    credentials = Credentials(
        kubeconfig=str(plane.kubeconfig), context=None, clock=time.monotonic
    )
    async with Transport(credentials) as transport:
        yield Keeper(transport)


async def test_from_the_first_policy_to_the_end_of_the_release(
    plane: ControlPlane,
) -> None:
    """Agents are counted where policies select, reasons said, and nothing is left."""
    async with keeper(plane) as running:
        every, running.policies = running.policies, []
        await running.until(lambda now: now == AgentCounts())
        assert 1 == await running.generation()

        plane.kubectl_run("label", "namespace", "agents", f"{ENFORCE}=restricted")
        running.policies = every
        refused = await running.until(lambda now: now.reason == "FailedCreate")
        assert (2, 0, 2) == (refused.expected, refused.running, refused.missing)
        assert 'violates PodSecurity "restricted' in refused.message

        plane.kubectl_run("label", "namespace", "agents", f"{ENFORCE}-")
        waiting = await running.until(lambda now: now.reason == "NotReady")
        assert 2 == waiting.missing

        assert 2 == await running.generation()
        async with keeper(plane) as restarted:
            restarted.policies = every
            await restarted.until(lambda now: now.missing == 2)
        assert 2 == await running.generation()

        running.policies = []
        running.time.now += NARROW_SECONDS
        await running.until(lambda now: now.expected == 0)
        assert 3 == await running.generation()

        plane.kubectl_run("delete", "podtemplate", "agent", "-n", "agents")
        await running.until(lambda now: now.reason == "NoTemplate")
        deadline = time.monotonic() + DEADLINE
        while await running.daemons.daemon_set() is not None:
            assert time.monotonic() < deadline, "the garbage collector never came"
            await asyncio.sleep(0.2)
        await running.until(lambda now: now.reason == "NoTemplate")
        assert None is await running.daemons.daemon_set()
