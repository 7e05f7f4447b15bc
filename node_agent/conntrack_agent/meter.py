"""
Measure how hard the table is worked, between the looks of two passes and over them.

A look at everything every few seconds would miss a burst, so the fill alone is read
every second, which costs some microseconds. The counters are asked for over netlink;
where that may not be, ``/proc/net/stat`` is read; where that is not, only the fill
tells.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from conntrack_agent.counters import Sample, Tally, parse
from conntrack_agent.errors import KernelError, SettingReadOnly
from conntrack_agent.load import FULL_PERCENT, Load
from conntrack_agent.log_hint import LogHint
from conntrack_agent.observations import COUNT, LEGACY_COUNT, Observation
from conntrack_agent.observe import Reader, number
from conntrack_agent.price import Slab, slab, table_bytes
from conntrack_api.node import CounterSource
from conntrack_api.settings import NF_CONNTRACK_MAX

log = logging.getLogger("conntrack_agent")

STATISTICS: Final = "proc/net/stat/nf_conntrack"
LEGACY_STATISTICS: Final = "proc/net/stat/ip_conntrack"
SLABINFO: Final = "proc/slabinfo"

WEIGH_SECONDS: Final = 60.0
"""
Seconds between two looks at the memory that the table takes.

The kernel makes that file up under a lock, and it costs more than all others together.
"""

SUDDEN: Final = 5
"""Points of fill between two looks that are worth an early one."""


class Counters(Protocol):
    """What this module wants of netlink."""

    def read(self) -> Sample:
        """
        Give each CPU's counters; `SettingReadOnly` when we never may.
        """


class Meter:
    """The fill and the counters of one table."""

    def __init__(
        self,
        kernel: Reader,
        counters: Counters | None = None,
        *,
        clock: Callable[[], float],
        kernel_log: Callable[[], str] | None = None,
    ) -> None:
        """
        Measure nothing yet.

        Args:
            kernel: Where the files are.
            counters: The counters over netlink; ``None`` when that is switched off.
            clock: Monotonic seconds.
            kernel_log: Gives the end of the kernel's log; ``None``: it is not read.
        """
        self._kernel = kernel
        self._netlink = counters
        self._clock = clock
        self._hint = LogHint(kernel_log, clock)
        self._slab: Slab | None = None
        self._weigh_at = 0.0
        self._count = COUNT
        self._source = CounterSource.NONE
        self._tally: Tally | None = None
        self._boot_id = ""
        self._limit = 0
        self._seen_percent = 0
        self._peak = 0
        self._interval = 0

    def sample(self) -> bool:
        """
        Look at the fill alone.

        Returns:
            Whether it has risen so much since the last look at everything that the
            next one should not wait.
        """
        try:
            entries = number(self._kernel, self._count)
        except KernelError:
            return False
        self._note(entries or 0)
        return self._percent(entries or 0) >= self._seen_percent + SUDDEN

    def first_sight(self, seen: Observation) -> Sample:
        """
        Read the counters, for keeping: what they show now is where we count from.
        """
        return self._counters() if seen.entries is not None else {}

    def weighed(self, seen: Observation) -> Observation:
        """
        Add the price of an entry to what was seen; measured now and then.
        """
        if self._clock() >= self._weigh_at:
            self._weigh_at = self._clock() + WEIGH_SECONDS
            try:
                text = self._kernel.read(SLABINFO) or ""
            except KernelError:
                text = ""
            self._slab = slab(text, seen.host.page_bytes)
        if self._slab is None:
            return seen
        return replace(seen, entry_bytes=self._slab.entry_bytes)

    def look(self, seen: Observation, first: Sample) -> Load:
        """
        Measure once in a pass.

        Args:
            seen: The kernel after the pass.
            first: What the counters showed at our first sight of this boot.

        Returns:
            The load since the last look, and since the last report.
        """
        entries = seen.entries or 0
        self._count = LEGACY_COUNT if seen.legacy else COUNT
        self._limit = max(0, seen.values.get(NF_CONNTRACK_MAX.name, 0))
        self._seen_percent = seen.used_percent
        self._note(entries)
        moved, drops = 0, None
        sample = self._counters() if seen.entries is not None else {}
        if self._tally is None or self._boot_id != seen.host.boot_id:
            self._tally, self._boot_id = Tally(last=first or sample), seen.host.boot_id
        if sample:
            before = self._tally.drops().table
            self._tally = self._tally.after(sample)
            drops = self._tally.drops()
            moved = max(0, drops.table - before)
        full = self._percent(self._interval) >= FULL_PERCENT
        doubt = moved > 0 or (seen.entries is not None and not sample)
        self._interval = entries
        return Load(
            peak_entries=self._peak,
            memory_bytes=table_bytes(self._slab, entries, seen.values),
            counters=self._source,
            drops=drops,
            dropping=moved if full else 0,
            hint=self._hint.look(full=full, doubt=doubt),
            no_log=self._hint.denied,
        )

    @property
    def dropped(self) -> int | None:
        """
        Connections dropped since first sight, at the last look; ``None``: not known.
        """
        if self._tally is None or self._source is CounterSource.NONE:
            return None
        return self._tally.drops().table

    def reported(self) -> None:
        """
        Take note that the peak was reported; the next one begins now.
        """
        self._peak = self._interval

    def _note(self, entries: int) -> None:
        """
        Remember the most.
        """
        self._peak = max(self._peak, entries)
        self._interval = max(self._interval, entries)

    def _percent(self, entries: int) -> int:
        """
        Give entries in percent of the limit as it was at the last look.
        """
        return entries * 100 // self._limit if self._limit else 0

    def _counters(self) -> Sample:
        """
        Read the counters the best way there is; empty when there is none.
        """
        sample: Sample = {}
        source = CounterSource.NONE
        if self._netlink:
            try:
                sample, source = self._netlink.read(), CounterSource.NETLINK
            except SettingReadOnly as error:
                log.info("no counters over netlink", extra={"error": str(error)})
                self._netlink = None
            except KernelError as error:
                log.debug("no counters this time", extra={"error": str(error)})
        if not sample:
            try:
                text = self._kernel.read(STATISTICS)
                sample = parse(text or self._kernel.read(LEGACY_STATISTICS) or "")
            except KernelError:
                sample = {}
            source = CounterSource.PROC_STAT if sample else CounterSource.NONE
        self._source = source
        return sample
