"""
Sizing: what a person asks when each node shall have a table of its own size.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from conntrack_api.bounds import Range
from conntrack_api.errors import Problem
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


def problems(
    max_entries: int | None, buckets: int | None, sizing: Sizing | None
) -> list[Problem]:
    """
    Check how a policy gives the size: the CRD's CEL rules, in Python.

    Args:
        max_entries: ``spec.table.maxEntries``.
        buckets: ``spec.table.buckets``.
        sizing: ``spec.table.sizing``.
    """
    found: list[Problem] = []

    def say(field: str, value: object, allowed: str) -> None:
        where = f"spec.table.{field}"
        found.append(Problem(field=where, value=value, allowed=allowed))

    if (max_entries is None) == (sizing is None):
        say("maxEntries", max_entries, "given, or `sizing` instead, but not both")
    if sizing is not None and buckets is not None:
        say("buckets", buckets, "left out when `sizing` is given")
    if sizing is not None and sizing.floor > sizing.ceiling:
        say("sizing.floor", sizing.floor, "at most `ceiling`")
    return found
