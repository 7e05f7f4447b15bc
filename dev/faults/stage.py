"""
The stage: the agents of thirty Nodes, their policy, and operators behind gates.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self

import yaml

from conntrack_api.conditions import ConditionStatus, PolicyCondition, find
from conntrack_operator.access import Credentials
from conntrack_operator.cluster import ApiCluster
from conntrack_operator.rows import PolicyRow
from conntrack_operator.transport import Transport
from control_plane.processes import Program
from demo.cast import NAMESPACE
from demo.errors import DemoFailed
from demo.fleet import Fleet
from faults.gate import Gate
from faults.house import NODES, House

BUDGET: Final = 5
DEADLINE: Final = 240.0
CANARIES: Final = {"maxUnavailable": BUDGET, "canaries": 1, "soakSeconds": 0}
POLICY: Final = "fleet"

_HOLDER: Final = (
    *("get", "lease", "conntrack-operator", f"--namespace={NAMESPACE}"),
    "--output=jsonpath={.spec.holderIdentity}",
)


@dataclass(slots=True)
class Operator:
    """A real operator and the gate that its requests pass."""

    program: Program
    gate: Gate

    def pause(self) -> None:
        """
        Stop it where it is.
        """
        os.kill(self.program.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """
        Let it go on, as if nothing had been.
        """
        os.kill(self.program.pid, signal.SIGCONT)


class Stage:
    """What a scenario works with: the fleet, the policy, the operators."""

    def __init__(self, of: House, transport: Transport) -> None:
        """
        Take the house; see `stage`.
        """
        self.plane = of.plane
        self.transport = transport
        self.fleet = Fleet(transport)
        self._house = of
        self._cluster = ApiCluster(transport)
        self._gates = AsyncExitStack()
        self._files = 0
        self.operators: list[Operator] = []
        """Those that run; the first one is meant to have the lease."""
        self.limit = 100_000
        """What the policy asks."""

    async def __aenter__(self) -> Self:
        """
        Let the agents run.
        """
        self._following = asyncio.create_task(self.fleet.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """
        End the operators and the agents.
        """
        for each in self.operators:
            # Asked, so that the lease is given back.
            await asyncio.to_thread(each.program.terminate, 10)
        await self._gates.aclose()
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)

    async def start_operator(self, *options: str) -> Operator:
        """
        Start one more operator.

        Args:
            options: More of its command line.
        """
        gate = await self._gates.enter_async_context(Gate(self.plane))
        self._files += 1
        file = self._house.folder / f"operator-{self._files}-{id(self)}.kubeconfig"
        token = await asyncio.to_thread(
            self.plane.token_for, NAMESPACE, "conntrack-operator"
        )
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "gate",
            "clusters": [{"name": "gate", "cluster": {"server": gate.url}}],
            "users": [{"name": "gate", "user": {"token": token}}],
            "contexts": [
                {"name": "gate", "context": {"cluster": "gate", "user": "gate"}}
            ],
        }
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump(content))
        program = self._house.cast.start_operator(file, *options)
        operator = Operator(program, gate)
        self.operators.append(operator)
        return operator

    def kill(self, operator: Operator) -> None:
        """
        End an operator as ``kill -9`` does.
        """
        operator.program.kill()
        self.operators.remove(operator)

    async def free_lease(self) -> None:
        """
        Give the lease of a dead operator back, as its expiry would 15 s later.
        """
        await self.kubectl(
            *("patch", "lease", "conntrack-operator", f"--namespace={NAMESPACE}"),
            *("--type=merge", '--patch={"spec":{"holderIdentity":""}}'),
        )

    async def lease_taken(self) -> None:
        """
        Wait until an operator has the lease: one that waited, if none was started.
        """
        async with asyncio.timeout(DEADLINE):
            while not await self.kubectl(*_HOLDER):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)

    async def edit(
        self, limit: int, *, on_removal: str = "Keep", **rollout: object
    ) -> None:
        """
        Apply the policy with this limit.
        """
        self.limit = limit
        policy = {
            "apiVersion": "conntrack.dev/v1alpha1",
            "kind": "ConntrackPolicy",
            "metadata": {"name": POLICY},
            "spec": {
                "nodeSelector": {"matchLabels": {"fleet": "yes"}},
                "table": {"maxEntries": limit},
                "rollout": {**CANARIES, **rollout},
                "onRemoval": on_removal,
            },
        }
        await self.kubectl("apply", "-f", "-", given=yaml.safe_dump(policy))

    async def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """
        Run kubectl as the administrator; give what it printed.
        """
        done = await asyncio.to_thread(self.plane.kubectl_run, *arguments, input=given)
        return done.stdout

    async def policy(self) -> PolicyRow | None:
        """
        Read the policy; ``None`` when there is none.
        """
        found = await self._cluster.policies()
        return next((each for each in found if each.name == POLICY), None)

    async def gone(self) -> None:
        """
        Wait until there is no policy.

        Raises:
            TimeoutError: There still is.
        """
        async with asyncio.timeout(DEADLINE):
            while await self.policy():  # noqa: ASYNC110 - another process ends it
                await asyncio.sleep(0.05)

    async def uid(self) -> str:
        """
        Give the policy's UID; empty when there is none.
        """
        row = await self.policy()
        return row.uid if row else ""

    async def said(self, type_: str) -> str:
        """
        Give what a condition of the policy says.

        Returns:
            The reason if it is True, else ``not`` and the reason; empty while nothing
            was said of the present generation.
        """
        row = await self.policy()
        condition = find(row.status.conditions, type_) if row else None
        if row is None or condition is None:
            return ""
        if condition.observed_generation != row.generation:
            return ""
        true = condition.status is ConditionStatus.TRUE
        return condition.reason if true else f"not {condition.reason}"

    async def settled(self) -> None:
        """
        Wait until every node has what the policy asks, and the policy says so.
        """
        await self.until(lambda: self.fleet.at(self.limit) == NODES, "all nodes")
        await self.until_said(PolicyCondition.READY, "AllNodesUpToDate")

    async def until_said(self, type_: str, reason: str) -> None:
        """
        Wait until a condition of the policy is True for a reason.

        Raises:
            DemoFailed: It did not become so.
        """
        until = time.monotonic() + DEADLINE
        while (said := await self.said(type_)) != reason:
            if time.monotonic() > until:
                raise DemoFailed(f"{type_} is {said!r} instead of {reason!r}")
            await asyncio.sleep(0.05)

    async def until(self, check: Callable[[], bool], what: str) -> None:
        """
        Wait for a condition.

        Raises:
            DemoFailed: It did not come.
        """
        try:
            async with asyncio.timeout(DEADLINE):
                # What is waited for happens in other processes.
                while not check():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise DemoFailed(f"not within {DEADLINE:.0f} s: {what}") from error

    def count_anew(self) -> None:
        """
        Begin to count: writes, and nodes that change at one instant.
        """
        self.fleet.forget()
        for each in self.operators:
            each.gate.count_anew()


@asynccontextmanager
async def stage(of: House) -> AsyncIterator[Stage]:
    """
    Set the stage: one operator leads, and every node has what the policy asks.
    """
    credentials = Credentials(
        kubeconfig=str(of.plane.kubeconfig), context=None, clock=time.monotonic
    )
    async with Transport(credentials) as transport, Stage(of, transport) as found:
        await found.start_operator()
        await found.edit(found.limit, maxUnavailable="100%", canaries=0)
        await found.settled()
        yield found
