"""
Sizing: the limit of one node's table, from what the node says about itself.

Computes only. The size moves rarely, because a resize stops packets: it is rounded,
and a peak that comes closer or goes away moves it only in large steps.
"""

from dataclasses import dataclass
from typing import Final

from conntrack_api.settings import MAX_ENTRIES, MIN_ENTRIES
from conntrack_api.sizing import Sizing, SizingTerm

ENTRY_BYTES: Final = 400
"""
Memory of one entry with its extension.

Source: measured, 256 to 384 bytes on kernels from 5.15 on; this is the safe side.
"""

BUCKET_BYTES: Final = 8
"""A pointer."""

STEP: Final = 16_384
"""Limits are multiples of this, or of 1024 where they are smaller."""

LIVE_PERCENT: Final = 110
"""A table stays as it is while its live entries and a tenth would not fit."""

SHRINK_FACTOR: Final = 2
"""A table shrinks when it is so many times as large as its peak asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is known of one node; 0 is unknown."""

    cores: int
    memory_bytes: int
    entries: int = 0
    """At present."""
    peak: int = 0
    """The highest fill that was seen."""
    told: int = 0
    """The limit that it was told last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A limit, and where it comes from."""

    entries: int
    term: SizingTerm


def price(entries: int, buckets: int) -> int:
    """
    Give the memory of a full table, in bytes.
    """
    return entries * ENTRY_BYTES + buckets * BUCKET_BYTES


def size(asked: Sizing, ratio: int, machine: Machine) -> Size:
    """
    Compute a node's limit.

    Args:
        asked: What the policy says.
        ratio: Entries for each bucket; makes part of an entry's price.
        machine: What is known of the node.

    Returns:
        The largest of cores, floor and peak; at most what the ceiling and the memory
        allow. While the live entries would not fit, the table stays as it is.
    """
    cores = Size(entries=_up(asked.per_core * machine.cores), term=SizingTerm.PER_CORE)
    floor = Size(entries=asked.floor, term=SizingTerm.FLOOR)
    fixed = max(cores, floor, key=lambda each: each.entries)
    peak = Size(entries=_peak(asked, machine, fixed.entries), term=SizingTerm.PEAK)
    found = max(fixed, peak, key=lambda each: each.entries)
    most = cap(asked, ratio, machine)
    if most.entries < found.entries:
        found = most
    crowded = machine.entries * LIVE_PERCENT // 100 > found.entries
    if crowded and machine.told > found.entries:
        found = Size(entries=machine.told, term=SizingTerm.LIVE_ENTRIES)
    return Size(
        entries=max(MIN_ENTRIES, min(MAX_ENTRIES, found.entries)), term=found.term
    )


def cap(asked: Sizing, ratio: int, machine: Machine) -> Size:
    """
    Give the most that a node's limit may be, by the ceiling and by its memory.
    """
    most = Size(entries=asked.ceiling, term=SizingTerm.CEILING)
    if machine.memory_bytes > 0:
        allowed = machine.memory_bytes * asked.memory_percent // 100
        fits = _down(allowed * ratio // (ENTRY_BYTES * ratio + BUCKET_BYTES))
        if fits < most.entries:
            return Size(entries=fits, term=SizingTerm.MEMORY)
    return most


def _peak(asked: Sizing, machine: Machine, fixed: int) -> int:
    """
    Give the limit that the highest fill asks for; 0 while the others are enough.

    A table is enough until half of its headroom is used, and too large when it has
    become twice as large as it would be made now. In between it stays.
    """
    peak = max(machine.peak, machine.entries)
    wanted = _up(peak * (100 + asked.peak_headroom_percent) // 100)
    enough = peak * (200 + asked.peak_headroom_percent) // 200
    if max(enough, machine.told) <= fixed:
        return 0
    keeps = enough <= machine.told < wanted * SHRINK_FACTOR
    return machine.told if keeps else wanted


def _step(number: int) -> int:
    """
    Give what a limit of about this size is a multiple of.
    """
    return STEP if number >= STEP else MIN_ENTRIES


def _up(number: int) -> int:
    """
    Round up.
    """
    step = _step(number)
    return -(-number // step) * step


def _down(number: int) -> int:
    """
    Round down: a share of the memory is a most.
    """
    step = _step(number)
    return number // step * step
