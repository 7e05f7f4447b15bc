"""
``docs/sizing.md``: what ``spec.table.sizing`` makes of machines of many sizes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from conntrack_api.settings import NF_CONNTRACK_BUCKETS
from conntrack_api.sizing import Sizing
from conntrack_api.table import DEFAULT_ENTRIES_PER_BUCKET, TableSize
from conntrack_operator.sizing import (
    BUCKET_BYTES,
    ENTRY_BYTES,
    Machine,
    price,
    size,
)
from conntrack_operator.table import fixed
from generate.markdown import page, prose, table

if TYPE_CHECKING:
    from collections.abc import Iterator

GIB = 2**30
MIB = 2**20

MACHINES = (
    *((1, 1), (1, 2), (2, 1), (2, 2), (2, 4), (2, 8), (4, 4), (4, 8), (4, 16)),
    *((8, 16), (8, 32), (16, 32), (16, 64), (32, 4), (32, 128), (48, 192)),
    *((64, 256), (64, 512), (96, 384), (128, 1024)),
)
"""Cores and GiB of memory, from the smallest virtual machine to a large server."""

INTRODUCTION = f"""
With `spec.table.sizing` the operator computes a limit for each node, from what its
agent reports: the largest of `perCore` times the cores, `floor`, and the highest fill
with `peakHeadroomPercent` above it; at most `ceiling`, and at most what
`memoryPercent` of the memory can hold at {ENTRY_BYTES} bytes for an entry and
{BUCKET_BYTES} for a bucket. The memory wins over the floor. A table stays as it is
while its live entries and a tenth would not fit into a smaller one. `spec.sizing` of
the `ConntrackNode` names the term that won, and the price of a full table.
"""

QUIET = """
With the defaults, on nodes that have seen no peak above half of that:
"""

PEAKS = """
The same machine of 8 cores and 32 GiB while its peak grows and goes away. A resize
stops packets for a moment, so the limit moves in large steps only: up when half of the
headroom is used, down when it is twice as large as it would be made now.
"""

STORY = (0, 100_000, 170_000, 200_000, 380_000, 700_000, 600_000, 300_000, 150_000)
"""The peak, from one report to the next."""

SOURCES = """
kube-proxy writes 32768 for each core and at least 131072, once at its start. Kernels
from 5.15 on take one entry for each bucket, and as many buckets as memory / 16384 / 8:
65536 above 1 GiB and 262144 above 4 GiB.
"""


def sizing_page() -> str:
    """
    Write the page.
    """
    names = ("Cores", "Memory", "Limit", "Term", "Price", "kube-proxy", "Kernel")
    return page(
        "# Sizing",
        prose(INTRODUCTION),
        prose(QUIET),
        table(names, _machines()),
        prose(SOURCES),
        "## A peak that comes and goes",
        prose(PEAKS),
        table(("Highest fill", "Limit", "Term"), _peaks()),
    )


def kernel(memory_bytes: int) -> int:
    """
    Give the limit that a kernel from 5.15 on chooses.

    Source:
        ``nf_conntrack_init_start`` in net/netfilter/nf_conntrack_core.c.
    """
    if memory_bytes > 4 * GIB:
        return 262_144
    return 65_536 if memory_bytes > GIB else memory_bytes // 16_384 // 8


def kube_proxy(cores: int) -> int:
    """
    Give the limit that kube-proxy chooses: ``maxPerCore`` and ``min``.
    """
    return max(32_768 * cores, 131_072)


def _machines() -> Iterator[tuple[str, ...]]:
    """
    Write a row for each machine.
    """
    for cores, gib in MACHINES:
        machine = Machine(cores=cores, memory_bytes=gib * GIB)
        found = size(Sizing(), DEFAULT_ENTRIES_PER_BUCKET, machine)
        both = fixed(found.entries, TableSize(max_entries=found.entries))
        cost = price(found.entries, both[NF_CONNTRACK_BUCKETS.name])
        yield (
            *(str(cores), f"{gib} GiB", str(found.entries), found.term),
            *(f"{cost // MIB} MiB", str(kube_proxy(cores)), str(kernel(gib * GIB))),
        )


def _peaks() -> Iterator[tuple[str, ...]]:
    """
    Write a row for each report.
    """
    told = 0
    for peak in STORY:
        machine = Machine(cores=8, memory_bytes=32 * GIB, peak=peak, told=told)
        found = size(Sizing(), DEFAULT_ENTRIES_PER_BUCKET, machine)
        told = found.entries
        yield str(peak), str(found.entries), found.term
