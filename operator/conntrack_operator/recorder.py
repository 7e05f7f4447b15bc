"""
Recorder: post events, each once, and never so many that they become the problem.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, Protocol

from conntrack_operator.errors import ClusterError, Unavailable
from conntrack_operator.events import Event, of_node
from conntrack_operator.pacing import Clock, TokenBucket
from conntrack_operator.rows import ConntrackNodeRow

logger = logging.getLogger(__name__)

EVENT_SECONDS: Final = 5.0
"""Longest wait for an answer: whole passes wait with us."""

EVENTS_PER_PASS: Final = 20
"""More at once is one incident of the fleet, and the policy's status tells it."""

AGAIN_SECONDS: Final = 3600.0
"""A node that flaps tells the same story once an hour."""


class Cluster(Protocol):
    """What the recorder asks of the cluster."""

    async def post_event(self, event: Event, now: datetime) -> None:
        """
        Tell people that something happened.
        """


class Recorder:
    """Remembers what the nodes said last, and what was posted when."""

    def __init__(self, cluster: Cluster, *, bucket: TokenBucket, clock: Clock) -> None:
        """
        Start knowing no node: the first sight of one is no change.
        """
        self._cluster = cluster
        self._bucket = bucket
        self._clock = clock
        self.counts: Counter[str] = Counter()
        """Events by what came of them."""
        self._seen: dict[str, ConntrackNodeRow] = {}
        self._posted: dict[tuple[str, str], float] = {}

    async def nodes(self, rows: Mapping[str, ConntrackNodeRow], now: datetime) -> None:
        """
        Post what changed since the last time.

        Args:
            rows: All ConntrackNodes, by name.
            now: The time of day.
        """
        news: list[Event] = []
        for name, row in rows.items():
            before = self._seen.get(name)
            if before is not None and before is not row and before.uid == row.uid:
                news += of_node(before, row)
        self._seen = dict(rows)
        await self.once(news, now)

    async def once(self, events: Iterable[Event], now: datetime) -> None:
        """
        Post events, none of which was posted of the same object within an hour.
        """
        clock = self._clock()
        self._posted = {
            key: at for key, at in self._posted.items() if clock - at < AGAIN_SECONDS
        }
        fresh = [each for each in events if (each.uid, each.reason) not in self._posted]
        self._posted |= {(each.uid, each.reason): clock for each in fresh}
        await self.post(fresh, now)

    async def post(self, events: Iterable[Event], now: datetime) -> None:
        """
        Post events; one that cannot be posted is not tried again.

        While nobody answers the others are not tried either: no node waits for them.
        """
        every = list(events)
        for index, event in enumerate(every[:EVENTS_PER_PASS]):
            await self._bucket.take()
            try:
                async with asyncio.timeout(EVENT_SECONDS):
                    await self._cluster.post_event(event, now)
            except (Unavailable, TimeoutError) as error:
                logger.warning("cannot post events: %s", str(error) or "no answer")
                self.counts["failed"] += len(every) - index
                return
            except ClusterError as error:
                logger.warning("cannot post an event: %s", error)
                self.counts["failed"] += 1
            else:
                self.counts["posted"] += 1
        if len(every) > EVENTS_PER_PASS:
            more = len(every) - EVENTS_PER_PASS
            self.counts["left_out"] += more
            logger.warning("too many events at once", extra={"more": more})
