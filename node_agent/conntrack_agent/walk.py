"""
Walk the table of entries at a pace that nobody notices, and cut what is too long.

A walk is made in steps of some milliseconds, one a second, between the looks of the
loop. Nothing about it is kept on disk: after a restart a new walk finds what is left.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from conntrack_agent.changes import Findings
from conntrack_agent.clamp import Cuts, Entry, Limits, Rule, rule, too_long
from conntrack_agent.errors import KernelError
from conntrack_api.conditions import NodeReason
from conntrack_api.node import ExistingEntriesStatus, Failure, WalkState

log = logging.getLogger("conntrack_agent")

EXAMINED: Final = 2500
"""Entries that are looked at in a second, at most."""

SHORTENED: Final = 500
"""Entries that are cut in a second, at most."""

STEP: Final = 0.025
"""Seconds after which a step ends, whatever it has done."""

AGAIN: Final = 3600.0
"""Seconds after a walk until the next one, which finds what came in some other way."""

RETRY: Final = 60.0
"""Seconds after a failure until the next attempt."""

_TRIES: Final = 3
"""How often an entry is looked at that changes while it is cut."""


class Entries(Protocol):
    """What this module wants of netlink."""

    def read(self, most: Rule) -> tuple[int, Cuts] | None:
        """
        Read the next part; ``None`` at the end of the table.
        """

    def cut(self, cuts: Cuts) -> list[tuple[bool, Entry | None]]:
        """
        Set what remains of some entries, and look at them again.
        """

    def close(self) -> None:
        """
        Give up a walk under way.
        """


class Walk:
    """The walks through one table."""

    def __init__(self, entries: Entries | None, clock: Callable[[], float]) -> None:
        """
        Touch nothing yet.

        Args:
            entries: The table; ``None``: there is none, and nothing is ever done.
            clock: Monotonic seconds.
        """
        self._entries = entries
        self._clock = clock
        self._limits: Limits | None = None
        self._rules: tuple[Rule, Rule] | None = None
        """By the timeouts that are ours, and by all of them."""
        self._stepped = clock()
        self._start_at = 0.0
        self._walking = False
        self._done = False
        self._examined = self._counting = self._shortened = 0
        self._failure: Failure | None = None

    def aim(self, limits: Limits | None) -> None:
        """
        Say by which timeouts entries are to be cut from now on; ``None``: touch none.
        """
        before, self._limits = self._limits, limits
        if limits == before:
            return
        self._rules = (rule(limits), rule(limits.all)) if limits else None
        if limits and before and limits.ours == before.ours:
            if limits.buckets == before.buckets:
                return
        else:
            self._shortened = 0
        if self._entries:
            self._entries.close()
        self._walking = self._done = False
        self._examined = self._counting = 0
        self._start_at = 0.0
        self._failure = None

    def said(self, found: Findings, limits: Limits | None) -> Findings:
        """
        Go on by these limits, and add to what a pass has found how far it is.
        """
        self.aim(limits)
        self.step()
        failures = (self._failure, *found.failures) if self._failure else found.failures
        return replace(found, existing=self.progress, failures=failures)

    @property
    def progress(self) -> ExistingEntriesStatus | None:
        """
        Say how far it is; ``None`` while nothing is to be cut, or can be.
        """
        if self._limits is None or self._entries is None or self._failure:
            return None
        return ExistingEntriesStatus(
            state=WalkState.DONE if self._done else WalkState.WALKING,
            examined=self._examined if self._done else self._counting,
            shortened=self._shortened,
        )

    def step(self) -> None:
        """
        Go on for some milliseconds, as far as the pace allows.
        """
        now = self._clock()
        passed, self._stepped = min(1.0, now - self._stepped), now
        if self._rules is None or self._entries is None or now < self._start_at:
            return
        try:
            self._go_on(self._entries, *self._rules, passed)
        except KernelError as error:
            self._entries.close()
            self._walking, self._start_at = False, now + RETRY
            if self._failure is None:
                log.warning("entries not cut", extra={"error": str(error)})
            self._failure = Failure(
                setting="existingEntries",
                reason=NodeReason.WRITE_REFUSED,
                message=f"entries cannot be cut: {error}",
            )

    def _go_on(self, entries: Entries, ours: Rule, every: Rule, passed: float) -> None:
        """
        Read and cut until the pace, the time or the table ends.
        """
        until = self._stepped + STEP
        examine, shorten = int(EXAMINED * passed), int(SHORTENED * passed)
        if not self._walking:
            self._walking, self._counting = True, 0
        while examine > 0 and shorten > 0 and self._clock() < until:
            part = entries.read(ours)
            self._failure = None
            if part is None:
                self._ended()
                return
            count, wanted = part
            examine -= count
            self._counting += count
            done = _cut(entries, wanted, every) if wanted else 0
            self._shortened += done
            shorten -= done

    def _ended(self) -> None:
        """
        Take note that the whole table was seen.
        """
        if not self._done:
            log.info(
                "existing entries cut",
                extra={"examined": self._counting, "shortened": self._shortened},
            )
        self._walking, self._done = False, True
        self._examined, self._start_at = self._counting, self._stepped + AGAIN


def _cut(entries: Entries, wanted: Cuts, every: Rule) -> int:
    """
    Cut some entries; give how many were.

    The kernel sets what it is told, also on an entry that has moved on since it was
    read, and would have given less by now. So each is looked at again, and cut to what
    its present state has.
    """
    outcomes = entries.cut(wanted)
    number = sum(done for done, _after in outcomes)
    for _ in range(_TRIES):
        again = [
            (after, seconds)
            for done, after in outcomes
            if done and after and (seconds := too_long(after, every))
        ]
        if not again:
            break
        outcomes = entries.cut(again)
    return number
