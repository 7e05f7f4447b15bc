"""
Sizing: what a person asks when each node shall have a table of its own size.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from conntrack_api.bounds import Range
from conntrack_api.settings import MAX_ENTRIES, MIN_ENTRIES

MAX_PRICE_BYTES: Final = 2**50
"""More memory than any node has."""


class SizingTerm(StrEnum):
    """What a node's limit came from; the others gave less, or more than allowed."""

    PER_CORE = "PerCore"
    PEAK = "Peak"
    FLOOR = "Floor"
    CEILING = "Ceiling"
    MEMORY = "Memory"
    LIVE_ENTRIES = "LiveEntries"
    """Less would drop flows that are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """The largest of three terms, cut by two."""

    per_core: Annotated[int, Range(0, 1_048_576)] = 32768
    memory_percent: Annotated[int, Range(1, 50)] = 5
    """The table's price may take at most this share of the node's memory."""
    peak_headroom_percent: Annotated[int, Range(0, 1000)] = 100
    """Room above the highest fill that was seen."""
    floor: Annotated[int, Range(MIN_ENTRIES, MAX_ENTRIES)] = 131_072
    ceiling: Annotated[int, Range(MIN_ENTRIES, MAX_ENTRIES)] = 4_194_304


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """Why a node's table has its size."""

    term: SizingTerm
    price_bytes: Annotated[int, Range(0, MAX_PRICE_BYTES)]
    """Memory that a full table takes, buckets included."""
