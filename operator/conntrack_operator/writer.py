"""
Writer: carry decisions out, at a pace, each object for itself.

Promises, and where they are kept: at most 50 requests a second and 16 at a time
(`_one`); no second decision for a node on a picture that lacks the first one
(`write`); what an absence asks for only when fresh reads lead to the same decision
(`_confirmed`); content that the API server called invalid is not sent twice
(`refusal`).
"""

import asyncio
import logging
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

from conntrack_api.node import NodeSpec
from conntrack_operator.decide import Decision, decide
from conntrack_operator.errors import (
    ClusterError,
    Conflict,
    Invalid,
    NotFound,
    Unavailable,
)
from conntrack_operator.outcome import Written
from conntrack_operator.own_writes import OwnWrites
from conntrack_operator.pacing import (
    REPLAN_SECONDS,
    Clock,
    Rests,
    TokenBucket,
)
from conntrack_operator.plan import Delete, Revert, Tell
from conntrack_operator.refusals import PRUNED, Refusals
from conntrack_operator.rows import ConntrackNodeRow, NodeRow, PolicyRow
from conntrack_operator.stamps import stamped

logger = logging.getLogger(__name__)

IN_FLIGHT: Final = 16
BATCH: Final = 100
"""Writes of one pass: 2 seconds, then the world is looked at again. Latest wins."""


class Cluster(Protocol):
    """What the writer asks of the cluster."""

    async def policies(self) -> tuple[PolicyRow, ...]:
        """
        List all policies, freshly and completely.
        """

    async def node(self, name: str) -> NodeRow:
        """
        Read one Node, freshly.
        """

    async def apply_conntrack_node(
        self, name: str, spec: NodeSpec, *, current: ConntrackNodeRow | None
    ) -> ConntrackNodeRow:
        """
        Make a node's object have this spec, if it is still as it was.
        """

    async def delete_conntrack_node(self, row: ConntrackNodeRow) -> None:
        """
        Delete exactly this object in exactly this version.
        """


class Writer:
    """Carries decisions out."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        bucket: TokenBucket,
        clock: Clock,
        now: Callable[[], datetime],
        epoch: Callable[[], int | None],
    ) -> None:
        """
        Take the cluster, the time, and the leave to write.

        Args:
            cluster: Answers and obeys.
            bucket: Sets the pace.
            clock: Seconds that never go back.
            now: The time of day with its zone, for stamps.
            epoch: What to write under; ``None``: nothing may be written.
        """
        self._epoch = epoch
        self._written_under = epoch()
        self._cluster = cluster
        self._now = now
        self._clock = clock
        self._bucket = bucket
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._own = OwnWrites()
        self._refusals = Refusals()
        self._rests = Rests(clock)

    def settle(self, rows: Mapping[str, ConntrackNodeRow]) -> float | None:
        """
        See `OwnWrites.settle`. Under another epoch what was refused may be accepted.
        """
        if self._written_under != self._epoch():
            self._written_under = self._epoch()
            self._refusals = Refusals()
        return self._own.settle(rows, self._clock())

    @property
    def unshown(self) -> Container[str]:
        """
        Give the names whose last write the informer has not shown yet.
        """
        return self._own

    @property
    def unsure(self) -> Container[str]:
        """
        Give the names to which a write that was given up may be under way.
        """
        return self._own.doubtful

    def refusal(self, decision: Decision) -> str:
        """
        Say why the API server does not accept a decision; empty when it does.
        """
        return self._refusals.of(decision)

    def failure(self, name: str) -> str:
        """
        Say why the last write to a node failed; empty when it did not.
        """
        return self._rests.why(name)

    async def write(self, decisions: Sequence[Decision]) -> Written:
        """
        Carry out a batch.

        Args:
            decisions: Those whose turn it is. Left out is what failed a moment ago, was
                refused, or was written and not shown yet; put off what is too much.

        Returns:
            What came of it; an object's failure never stops the others.
        """
        written, ready = Written(), list[Decision]()
        self._rests.forget_all_but({each.node.name for each in decisions})
        for each in decisions:
            if left := self._rests.left(each.node.name):
                written.again(left)
            elif each.node.name not in self._own and not self.refusal(each):
                ready.append(each)
        batch = ready[:BATCH]
        if (more := len(ready) - BATCH) > 0:
            written.counts["put_off"] = more
            written.again(0)
        fresh: tuple[PolicyRow, ...] = ()
        if any(each.doubtful for each in batch):
            try:
                fresh = await self._cluster.policies()
            except ClusterError as error:
                self._failed("", error, written)
                batch = [each for each in batch if not each.doubtful]
        await asyncio.gather(*(self._one(each, fresh, written) for each in batch))
        return written

    async def _one(
        self, decision: Decision, fresh: Iterable[PolicyRow], written: Written
    ) -> None:
        """
        Carry out one decision; its failure becomes a log line and a later look.
        """
        async with self._slots:
            await self._bucket.take()
            self._rests.tried(decision.node.name)
            epoch = self._epoch()
            if epoch is None:
                written.counts["not_ours"] += 1
                written.again(REPLAN_SECONDS)
                return
            try:
                if decision.doubtful and not await self._confirmed(decision, fresh):
                    written.counts["not_confirmed"] += 1
                    written.unconfirmed.add(decision.node.name)
                    written.again(REPLAN_SECONDS)
                    return
                written.counts[await self._carry_out(decision, epoch)] += 1
            except (Conflict, NotFound):
                written.counts["overtaken"] += 1
                written.again(REPLAN_SECONDS)
            except Invalid as error:
                self._refusals.add(decision, str(error))
                facts = {"node": decision.node.name, "answer": str(error)}
                logger.warning("the API server refuses this content", extra=facts)
                written.counts["refused"] += 1
            except ClusterError as error:
                if decision.current is not None:
                    self._own.gave_up(decision.current, self._clock())
                self._failed(decision.node.name, error, written)

    async def _confirmed(
        self, decision: Decision, policies: Iterable[PolicyRow]
    ) -> bool:
        """
        Decide again for one node on fresh reads, and compare.

        Raises:
            ClusterError: The Node cannot be read, or is gone: no confirmation.
        """
        name, current = decision.node.name, decision.current
        assert current is not None  # noqa: S101 - only of what is there an absence asks
        node = await self._cluster.node(name)
        again = decide(policies, {name: node}, {name: current}).nodes.get(name)
        return again is not None and again.plan == decision.plan

    async def _carry_out(self, decision: Decision, epoch: int) -> str:
        """
        Send the one write that a decision asks for; say what it was.
        """
        name, current = decision.node.name, decision.current
        match decision.plan:
            case Tell(spec=spec) | Revert(spec=spec):
                spec = stamped(spec, current, epoch=epoch, now=self._now())
                row = await self._cluster.apply_conntrack_node(
                    name, spec, current=current
                )
                self._own.wrote(row, self._clock())
                if row.spec != spec:
                    raise Invalid(PRUNED)
                return "told" if isinstance(decision.plan, Tell) else "reverting"
            case Delete() if current is not None:
                await self._cluster.delete_conntrack_node(current)
                self._own.deleted(current, self._clock())
                return "deleted"
        return "nothing"

    def _failed(self, name: str, error: ClusterError, written: Written) -> None:
        """
        Count a failure, and log it; try again after a rest.
        """
        written.counts["failed"] += 1
        asked = error.retry_after if isinstance(error, Unavailable) else None
        written.again(self._rests.begin(name, asked, why=str(error)))
        logger.warning("cannot write: %s", error)
