"""
The table's size: what a person asks, and how far it may move.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from conntrack_api.bounds import Range
from conntrack_api.errors import Problem
from conntrack_api.growth import Growth
from conntrack_api.settings import (
    MAX_BUCKETS,
    MAX_ENTRIES,
    MAX_ENTRIES_PER_BUCKET,
    MIN_BUCKETS,
    MIN_ENTRIES,
)
from conntrack_api.sizing import Sizing

DEFAULT_ENTRIES_PER_BUCKET: Final = 4
"""
Used when a policy gives neither ``buckets`` nor ``entriesPerBucket``.

kube-proxy's ratio, and the kernel's own up to 5.10.
"""

DEFAULT_STALL: Final = 200
"""Milliseconds for which a resize may stop packets."""

MAX_STALL: Final = 60_000
"""Milliseconds; longer than the largest table takes."""


class Adjust(StrEnum):
    """In which direction the table's size may move."""

    EXACT = "Exact"
    RAISE_ONLY = "RaiseOnly"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSize:
    """The size of the table, and how it may move."""

    max_entries: Annotated[int, Range(MIN_ENTRIES, MAX_ENTRIES)] | None = None
    sizing: Sizing | None = None
    """Instead of `max_entries`: a size for each node."""
    entries_per_bucket: Annotated[int, Range(1, MAX_ENTRIES_PER_BUCKET)] | None = None
    buckets: Annotated[int, Range(MIN_BUCKETS, MAX_BUCKETS)] | None = None
    adjust: Adjust = Adjust.EXACT
    growth: Growth | None = None
    """``None``: the agent never makes the table larger by itself."""
    max_stall_milliseconds: Annotated[int, Range(1, MAX_STALL)] = DEFAULT_STALL

    def problems(self) -> tuple[Problem, ...]:
        """
        Check what one field alone cannot tell: the CRD's CEL rules, in Python.

        Returns:
            One problem for each broken rule, in the order of the fields.
        """
        found: list[Problem] = []

        def say(field: str, value: object, allowed: str) -> None:
            where = f"spec.table.{field}"
            found.append(Problem(field=where, value=value, allowed=allowed))

        entries, buckets, sizing = self.max_entries, self.buckets, self.sizing
        if (entries is None) == (sizing is None):
            say("maxEntries", entries, "given, or `sizing` instead, but not both")
        if sizing is not None and buckets is not None:
            say("buckets", buckets, "left out when `sizing` is given")
        if sizing is not None and sizing.floor > sizing.ceiling:
            say("sizing.floor", sizing.floor, "at most `ceiling`")
        if buckets is not None and self.entries_per_bucket is not None:
            ratio = self.entries_per_bucket
            say("entriesPerBucket", ratio, "left out when `buckets` is given")
        if buckets is not None and (entries or 0) > MAX_ENTRIES_PER_BUCKET * buckets:
            say("maxEntries", entries, "at most 8 x `buckets`")
        return tuple(found)
