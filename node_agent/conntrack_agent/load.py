"""
How hard the table is worked: the words that `meter` measures and `report` says.
"""

from dataclasses import dataclass
from typing import Final

from conntrack_api.node import CounterSource, Drops

FULL_PERCENT: Final = 95
"""
Fill from which on a moved drop counter is believed to speak of a full table.

Trackers drop packets for reasons of their own, too.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What was measured between the last report and now."""

    peak_entries: int = 0
    """Most entries seen since the last report; 0: not measured."""
    memory_bytes: int = 0
    """What the table takes of the host's memory."""
    counters: CounterSource = CounterSource.NONE
    """Where the drop counters come from."""
    drops: Drops | None = None
    """Since our first sight of this boot; ``None`` without counters."""
    dropping: int = 0
    """Packets dropped by a full table since the last look."""
    hint: str = ""
    """What the kernel's log says, for a message; empty: nothing, or it is not read."""
    no_log: bool = False
    """The kernel's log was asked for, and cannot be had."""
