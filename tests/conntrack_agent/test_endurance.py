"""What an agent holds on to, after many passes in which something happens."""

import gc
from dataclasses import replace
from pathlib import Path

from conntrack_agent.agent import Agent
from conntrack_agent.enforce import Kernel
from conntrack_agent.journal import DiskJournal
from conntrack_agent.testing import ESTABLISHED, FakeClock, conntrack_node, node_spec
from conntrack_api.policy import ExistingEntries

NOW = "2026-01-01T00:00:00Z"
TIMEOUT = f"proc/sys/net/netfilter/{ESTABLISHED}"
FIRST, LATER = 200, 600
"""Passes before the first look and between the two."""


def test_nothing_grows(kernel: Kernel, tmp_path: Path) -> None:
    """Neither open files nor objects nor the journal, whatever happens again."""
    clock = FakeClock()
    folder = tmp_path / "state"
    agent = Agent(kernel, DiskJournal(folder, "n1"), clock=clock)

    def live(first: int, passes: int) -> tuple[int, int, int]:
        for number in range(first, first + passes):
            if number % 20 == 0:
                spec = node_spec(
                    {ESTABLISHED: 1000 + number},
                    revision=f"r{number}",
                    soak_seconds=30 * (number % 40 // 20),
                )
                spec = replace(spec, existing_entries=ExistingEntries.CLAMP)
                agent.accept(conntrack_node(spec, generation=number + 1))
            if number % 7 == 0:
                kernel.write(TIMEOUT, 55)
            clock.sleep(5)
            agent.pass_once(NOW)
        gc.collect()
        files = len(list(Path("/proc/self/fd").iterdir()))
        journal = (folder / "journal.json").stat().st_size
        return files, len(gc.get_objects()), journal

    files, objects, journal = live(0, FIRST)
    files_later, objects_later, journal_later = live(FIRST, LATER)

    assert files_later <= files
    assert objects_later - objects < LATER / 10
    assert journal_later < 1.1 * journal
    assert journal_later < 4096
