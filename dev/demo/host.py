"""
This host's kernel: whether the demonstration may change it, and the way back.
"""

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from conntrack_agent.kernel import LinuxKernel
from conntrack_agent.observations import Observation
from conntrack_agent.observe import observe
from demo.errors import DemoFailed
from demo.heir import Heir

LOCK: Final = Path("/run/lock/conntrack-demo.lock")
"""Held by whoever changes this host; `/run/lock` is there on every Linux (FHS)."""

BUSY_ENTRIES: Final = 5000
"""A host with more live entries than this is at work, and is only observed."""


def look() -> Observation:
    """
    Observe this host's kernel.
    """
    return observe(LinuxKernel())


def hands_off(seen: Observation) -> str:
    """
    Tell why this host is to be observed only; empty when it may be changed.
    """
    if os.geteuid() != 0:
        return "without root its settings cannot be written"
    if seen.entries is None:
        return "its kernel has no connection tracking loaded"
    if not seen.initial_namespace:
        return "this is a container: the table's size belongs to the host around it"
    if seen.entries > BUSY_ENTRIES:
        return f"it is at work ({seen.entries} live entries)"
    return ""


class Guard:
    """Brings the host's values back when the context is left, or our process dies."""

    _heir: Heir

    def __enter__(self) -> Self:
        """
        Start the guard's process and tell it what is found now.

        Raises:
            DemoFailed: Somebody else is changing this host right now.
        """
        try:
            self._heir = Heir("demo.guard", LOCK)
        except BlockingIOError as error:
            raise DemoFailed(
                "another demo, benchmark or test is changing this host's settings; "
                "try again when it has ended"
            ) from error
        # Only now: before, these may have been another's values.
        self._heir.tell(json.dumps(dict(look().values)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        Let it bring the values back, and wait until it has.
        """
        if self._heir.end() and error is None:
            raise DemoFailed("this host's values could not all be put back")

    def writer(self, pid: int) -> None:
        """
        Name a process that writes the values, and must be gone before they come back.
        """
        self._heir.tell(pid)
