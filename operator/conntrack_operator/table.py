"""
Table: limit and buckets of one node, as a policy gives or computes them.

Computes only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from conntrack_api.growth import NodeGrowth
from conntrack_api.settings import (
    MAX_BUCKETS,
    MAX_ENTRIES,
    MIN_BUCKETS,
    MIN_ENTRIES,
    NF_CONNTRACK_BUCKETS,
    NF_CONNTRACK_MAX,
    rounded_buckets,
)
from conntrack_api.sizing import Sized
from conntrack_api.table import DEFAULT_ENTRIES_PER_BUCKET, TableSize
from conntrack_operator.rows import ConntrackNodeRow
from conntrack_operator.sizing import Machine, cap, price, size


@dataclass(frozen=True, slots=True)
class OwnSize:
    """What one node is told, and why."""

    settings: tuple[tuple[str, int], ...]
    sized: Sized | None
    growth: NodeGrowth | None = None


GROWTH: Final = 8
"""Without `sizing` a table may grow to so many times ``maxEntries``."""


def fixed(entries: int, table: TableSize) -> Mapping[str, int]:
    """
    Give the limit, and the buckets as a kernel would round them.
    """
    ratio = table.entries_per_bucket or DEFAULT_ENTRIES_PER_BUCKET
    wanted = table.buckets or -(-entries // ratio)
    buckets = max(MIN_BUCKETS, min(MAX_BUCKETS, rounded_buckets(wanted)))
    return {NF_CONNTRACK_MAX.name: entries, NF_CONNTRACK_BUCKETS.name: buckets}


def own(table: TableSize, current: ConntrackNodeRow) -> OwnSize:
    """
    Compute the size of one node's table.

    Args:
        table: What the policy says; has ``sizing``.
        current: What the node was told and what it has reported.

    Returns:
        Its size. A node whose facts are missing keeps the size that it was told:
        absence is never a command.
    """
    told = current.spec.settings if current.spec else {}
    if table.sizing is None or current.facts is None:
        names = (NF_CONNTRACK_MAX.name, NF_CONNTRACK_BUCKETS.name)
        kept = tuple((name, told[name]) for name in names if name in told)
        spec = current.spec
        if spec is None:
            return OwnSize(kept, None)
        return OwnSize(kept, spec.sizing, spec.growth)
    machine = Machine(
        cores=current.facts.cores,
        memory_bytes=current.facts.memory_bytes,
        entries=current.table.entries if current.table else 0,
        peak=current.peak_entries,
        told=_limit(current),
    )
    ratio = table.entries_per_bucket or DEFAULT_ENTRIES_PER_BUCKET
    found = size(table.sizing, ratio, machine)
    both = fixed(found.entries, table)
    bytes_ = price(found.entries, both[NF_CONNTRACK_BUCKETS.name])
    most = cap(table.sizing, ratio, machine).entries
    return OwnSize(
        tuple(both.items()),
        Sized(term=found.term, price_bytes=bytes_),
        growth(table, most),
    )


def growth(table: TableSize, ceiling: int) -> NodeGrowth | None:
    """
    Say how far a node's table may grow; ``None``: not at all.
    """
    asked = table.growth
    if asked is None:
        return None
    return NodeGrowth(
        at_percent=asked.at_percent,
        factor=asked.factor,
        ceiling=max(MIN_ENTRIES, min(MAX_ENTRIES, ceiling)),
    )


def _limit(current: ConntrackNodeRow) -> int:
    """
    Give the limit that a node was told, or the larger one that it has grown to.
    """
    told = current.spec.settings.get(NF_CONNTRACK_MAX.name, 0) if current.spec else 0
    grown = current.table is not None and current.table.grown_from is not None
    return max(told, current.table.max_entries) if current.table and grown else told
