"""
The operator's side of the policies: the list, and what we say about them.

The list is read anew whenever somebody said that it changed, and every five minutes
anyway: decisions never come from what a watch remembers.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Protocol

from conntrack_api.conditions import Condition
from conntrack_api.policy_status import AgentCounts, NodeCounts, PolicyStatus
from conntrack_operator.aggregate import Governed, aggregate
from conntrack_operator.errors import ClusterError, Conflict, NotFound, Unavailable
from conntrack_operator.events import of_policy
from conntrack_operator.pacing import REPLAN_SECONDS, Clock, Rests, TokenBucket
from conntrack_operator.recorder import Recorder
from conntrack_operator.rollout import Progress
from conntrack_operator.rows import Loss, PolicyRow
from conntrack_operator.shortage import with_agents

logger = logging.getLogger(__name__)

LIST_SECONDS: Final = 300.0
"""Longest time between two lists."""

STATUS_SECONDS: Final = 10.0
"""Shortest time between two statuses of a policy that differ in numbers only."""


class Cluster(Protocol):
    """What the policies need of the cluster."""

    async def policies(self) -> tuple[PolicyRow, ...]:
        """
        List all policies, freshly and completely.
        """

    async def apply_policy_status(self, row: PolicyRow, status: PolicyStatus) -> None:
        """
        Replace what we said about a policy.
        """


class Policies:
    """Keeps the list and the statuses."""

    def __init__(
        self,
        cluster: Cluster,
        recorder: Recorder,
        *,
        agents: Callable[[AgentCounts | None], AgentCounts | None],
        bucket: TokenBucket,
        clock: Clock,
    ) -> None:
        """
        Start with nothing read.

        Args:
            cluster: Keeps the policies.
            recorder: Tells people what changed.
            agents: Counts the agents; is given what was said last.
            bucket: Sets the pace.
            clock: Seconds that never go back.
        """
        self._agents = agents
        self._bucket = bucket
        self._recorder = recorder
        self._cluster = cluster
        self._clock = clock
        self._rests = Rests(clock)
        self._tried_at: dict[str, float] = {}
        self.saying_seconds = 0.0
        """How long all attempts to write a status took together."""
        self._rows: tuple[PolicyRow, ...] = ()
        self._list_at = clock()
        self._said: dict[str, PolicyStatus] = {}
        self._said_at: dict[str, float] = {}

    def changed(self) -> None:
        """
        Read the list anew next time.
        """
        self._list_at = self._clock()

    async def current(self) -> tuple[PolicyRow, ...]:
        """
        Give all policies.

        Raises:
            ClusterError: They had to be read, and could not be.
        """
        if self._clock() >= self._list_at:
            began = self._clock()
            due, self._list_at = self._list_at, began + LIST_SECONDS
            try:
                self._rows = await self._cluster.policies()
            except ClusterError:
                self._list_at = due
                raise
            self._said.clear()
            for known in (self._said_at, self._tried_at):
                for uid in known.keys() - {row.uid for row in self._rows}:
                    del known[uid]
        return self._rows

    def in_turn(self, rows: Sequence[PolicyRow]) -> list[PolicyRow]:
        """
        Sort policies: those first whose status was not tried for the longest time.
        """
        return sorted(rows, key=lambda row: self._tried_at.get(row.uid, 0.0))

    def counts(self, rows: Sequence[PolicyRow]) -> dict[str, NodeCounts]:
        """
        Give what each policy's status says about its nodes, by name.
        """
        said = ((row.name, self._said.get(row.uid, row.status).nodes) for row in rows)
        return {name: nodes for name, nodes in said if nodes is not None}

    async def say(
        self,
        row: PolicyRow,
        nodes: Sequence[Governed],
        losses: Sequence[Loss],
        so_far: Progress,
        now: datetime,
    ) -> float | None:
        """
        Write a policy's status if there is news in it.

        What a person waits for is written at once; mere numbers every ten seconds.

        Returns:
            Seconds after which to come again with what was put off, if anything was.
        """
        previous = self._said.get(row.uid, row.status)
        status = aggregate(row, nodes, losses, so_far, previous=previous, now=now)
        status = with_agents(status, self._agents(previous.agents))
        if status == previous:
            return None
        if resting := self._rests.left(row.uid):
            return resting
        last = self._said_at.get(row.uid)
        left = 0.0 if last is None else last + STATUS_SECONDS - self._clock()
        if left > 0 and _gist(status) == _gist(previous):
            return left
        began = self._tried_at[row.uid] = self._clock()
        await self._bucket.take()
        try:
            await self._cluster.apply_policy_status(row, status)
        except ClusterError as error:
            return self._failed(row.uid, error)
        finally:
            self.saying_seconds += self._clock() - began
        await self._recorder.post(of_policy(row, previous, status), now)
        self._said[row.uid] = status
        self._said_at[row.uid] = self._clock()
        return None

    def _failed(self, key: str, error: ClusterError) -> float:
        """
        Log a failure; say when to try again.
        """
        if isinstance(error, Conflict | NotFound):
            self.changed()
            return REPLAN_SECONDS
        logger.warning("cannot write to a policy: %s", error)
        asked = error.retry_after if isinstance(error, Unavailable) else None
        return self._rests.begin(key, asked)


def _gist(status: PolicyStatus) -> tuple[int, list[tuple[str, str, str, int]]]:
    """
    Reduce a status to what is worth a write at once: answers without numbers.
    """

    def answer(each: Condition) -> tuple[str, str, str, int]:
        return (each.type, each.status, each.reason, each.observed_generation)

    return status.observed_generation, [answer(each) for each in status.conditions]
