"""
The kernel's drop counters: what they are, and how much they have moved.

Computes only. Each CPU has counters of its own, 32 bits wide, which wrap, begin anew
when the module is loaded again, and may appear while we run. None of that may look
like packets that were dropped: see `Tally`.

Source: Linux, ``include/linux/netfilter/nf_conntrack_common.h``, ``struct
ip_conntrack_stat``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from conntrack_api.node import Drops

COLUMNS: Final = ("drop", "early_drop", "insert_failed", "chainlength")
"""
The counters that we keep, as ``/proc/net/stat/nf_conntrack`` heads them, in our order.

Old kernels have fewer; a counter that is not there stays 0. ``chainlength`` counts
chains that were too long for another entry.
"""

_WRAP: Final = 1 << 32

Counts = tuple[int, ...]
"""One number for each of `COLUMNS`."""

Sample = Mapping[str, Counts]
"""CPU to its counters; empty when there are none to be had."""


def parse(text: str) -> Sample:
    """
    Read ``/proc/net/stat/nf_conntrack``: by the names in its head, whatever they are.

    Args:
        text: A line of names, then one line of hexadecimal numbers for each CPU.

    Returns:
        Empty when it is anything else.
    """
    head, *lines = text.splitlines() or [""]
    names = head.split()
    if "drop" not in names:
        return {}
    sample = {}
    for cpu, line in enumerate(lines):
        try:
            row = dict(
                zip(names, (int(each, 16) for each in line.split()), strict=False)
            )
        except ValueError:
            return {}
        sample[str(cpu)] = tuple(row.get(name, 0) % _WRAP for name in COLUMNS)
    return sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How much the counters have moved since the first sight of them."""

    last: Sample = field(default_factory=dict)
    """What each CPU showed last; a CPU that is away keeps what it showed."""
    total: Counts = (0,) * len(COLUMNS)

    def after(self, sample: Sample) -> "Tally":
        """
        Count on.

        Args:
            sample: What the counters show now.

        Returns:
            A CPU seen for the first time adds nothing, and one that is missing takes
            nothing away.
        """
        moved = [
            tuple(map(_moved, self.last[cpu], counts))
            for cpu, counts in sample.items()
            if cpu in self.last
        ]
        return Tally(
            last={**self.last, **sample},
            total=tuple(map(sum, zip(self.total, *moved, strict=True))),
        )

    def drops(self) -> Drops:
        """
        Say it in the words of a status.

        A clash that could not be resolved counts as a drop and as a failed insertion,
        a chain that is too long only as the latter: what is left is the full table.
        """
        drop, early, failed, chain = self.total
        return Drops(
            table=max(0, drop - max(0, failed - chain)),
            early=early,
            insert_failed=failed,
            chain_too_long=chain,
        )


def _moved(before: int, now: int) -> int:
    """
    Tell how far one counter went.

    A small step down past 0 is a wrap. A large one is a module that was loaded again,
    whose counters began at 0.
    """
    step = (now - before) % _WRAP
    return step if step < _WRAP // 2 else now
