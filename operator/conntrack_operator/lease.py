"""
Lease: at most one operator writes, and each one writes under a number of its own.

The number, the epoch, grows with every change of the holder and stands in all that the
holder writes; the CRD refuses a lower one. So a holder that was believed dead and comes
back can undo nothing.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Never, Protocol

from conntrack_operator.errors import ClusterError, Conflict
from conntrack_operator.lease_row import LeaseRow
from conntrack_operator.pacing import Clock, Sleep

logger = logging.getLogger(__name__)

DURATION_SECONDS: Final = 15
"""After so long without a renewal another operator takes the lease."""

STOP_SECONDS: Final = DURATION_SECONDS * 2 / 3
"""After so long without a renewal we write nothing more."""

RENEW_SECONDS: Final = 4.0
RETRY_SECONDS: Final = 1.0


class Cluster(Protocol):
    """What the lease needs of the cluster."""

    async def lease(self) -> LeaseRow | None:
        """
        Read the lease; ``None`` when there is none yet.
        """

    async def put_lease(self, row: LeaseRow) -> LeaseRow:
        """
        Create the lease, or replace exactly the version that the row names.
        """


@dataclass(frozen=True, slots=True)
class _Sighting:
    """Somebody else's lease, and since when it has looked so."""

    row: LeaseRow
    since: float


class Lease:
    """Takes the lease and keeps it; `run` must be running."""

    def __init__(  # noqa: PLR0913 - the world and time come in
        self,
        cluster: Cluster,
        identity: str,
        *,
        floor: Callable[[], int | None],
        ring: Callable[[], None],
        clock: Clock,
        sleep: Sleep,
        now: Callable[[], datetime],
    ) -> None:
        """
        Start without the lease.

        Args:
            cluster: Keeps it.
            identity: Who we are; another one for each process.
            floor: Gives the highest epoch in use, ``None`` while that is not known: a
                lease that somebody deleted must not start again at one.
            ring: Called when the lease is ours.
            clock: Seconds that never go back; every decision is made on it.
            sleep: Waits.
            now: The time of day, for people who read the lease.
        """
        self._cluster = cluster
        self._identity = identity
        self._floor = floor
        self._ring = ring
        self._clock = clock
        self._sleep = sleep
        self._now = now
        self._ours: LeaseRow | None = None
        self._renewed = 0.0
        self._other: _Sighting | None = None
        self._said_ours = False
        self.last_progress = clock()
        """When the last attempt ended."""

    @property
    def epoch(self) -> int | None:
        """
        Give the number to write under; ``None``: nothing may be written now.
        """
        fresh = self._clock() < self._renewed + STOP_SECONDS
        return self._ours.transitions if self._ours and fresh else None

    async def run(self) -> Never:
        """
        Take the lease and renew it, for ever.
        """
        while True:
            await self._sleep(await self.step())

    async def step(self) -> float:
        """
        Try once; give the seconds until the next attempt.
        """
        pause = RETRY_SECONDS
        try:
            if await self._attempt():
                pause = RENEW_SECONDS
        except Conflict:
            self._ours = None  # somebody else wrote it: read before the next attempt
        except ClusterError as error:
            logger.warning("cannot take or renew the lease: %s", error)
        self._tell(self.epoch)
        self.last_progress = self._clock()
        return pause

    async def release(self) -> None:
        """
        Give the lease back, so that the next operator need not wait.
        """
        ours, self._ours = self._ours, None
        if ours is not None:
            try:
                await self._cluster.put_lease(replace(ours, holder=""))
            except ClusterError as error:
                logger.info("the lease was not given back: %s", error)

    async def _attempt(self) -> bool:
        """
        Renew or take the lease; tell whether it is ours.
        """
        began = self._clock()  # before the request: its answer may be late
        fresh = self.epoch is not None
        wanted = self._ours or self._claim(await self._cluster.lease())
        if wanted is None:
            return False
        wanted = replace(
            wanted,
            holder=self._identity,
            seconds=DURATION_SECONDS,
            renewed=self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        )
        self._ours = await self._cluster.put_lease(wanted)
        self._renewed = began
        self._other = None
        if not fresh:
            self._ring()  # what was asked meanwhile has been waiting
        return True

    def _tell(self, epoch: int | None) -> None:
        """
        Log that the lease has become ours, or is not any more.

        It may have ended between two attempts, so what counts is what was said last.
        """
        if epoch is not None and not self._said_ours:
            facts = {"epoch": epoch, "identity": self._identity}
            logger.info("the lease is ours", extra=facts)
        elif epoch is None and self._said_ours:
            logger.warning("the lease is lost, nothing is written")
        self._said_ours = epoch is not None

    def _claim(self, found: LeaseRow | None) -> LeaseRow | None:
        """
        Give the lease as it would be ours; ``None`` while it is somebody else's.

        Whether somebody else is gone is seen by our clock alone: the lease has not
        changed for as long as it says that it lasts.
        """
        floor = self._floor()
        if floor is None:
            return None
        if found is None:
            return LeaseRow(transitions=floor + 1)
        if found.holder not in ("", self._identity):
            now = self._clock()
            if self._other is None or self._other.row != found:
                self._other = _Sighting(found, now)
                facts = {"holder": found.holder}
                logger.debug("somebody else holds the lease", extra=facts)
            if now - self._other.since <= found.seconds:
                return None
        return replace(found, transitions=max(found.transitions, floor) + 1)
