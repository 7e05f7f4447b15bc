"""
``docs/kernels.md``: what kernels of each age offer, as the agent finds it.

Made by the agent's own looks at the captured trees of its tests.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from conntrack_agent.counters import COLUMNS
from conntrack_agent.kernel import LinuxKernel
from conntrack_agent.meter import LEGACY_STATISTICS, STATISTICS, Meter
from conntrack_agent.observe import observe
from conntrack_agent.testing import FakeClock, tree
from conntrack_api.node import CounterSource
from generate.markdown import code, page, prose, table

if TYPE_CHECKING:
    from collections.abc import Iterator

FIXTURES = Path(__file__).parents[2] / "tests" / "conntrack_agent" / "fixtures"

INTRODUCTION = """
The agent asks for the drop counters over netlink, where it may: that needs
`NET_ADMIN` (`agent.netAdmin` of the chart), and kernels answer since 3.6, whatever they
were built with. Without the right it reads `/proc/net/stat/nf_conntrack`, which most
distributions leave out; without that, only the fill tells how hard the table is worked.
`status.facts.counters` says which it is.
"""

CAPTION = """
The same agent on the kernel trees of its tests, which hold the files that each of these
kernels has. Debian's were captured from the running kernel, the others are written
after Ubuntu's.
"""

PROOF = """
On the real kernels 5.10, 6.1 and 7.2, `make kernels` fills the table of a machine in
an emulator and tries 50 new connections: both sources count what is refused, CPU by CPU
alike, and `ConntrackPressure` goes from `TableFull` to `DroppingPackets` and back to
`BelowThreshold`. `make faults` does the same on the kernel of the machine it runs on,
in a network namespace.
"""


def kernels_page() -> str:
    """
    Write the page.
    """
    head = ("Kernel", "With `NET_ADMIN`", "Without", "Columns of the file", "Buckets")
    return page(
        "# Kernels",
        "## Drop counters",
        prose(INTRODUCTION),
        prose(CAPTION),
        table(head, _rows()),
        prose(PROOF),
    )


def _rows() -> Iterator[tuple[str, ...]]:
    """
    Look at each tree, the oldest first.
    """
    with tempfile.TemporaryDirectory() as folder:
        for source in sorted(FIXTURES.glob("*/MODES"), key=_age):
            name = source.parent.name
            kernel = LinuxKernel(tree(source.parent, Path(folder) / name))
            seen = observe(kernel)
            load = Meter(kernel, clock=FakeClock()).look(seen, {})
            file = kernel.read(STATISTICS) or kernel.read(LEGACY_STATISTICS) or "\n"
            heads = file.splitlines()[0].split()
            has = ", ".join(code(each) for each in COLUMNS if each in heads)
            # The question came with nf_conntrack, in 3.6.
            first = load.counters if seen.legacy else CounterSource.NETLINK
            path = str(seen.buckets_path)
            yield (
                seen.host.kernel,
                str(first),
                str(load.counters),
                has or "no file",
                path,
            )


def _age(path: Path) -> tuple[int, ...]:
    """
    Sort by version.
    """
    version = path.parent.name.rpartition("-")[2]
    return tuple(int(each) for each in version.split("."))
