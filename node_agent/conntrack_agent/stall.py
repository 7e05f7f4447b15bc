"""
How long a resize stops packets, and whether now is the moment for one.

Computes only. Changing the number of buckets takes every lock of the hash table and
relinks every entry; until it is done no packet of the machine passes connection
tracking. The price is the number of live entries times what one entry takes here.
"""

from dataclasses import dataclass
from typing import Final

from conntrack_agent.observations import Observation
from conntrack_api.conditions import NodeReason
from conntrack_api.node import Failure
from conntrack_api.settings import NF_CONNTRACK_BUCKETS

NANOSECONDS_PER_ENTRY: Final = 500
"""Price of one entry before this host has shown its own; measured: 350 to 500."""

BOUNDS: Final = (100, 5000)
"""A measurement outside of them says something about the clock, not about the hash."""

ENOUGH_ENTRIES: Final = 10_000
"""With fewer the rest of a write outweighs them, and nothing is learnt."""

REST: Final = 3000
"""So many times as long as a resize takes, no other follows: 200 ms, ten minutes."""

LONGEST_REST: Final = 600.0
"""Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """What a resize may cost, and when the next one may come."""

    most_milliseconds: int
    """Longest predicted stall that is accepted."""
    nanoseconds: int = NANOSECONDS_PER_ENTRY
    """Price of one entry."""
    wait: float = 0.0
    """Seconds for which no further resize may happen."""


def predicted(entries: int, nanoseconds: int) -> float:
    """
    Predict for how many milliseconds a resize stops packets.
    """
    return entries * nanoseconds / 1e6


def rest(milliseconds: float) -> float:
    """
    Say for how many seconds a resize of that length must be the last.
    """
    return min(LONGEST_REST, milliseconds * REST / 1000)


def learnt(known: int, seconds: float, entries: int) -> int:
    """
    Learn the price of one entry from a resize that was measured.

    Args:
        known: The price so far, nanoseconds.
        seconds: How long the writes took of which the resize was one.
        entries: Live ones at the time.

    Returns:
        The price from now on, nanoseconds.
    """
    if entries < ENOUGH_ENTRIES:
        return known
    least, most = BOUNDS
    return max(least, min(most, round(seconds * 1e9 / entries)))


def refusal(stall: Stall, seen: Observation) -> Failure | None:
    """
    Say why the buckets must not be changed at the moment; ``None`` when they may.
    """
    entries = seen.entries or 0
    price = predicted(entries, stall.nanoseconds)
    if price > stall.most_milliseconds:
        message = (
            f"a resize at {entries} live entries would stop packets for about "
            f"{price:.0f} ms, at most {stall.most_milliseconds} ms are allowed "
            "(table.maxStallMilliseconds); waits for a quieter moment"
        )
    elif stall.wait > 0:
        message = (
            "the last resize stopped packets not long ago; the next one is made in "
            f"{stall.wait:.0f} s"
        )
    else:
        return None
    return Failure(
        setting=NF_CONNTRACK_BUCKETS.name, reason=NodeReason.PENDING, message=message
    )
