"""Metrics: what a scrape shows, and that nothing is paid for them when they are off."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from conntrack_agent.agent import Agent
from conntrack_agent.errors import KernelError
from conntrack_agent.kernel import LinuxKernel
from conntrack_agent.metrics import CountingKernel, Metrics
from conntrack_agent.scrapes import Server
from conntrack_agent.testing import (
    ESTABLISHED,
    FakeClock,
    FakeJournal,
    conntrack_node,
    node_spec,
    tree,
)
from conntrack_api.node import Drops, NodeStatus

FIXTURES = Path(__file__).parent / "fixtures"
NOW = "2026-01-01T00:00:00Z"


@pytest.fixture
def kernel(tmp_path: Path) -> CountingKernel:
    """A captured host, whose writes are counted at second 1000."""
    root = tree(FIXTURES / "linux-6.1", tmp_path / "host")
    return CountingKernel(LinuxKernel(root), clock=lambda: 1000.0)


@contextmanager
def scraped(metrics: Metrics) -> Iterator[dict[str, float]]:
    """Serve and read once, as Prometheus does."""
    server = Server(("127.0.0.1", 0), metrics)
    url = f"http://127.0.0.1:{server.server_address[1]}/metrics"
    end = server.answer()
    try:
        with urllib.request.urlopen(url) as answer:
            lines = answer.read().decode().splitlines()
    finally:
        end()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    yield {name: float(value) for name, value in pairs}


def test_a_scrape_shows_what_the_last_pass_found(kernel: CountingKernel) -> None:
    """Fill, size, writes and conditions, under one prefix."""
    agent = Agent(kernel, FakeJournal(), clock=FakeClock())
    agent.accept(conntrack_node(node_spec({ESTABLISHED: 86400})))
    agent.pass_once(NOW)

    with scraped(Metrics(lambda: agent.last, kernel)) as found:
        status = agent.last

    assert status.table is not None
    assert all(name.startswith("conntrack_agent_") for name in found)
    expected = {
        "entries": status.table.entries,
        "entries_limit": status.table.max_entries,
        "entries_peak": status.table.entries,
        "buckets": status.table.buckets,
        "memory_bytes": status.table.memory_bytes,
        "failures": 0,
        "ready": 1,
        "pressure": 0,
        "drifted": 0,
        "last_write_timestamp_seconds": 1000,
        'writes_total{result="applied"}': 1,
        'writes_total{result="failed"}': 0,
        'drops_total{cause="table_full"}': 0,
        'drops_total{cause="early_drop"}': 0,
        'drops_total{cause="insert_failed"}': 0,
        'drops_total{cause="chain_too_long"}': 0,
    }
    assert {f"conntrack_agent_{name}": value for name, value in expected.items()} == (
        found
    )


def test_before_the_first_pass_there_is_little_to_show(
    kernel: CountingKernel,
) -> None:
    """What is not known is left out; 0 would be a lie."""
    with scraped(Metrics(NodeStatus, kernel)) as found:
        names = {name.partition("{")[0] for name in found}

    assert {"conntrack_agent_failures", "conntrack_agent_writes_total"} == names


def test_drops_are_shown_by_cause(kernel: CountingKernel) -> None:
    """Each cause calls for something else."""
    drops = Drops(table=1, early=2, insert_failed=3, chain_too_long=4)
    status = replace(NodeStatus(), drops=drops)

    with scraped(Metrics(lambda: status, kernel)) as found:
        shown = [value for name, value in found.items() if "drops_total" in name]

    assert [1, 2, 3, 4] == shown


def test_a_write_that_fails_is_counted_apart(kernel: CountingKernel) -> None:
    """And is raised all the same."""
    with pytest.raises(KernelError):
        kernel.write("proc/sys/net/netfilter/none", 1)

    assert (0, 1, 0.0) == (kernel.applied, kernel.failed, kernel.last)


def test_nothing_is_imported_while_metrics_are_off() -> None:
    """An agent without the flag pays nothing for it."""
    program = (
        "import sys, conntrack_agent.__main__; "
        "print(sorted(each for each in sys.modules if 'prometheus' in each))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "[]" == done.stdout.strip()
