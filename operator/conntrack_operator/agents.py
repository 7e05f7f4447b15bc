"""
Agents: keep the DaemonSet that runs them.

One loop looks, and rings when something has changed; each pass writes if the DaemonSet
is not what policies and template make of it. Before a write both are read once more,
and whoever takes an agent away must be patient: see `patience`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, Never, Protocol

from conntrack_api.policy_status import AgentCounts
from conntrack_operator import coverage, daemon_set, lookout, shortage
from conntrack_operator.daemon_set import gist
from conntrack_operator.decide import Decisions
from conntrack_operator.errors import ClusterError, Conflict
from conntrack_operator.lookout import Seen
from conntrack_operator.pacing import Backoff, Clock, Sleep
from conntrack_operator.patience import Patience
from conntrack_operator.rows import Json, PolicyRow
from conntrack_operator.shortage import REFUSED, Why

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 10.0
"""Between two looks: two requests, and up to three more while agents are missing."""

WRITE_SECONDS: Final = 10.0
"""Between two attempts to write."""


class Daemons(lookout.Daemons, Protocol):
    """What is asked of the cluster."""

    async def create(self, wanted: Json) -> Json:
        """
        Create the DaemonSet; give it as stored.
        """

    async def replace(self, wanted: Json) -> Json:
        """
        Replace exactly the version that the object names; give it as stored.
        """


class Agents:
    """Keeps the DaemonSet; `run` must be running."""

    def __init__(  # noqa: PLR0913 - the world, time and chance come in
        self,
        cluster: Daemons,
        *,
        policies: Callable[[], Awaitable[Sequence[PolicyRow]]],
        ring: Callable[[], None],
        epoch: Callable[[], int | None],
        backoff: Backoff,
        clock: Clock,
        sleep: Sleep,
    ) -> None:
        """
        Start without having looked.

        Args:
            cluster: Answers and obeys.
            policies: Lists all policies, freshly and completely.
            ring: Called when something has changed.
            epoch: ``None``: somebody else has the lease, so nothing may be written.
            backoff: Pauses while nothing can be read.
            clock: Seconds that never go back.
            sleep: Waits.
        """
        self._cluster = cluster
        self._policies = policies
        self._ring = ring
        self._epoch = epoch
        self._backoff = backoff
        self._clock = clock
        self._sleep = sleep
        self._lock = asyncio.Lock()  # a look that began before a write is out of date
        self._seen: Seen | None = None
        self._refused: Why | None = None
        self._patience = Patience()
        self._write_at = clock()
        self._answer: tuple[object, object] | None = None
        self.last_progress = clock()
        """When the last look ended."""

    def counts(self, former: AgentCounts | None) -> AgentCounts | None:
        """
        Count the agents.

        Args:
            former: What was said last; holds until the first look.
        """
        if self._seen is None:
            return former
        why = self._refused or self._seen.trouble
        return shortage.with_reason(self._seen.counted, why)

    async def run(self) -> Never:
        """
        Look, for ever.
        """
        while True:
            await self._sleep(await self.look())

    async def look(self) -> float:
        """
        Look once; give the seconds until the next time.
        """
        before, pause = _picture(self._seen), LOOK_SECONDS
        try:
            async with self._lock:
                self._seen = await lookout.look(self._cluster, self._seen)
            self._backoff.reset()
        except ClusterError as error:
            logger.warning("cannot look after the agents: %s", error)
            pause = self._backoff.next()
        if before != _picture(self._seen):
            self._ring()
        self.last_progress = self._clock()
        return pause

    async def keep(
        self, policies: Sequence[PolicyRow], decisions: Decisions
    ) -> float | None:
        """
        Make the DaemonSet what it should be.

        Args:
            policies: All of them.
            decisions: What is to become of every node.

        Returns:
            Seconds after which to come again, if there is something to come for.
        """
        if self._seen is None or self._seen.template is None or self._epoch() is None:
            return None
        if self._change(self._seen, policies, decisions) is None:
            self._refused = None
            return self._patience.left(self._clock())
        if (left := self._write_at - self._clock()) > 0:
            return left
        self._write_at = self._clock() + WRITE_SECONDS
        try:
            async with self._lock:
                await self._write(decisions)
        except Conflict:
            pass  # the next look shows what came between
        except ClusterError as error:
            logger.warning("cannot write the agents' DaemonSet: %s", error)
            self._refused = Why(REFUSED, str(error))
        return WRITE_SECONDS

    async def _write(self, decisions: Decisions) -> None:
        """
        Create or replace the DaemonSet, if fresh reads lead to the same end.
        """
        assert self._seen is not None  # noqa: S101 - `keep` has looked
        given, trouble = await lookout.given(self._cluster)
        live = await self._cluster.daemon_set()
        seen = replace(self._seen, template=given, live=live)
        self._seen = replace(seen, trouble=trouble or seen.trouble)
        desired = self._change(seen, await self._policies(), decisions)
        if desired is None or self._epoch() is None:
            return
        verb = self._cluster.create if live is None else self._cluster.replace
        stored = await verb(desired)
        self._seen = replace(self._seen, live=stored)
        self._answer = gist(stored), gist(desired)
        self._refused = None
        logger.info("the agents' DaemonSet was written")

    def _change(
        self, seen: Seen, policies: Sequence[PolicyRow], decisions: Decisions
    ) -> Json | None:
        """
        Give the DaemonSet to write; ``None``: nothing is to be written now.
        """
        if seen.template is None:
            return None
        every = decisions.nodes.values()
        let_go = [each.node for each in every if each.policy is None]
        live = daemon_set.covered(seen.live)
        asked = coverage.wanted(seen.template.coverage, policies, let_go, live)
        now = self._patience.settle(asked, live, self._clock())
        desired = daemon_set.wanted(seen.template, now, seen.live)
        if self._answer == (gist(seen.live), gist(desired)):
            return None  # somebody changes what we write: once is enough
        return desired if daemon_set.differs(seen.live, desired) else None


def _picture(seen: Seen | None) -> object:
    """
    Reduce what was found to what a pass has to know of.
    """
    return seen and (seen.template, gist(seen.live), seen.counted, seen.trouble)
