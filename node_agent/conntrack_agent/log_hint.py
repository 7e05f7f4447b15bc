"""
Looks into the kernel's log when there is a reason, and not often.

The kernel goes through its whole log for each look, so a quiet node whose counters can
be read looks once, when it starts, to find out whether it may.
"""

import logging
from collections.abc import Callable
from typing import Final

from conntrack_agent.errors import KernelError, SettingReadOnly
from conntrack_agent.full_lines import FullLine, last_full, said

log = logging.getLogger("conntrack_agent")

PAUSE: Final = 30.0
"""Seconds between two looks."""


class LogHint:
    """What the log said lately of a full table."""

    def __init__(
        self, read: Callable[[], str] | None, clock: Callable[[], float]
    ) -> None:
        """
        Look at nothing yet.

        Args:
            read: Gives the end of the log; ``None``: it is not ours to read.
            clock: Monotonic seconds, which begin with the boot, as the log's do.
        """
        self._read = read
        self._clock = clock
        self._look_at = 0.0
        self._looked = False
        self._line: FullLine | None = None
        self._found_at = 0.0
        self.denied = False
        """It was asked for, and cannot be had."""

    def look(self, *, full: bool, doubt: bool) -> str:
        """
        Say what the log says, for a message.

        Args:
            full: Whether the table was about full since the last look.
            doubt: Whether packets may have been dropped that the fill does not explain.

        Returns:
            Empty when it says nothing, or nothing recent.
        """
        now = self._clock()
        if now >= self._look_at and (full or doubt or not self._looked):
            self._look_at, self._looked = now + PAUSE, True
            line = self._last()
            # Without a time stamp it may be of last month.
            if line and (line.at is not None or full):
                self._line, self._found_at = line, now
        return said(self._line, self._found_at, now) if self._line else ""

    def _last(self) -> FullLine | None:
        """
        Read the log; one that cannot be had is not asked for again.
        """
        if self._read is None:
            return None
        try:
            return last_full(self._read())
        except SettingReadOnly as error:
            log.info("no kernel log", extra={"error": str(error)})
            self._read, self.denied = None, True
        except KernelError as error:
            log.debug("no kernel log this time", extra={"error": str(error)})
        return None
