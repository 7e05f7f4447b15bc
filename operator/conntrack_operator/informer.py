"""
Informer: a complete, current copy of all objects of one kind.

Lists in pages, watches, and lists again when it must. It knows when it is complete
(`synced`) and notices deletions that it was never told of, by comparing lists. Whoever
reads the rows gets them as they are; a bell is rung when they change.
"""

import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from random import Random
from typing import Final, Generic, Never, Protocol, TypeVar

from conntrack_operator.errors import ClusterError, Gone, Unavailable
from conntrack_operator.pacing import Backoff, Clock, Sleep
from conntrack_operator.rows import Json, is_older

logger = logging.getLogger(__name__)

WATCH_SECONDS: Final = (1200, 2400)
"""Length of one watch: random, so that many clients do not come back together."""

RELIST_SECONDS: Final = (1800.0, 3600.0)
"""Time between lists: a safety net; a list without news costs nothing further."""

HEALTHY_SECONDS: Final = 60.0
"""A watch that lived so long was healthy: the next pause is a short one again."""

OLDER_LISTS: Final = 3
"""Lists older than what we have that are refused; after that the past is real."""


class Named(Protocol):
    """A row: anything frozen with a name that can be compared."""

    @property
    def name(self) -> str:
        """
        Give the object's name, which is unique.
        """


class Source(Protocol):
    """All objects of one kind, at the API server."""

    def pages(self) -> AsyncGenerator[tuple[list[Json], str], None]:
        """
        List all objects: pages with the version of the list.
        """

    def watch(
        self, version: str, seconds: int
    ) -> AsyncGenerator[tuple[str, Json], None]:
        """
        Follow the changes after a version: kinds of event and objects.
        """


Row = TypeVar("Row", bound=Named)


class Informer(Generic[Row]):
    """Keeps the rows of one kind; `run` must be running."""

    def __init__(  # noqa: PLR0913 - time and chance come in
        self,
        source: Source,
        decode: Callable[[Json], Row],
        *,
        kind: str,
        ring: Callable[[Row | None, Row | None], None],
        clock: Clock,
        sleep: Sleep,
        random: Random,
    ) -> None:
        """
        Start empty and not synced.

        Args:
            source: Where the objects are.
            decode: Makes a row of an object.
            kind: Name for log lines.
            ring: Called after each change of a row, with the row before and after;
                without rows when a list has changed something.
            clock: Tells the time.
            sleep: Waits.
            random: Spreads pauses.
        """
        self._source = source
        self._decode = decode
        self._kind = kind
        self._ring = ring
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._rows: dict[str, Row] = {}
        self._version: str | None = None
        self._relist_at = 0.0
        self._older_lists = 0
        self.synced = False
        """The rows are complete: a list was read to its end."""
        self.last_progress = clock()
        """When the server last answered, or an attempt ended."""

    @property
    def rows(self) -> Mapping[str, Row]:
        """
        Give the present rows by name; a live view.
        """
        return self._rows

    async def run(self) -> Never:
        """
        Follow the server for ever.

        Every round ends with a pause: an end of the stream, clean or not, a refusal,
        a list that failed half-way. The pause is short again after a healthy watch.
        """
        backoff = Backoff(self._random)
        while True:
            began, asked = self._clock(), 0.0
            try:
                if self._version is None or began >= self._relist_at:
                    self._version = await self._list()
                await self._watch()
            except Gone:
                self._version = None
                logger.info("version too old, listing again", extra=self._facts())
            except ClusterError as error:
                asked = getattr(error, "retry_after", None) or 0.0
                logger.warning("cannot list or watch: %s", error, extra=self._facts())
            self.last_progress = self._clock()
            if self._clock() - began >= HEALTHY_SECONDS:
                backoff.reset()
            await self._sleep(max(asked, backoff.next()))

    async def _list(self) -> str:
        """
        Read a complete list and take over what differs.

        A page that fails ends the attempt with nothing changed: half a list would
        look like many deletions.
        """
        fresh: dict[str, Row] = {}
        version = ""
        async with aclosing(self._source.pages()) as pages:
            async for items, version in pages:  # noqa: B007 - the last one counts
                fresh |= {row.name: row for row in map(self._decode, items)}
                self.last_progress = self._clock()
        self._refuse_the_past(version)
        changed = fresh != self._rows
        self._rows = fresh
        self._relist_at = self._clock() + self._random.uniform(*RELIST_SECONDS)
        first, self.synced = not self.synced, True
        if changed or first:
            self._ring(None, None)
        return version

    def _refuse_the_past(self, version: str) -> None:
        """
        Refuse a list that is older than what we know, from a server that lags.

        Not for ever: after a restore from a backup the past is the present.
        """
        if not is_older(version, self._version or version):
            self._older_lists = 0
            return
        self._older_lists += 1
        if self._older_lists <= OLDER_LISTS:
            text = f"a list of version {version} is older than {self._version}"
            raise Unavailable(text)

    async def _watch(self) -> None:
        """
        Take over changes until the stream ends.
        """
        assert self._version is not None  # noqa: S101 - listed before
        until_relist = max(1, int(self._relist_at - self._clock()))
        seconds = min(self._random.randint(*WATCH_SECONDS), until_relist)
        async with aclosing(self._source.watch(self._version, seconds)) as events:
            async for kind, obj in events:
                self._take(kind, obj)
                self.last_progress = self._clock()

    def _take(self, kind: str, obj: Json) -> None:
        """
        Take over one event; ring only when a row is not what it was.
        """
        if kind in ("ADDED", "MODIFIED"):
            row = self._decode(obj)
            before = self._rows.get(row.name)
            if before != row:
                self._rows[row.name] = row
                self._ring(before, row)
        elif kind == "DELETED":
            row = self._decode(obj)
            before = self._rows.pop(row.name, None)
            if before is not None:
                self._ring(before, None)
        self._version = (obj.get("metadata") or {}).get("resourceVersion")
        if self._version is None:
            raise Unavailable("an event without a version")

    def _facts(self) -> dict[str, object]:
        """
        Give what a log line says besides its text.
        """
        return {"kind": self._kind, "objects": len(self._rows), "synced": self.synced}
