"""
``kill -9`` of the operator at every write of a rollout: before it, and after it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from conntrack_api.conditions import PolicyCondition
from faults.gate import HungUp, Write
from faults.house import NODES
from faults.stage import BUDGET, DEADLINE, Stage

Moment = Literal["before", "after"]
"""Before a write reaches the API server, or after it did and its answer is lost."""

MOMENTS: Final[tuple[Moment, ...]] = ("before", "after")

STEP = 1000

OF_A: Final = {
    "node": "of a node",
    "policy": "of a policy",
    "event": "of an event",
    "agents": "of the agents",
}
"""Kinds of writes, as they are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one rollout came to."""

    fault: str
    """What went wrong, and where."""
    told: int
    """Writes of nodes' specs, by their generations."""
    most: int
    """Most nodes that were changing at one instant."""
    sent: Counter[str] = field(default_factory=Counter)
    """Writes that left the operators, by kind."""
    seconds: float = 0.0
    """From the edit to the end; a policy's status is written every 10 s meanwhile."""
    end: str = ""
    """What the policy says at the end."""


async def rollout(
    on: Stage, number: int | None = None, moment: Moment = "before"
) -> Outcome:
    """
    Roll one edit out to thirty nodes.

    Args:
        on: With the fleet settled, and two operators, the first of which leads.
        number: Of the write at which the leading operator dies; ``None``: it lives.
        moment: Before or after that write.
    """
    leader, *others = on.operators
    died = asyncio.Event()
    killed: list[Write] = []

    def kill(write: Write) -> None:
        if write.number == number:
            killed.append(write)
            on.kill(leader)
            died.set()
            raise HungUp

    if moment == "before":
        leader.gate.before = kill
    else:
        leader.gate.after = kill
    on.count_anew()
    before = on.fleet.specs_written
    began = time.monotonic()
    ended = asyncio.create_task(_edited(on))
    if number is not None:
        async with asyncio.timeout(DEADLINE):
            await died.wait()
        await on.free_lease()
        # Not one that is started now, or the next rollout would wait for a write of
        # an operator that does not lead.
        await on.lease_taken()
        await on.start_operator()
    await ended
    sent: Counter[str] = Counter()
    for each in (leader, *others):
        sent += Counter(write.kind for write in each.gate.seen.writes)
    write = killed[0] if killed else None
    return Outcome(
        fault=f"{moment} write {number}, {OF_A[write.kind]}" if write else "none",
        told=on.fleet.specs_written - before,
        most=on.fleet.most,
        sent=sent,
        seconds=time.monotonic() - began,
        end=await on.said(PolicyCondition.READY),
    )


async def _edited(on: Stage) -> None:
    """
    Edit the policy, and wait until all have it.
    """
    await on.edit(on.limit + STEP)
    await on.settled()


def boundaries(writes: int, every: int = 1) -> Iterator[tuple[int, Moment]]:
    """
    Give where to kill: at each write, or at each so manieth of them.
    """
    for number in range(1, writes + 1, every):
        for moment in MOMENTS:
            yield number, moment


def wrong(outcome: Outcome) -> str:
    """
    Say what of an outcome is not as without a fault; empty when nothing is.
    """
    if outcome.end != "AllNodesUpToDate":
        return f"ends with {outcome.end or 'no word'}"
    if outcome.told != NODES:
        return f"{outcome.told} specs written for {NODES} nodes"
    if not 1 <= outcome.most <= BUDGET:
        return f"{outcome.most} nodes changing at once"
    return ""
