"""Idle entries cut on this machine's own kernel, in a namespace of the test."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conntrack_agent import clamp
from conntrack_agent.agent import Agent, Sources
from conntrack_agent.fake_kernel import BOOT_ID
from conntrack_agent.journal import DiskJournal
from conntrack_agent.memory import Accepted, Memory
from conntrack_agent.observations import LIMIT
from conntrack_agent.testing import (
    ESTABLISHED,
    FakeClock,
    FakeJournal,
    conntrack_node,
    node_spec,
)
from conntrack_agent.walk import EXAMINED, SHORTENED
from conntrack_api.node import ExistingEntriesStatus, WalkState
from conntrack_api.policy import ExistingEntries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conntrack_agent.conftest import ElsewhereKernel

    from conntrack_agent.entries import EntryTable
    from conntrack_agent.seeding import Flows

pytestmark = pytest.mark.root
NOW = "2026-01-01T00:00:00Z"
UDP = socket.IPPROTO_UDP
STREAM = "nf_conntrack_udp_timeout_stream"
SPEC = replace(
    node_spec({ESTABLISHED: 3600, STREAM: 60}), existing_entries=ExistingEntries.CLAMP
)
LONG = 432_000


def anything(_protocol: int, _state: int, _status: int) -> int:
    """Every entry has more than this."""
    return 1


log = logging.getLogger("conntrack_agent.tests")


def longest(table: EntryTable) -> dict[tuple[int, int, int], int]:
    """The most that remains, by protocol, state and bits."""
    found: dict[tuple[int, int, int], int] = {}
    while (part := table.read(anything)) is not None:
        for each, _seconds in part[1]:
            kind = each.protocol, each.state, each.status
            found[kind] = max(found.get(kind, 0), each.remaining)
    return found


def over(table: EntryTable, seconds: int = 3600, *, of: int = 0) -> int:
    """
    How many entries are longer than that, of so many in all; 0: of any number.

    All namespaces share their buckets: when somebody else resizes them in the middle,
    some entries are not seen or seen twice, and the table is read again.
    """
    for _ in range(20):
        seen = number = 0
        while (part := table.read(lambda *_: seconds)) is not None:
            seen += part[0]
            number += len(part[1])
        if seen == of or not of:
            return number
    raise AssertionError(f"{seen} entries of {of}")


def test_only_what_outlives_our_timeouts_is_cut(
    namespace_kernel: ElsewhereKernel, flows: Flows, entries: EntryTable
) -> None:
    """By protocol and state; short, fixed and foreign entries keep what they have."""
    assured, fixed = 0xE, 0xE | clamp.FIXED_TIMEOUT
    flows.add(40)
    flows.add(10, seconds=1000)
    flows.add(10, state=4, seconds=LONG)
    flows.add(10, status=fixed)
    flows.add(10, protocol=UDP, state=None, seconds=170)
    flows.add(10, protocol=UDP, state=None, seconds=170, status=0x8)
    flows.add(1, protocol=89, state=None, seconds=5000)
    clock = FakeClock()
    agent = Agent(
        namespace_kernel,
        FakeJournal(),
        clock=clock,
        sources=Sources(entries=entries),
    )
    agent.accept(conntrack_node(SPEC))
    clock.sleep(1)

    status = agent.pass_once(NOW)

    assert status is not None
    assert () == status.failures
    assert (
        ExistingEntriesStatus(state=WalkState.DONE, examined=91, shortened=50)
        == status.existing_entries
    )
    found = longest(entries)
    assert 3500 <= found[6, 3, assured] <= 3600
    assert 20 <= found[17, 0, assured] <= 60
    assert found[6, 4, assured] > LONG - 1000, "its timeout is not ours"
    assert found[6, 3, fixed] > LONG - 1000
    assert 100 <= found[17, 0, 0x8] <= 170, "one way only: not the stream's"
    assert 4500 <= found[89, 0, assured] <= 5000
    assert 40 + 10 + 10 + 1 == over(entries, 1000), "those of 1000 s were left"


def test_a_large_table_is_walked_in_small_steps(
    namespace_kernel: ElsewhereKernel, flows: Flows, entries: EntryTable
) -> None:
    """A tenth of it is cut; steps are short, and their number keeps the pace."""
    # The limit is this machine's, and a small one may not have room for all.
    limit = int(namespace_kernel.read(LIMIT) or 0)
    number = min(100_000, limit // 4)
    long = number // 10
    flows.add(number - long, seconds=3600)
    flows.add(long)
    clock = FakeClock()
    agent = Agent(
        namespace_kernel,
        FakeJournal(),
        clock=clock,
        sources=Sources(entries=entries),
    )
    agent.accept(conntrack_node(SPEC))
    agent.pass_once(NOW)
    steps = []

    while walking(agent):
        clock.sleep(1)
        began = time.process_time()
        agent.sample()
        steps.append(time.process_time() - began)
        if len(steps) % 5 == 0:
            agent.pass_once(NOW)

    assert 0 == over(entries)
    assert len(steps) >= max(long / SHORTENED, number / EXAMINED - 1)
    steps.sort()
    middle, most = (1000 * steps[at] for at in (len(steps) // 2, -1))
    log.info("%d steps, CPU ms: median %.1f, most %.1f", len(steps), middle, most)
    progress = agent.last.existing_entries
    assert progress is not None
    assert (number, long) == (progress.examined, progress.shortened)


def walking(agent: Agent) -> bool:
    """Tell whether the walk is not done yet."""
    progress = agent.last.existing_entries
    return progress is None or progress.state is WalkState.WALKING


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """A real agent without an API server, told by its journal to cut."""
    for name in ("token", "ca.crt"):
        (tmp_path / name).touch()
    boot_id = Path(f"/{BOOT_ID}").read_text().strip()
    accepted = Accepted(object_uid="u", generation=1, spec=SPEC)
    DiskJournal(tmp_path, "n1").save(Memory(boot_id=boot_id, accepted=accepted))
    return [
        *(sys.executable, "-m", "conntrack_agent", "--node=n1"),
        *("--server=https://127.0.0.1:1", "--observe-seconds=0.5"),
        f"--state-dir={tmp_path}",
        f"--token-file={tmp_path / 'token'}",
        f"--ca-file={tmp_path / 'ca.crt'}",
    ]


def test_a_killed_agent_leaves_old_or_new_and_the_next_one_ends_it(
    namespace_kernel: ElsewhereKernel,
    flows: Flows,
    entries: EntryTable,
    command: list[str],
) -> None:
    """Twice killed in the middle; then everything is cut, and nothing was longer."""
    flows.add(3_000)

    def start() -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    def lives() -> Iterator[subprocess.Popen[bytes]]:
        for _ in range(3):
            process = namespace_kernel.run(start)
            try:
                yield process
            finally:
                process.kill()
                process.wait()

    left = 3_000
    for life, process in enumerate(lives()):
        aim = (2_000, 1_000, 0)[life]
        until = time.monotonic() + 240
        while (now := over(entries, of=3_000)) > aim and time.monotonic() < until:
            assert now <= left
            assert process.poll() is None
            left = now
    assert 0 == over(entries, of=3_000)


@pytest.mark.faults
def test_a_hundred_thousand_idle_entries_are_cut_to_the_end(
    namespace_kernel: ElsewhereKernel,
    flows: Flows,
    entries: EntryTable,
    command: list[str],
) -> None:
    """By the real process, in some minutes; it counts each once, and says so once."""
    # The limit is this machine's, and a small one may not have room for all.
    number = min(100_000, int(namespace_kernel.read(LIMIT) or 0) // 4)
    flows.add(number)

    def start() -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.Popen(
            command, env=environment, stderr=subprocess.PIPE, text=True
        )

    with namespace_kernel.run(start) as process:
        assert process.stderr is not None
        said = (json.loads(each) for each in process.stderr)
        try:
            done = next(each for each in said if "entries cut" in each["message"])
            assert 0 == over(entries, of=number)
        finally:
            process.terminate()
        rest = [each["message"] for each in said]

    assert (number, number) == (done["examined"], done["shortened"])
    assert not [each for each in rest if "entries" in each]
