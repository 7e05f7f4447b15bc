"""
A table that is really full, on this machine's own kernel (`make faults`).

The limit is one number for all network namespaces, and each counts for itself. So the
limit is lowered for some seconds to a number that is far above what this machine has
itself, and a namespace of the test is filled up to it. The guard of the demonstration
brings the limit back, whatever happens to the test.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import struct
import subprocess
import sys
from contextlib import ExitStack
from fcntl import ioctl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conntrack_agent import nfnetlink
from conntrack_agent.agent import Agent, Sources
from conntrack_agent.counters import parse
from conntrack_agent.kernel import LinuxKernel
from conntrack_agent.meter import STATISTICS
from conntrack_agent.netlink import CounterSocket
from conntrack_agent.observations import LIMIT
from conntrack_agent.testing import FakeClock, FakeJournal, conntrack_node, node_spec
from conntrack_api.conditions import NodeCondition, find
from conntrack_api.node import CounterSource, Drops, NodeMode
from demo.errors import DemoFailed
from demo.flows import tracking
from demo.host import Guard, hands_off, look

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conntrack_agent.conftest import ElsewhereKernel

    from conntrack_agent.seeding import Flows
    from conntrack_api.node import NodeStatus

pytestmark = [pytest.mark.root, pytest.mark.faults]
NOW = "2026-01-01T00:00:00Z"
ROOM = 30_000
"""Entries above those that this machine has itself."""
REFUSED = 50
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
log = logging.getLogger("conntrack_agent.tests")


class Node:
    """An agent in a namespace, which observes and writes nothing."""

    def __init__(self, kernel: ElsewhereKernel, *, netlink: bool) -> None:
        """Start; with netlink or with the file alone."""
        self.counters = CounterSocket(lambda: kernel.run(nfnetlink.connect))
        self.agent = Agent(
            kernel,
            FakeJournal(),
            clock=FakeClock(),
            sources=Sources(counters=self.counters if netlink else None),
        )
        self.agent.accept(conntrack_node(node_spec({}, mode=NodeMode.OBSERVE)))

    def look(self) -> tuple[str, str, Drops]:
        """Run a pass: the reason of the pressure, its words, and the drops."""
        status: NodeStatus | None = self.agent.pass_once(NOW)
        assert status is not None
        assert status.facts is not None
        assert status.drops is not None
        found = find(status.conditions, NodeCondition.PRESSURE)
        assert found is not None
        log.info(
            "%-8s %-16s drops %s: %s",
            status.facts.counters,
            found.reason,
            status.drops.table,
            found.message,
        )
        return found.reason, found.message, status.drops


@pytest.fixture
def guard() -> Iterator[Guard]:
    """Hold the lock over this machine's settings, and bring them back."""
    if refused := hands_off(look()):
        pytest.skip(refused)
    before = limit()
    with ExitStack() as stack:
        try:
            held = stack.enter_context(Guard())
        except DemoFailed as error:
            pytest.skip(str(error))
        yield held
    assert before == limit()


def limit() -> int:
    """This machine's limit."""
    return int(Path(f"/{LIMIT}").read_text())


def lowered() -> int:
    """Lower the limit to what is safe, and give it."""
    safe = (look().entries or 0) + ROOM
    assert safe < limit()
    LinuxKernel().write(LIMIT, safe)
    return safe


def loopback_up() -> None:
    """Let this namespace talk to itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = ioctl(any_socket, SIOCGIFFLAGS, struct.pack("16sH22x", b"lo", 0))
        (flags,) = struct.unpack_from("H", asked, 16)
        ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | IFF_UP))


def knock(number: int) -> int:
    """Send one packet for each of so many new flows; how many the kernel refused."""
    refused = 0
    with tracking() as target:
        port = target.getsockname()[1]
        for index in range(number):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
                source.bind(("127.0.0.1", 0))
                try:
                    source.sendto(b"", (f"127.0.1.{index + 1}", port))
                except PermissionError:
                    refused += 1
    return refused


def in_file(kernel: ElsewhereKernel) -> int:
    """The drops of all CPUs, in the words of the file."""
    return sum(each[0] for each in parse(kernel.read(STATISTICS) or "").values())


def over_netlink(kernel: ElsewhereKernel) -> int:
    """The drops of all CPUs, over netlink."""
    counters = CounterSocket(lambda: kernel.run(nfnetlink.connect))
    found = sum(each[0] for each in counters.read().values())
    counters.close()
    return found


def test_drops_of_a_full_table_are_counted_said_and_over_again(
    guard: Guard, namespace_kernel: ElsewhereKernel, flows: Flows
) -> None:
    """Both sources count the same; the pressure comes with the drops, and goes."""
    assert guard
    original = limit()
    namespace_kernel.run(loopback_up)
    nodes = [Node(namespace_kernel, netlink=each) for each in (True, False)]
    assert 0 == namespace_kernel.run(lambda: knock(5))
    first = over_netlink(namespace_kernel), in_file(namespace_kernel)
    assert ["BelowThreshold"] * 2 == [each.look()[0] for each in nodes]

    safe = lowered()
    flows.add(safe)
    full = [each.look() for each in nodes]
    assert ["TableFull"] * 2 == [reason for reason, *_ in full]
    assert all(f"{safe} of {safe} entries, 100 %" in words for _, words, _ in full)

    assert REFUSED == namespace_kernel.run(lambda: knock(REFUSED))
    dropping = [each.look() for each in nodes]
    assert ["DroppingPackets"] * 2 == [reason for reason, *_ in dropping]
    assert all(f"{REFUSED} packets of new" in words for _, words, _ in dropping)
    assert [REFUSED] * 2 == [drops.table for *_, drops in dropping]
    assert first[0] + REFUSED == over_netlink(namespace_kernel)
    assert first[1] + REFUSED == in_file(namespace_kernel)
    assert ["TableFull"] * 2 == [each.look()[0] for each in nodes], "no more drops"

    LinuxKernel().write(LIMIT, original)
    assert 0 == namespace_kernel.run(lambda: knock(5))
    over = [each.look() for each in nodes]
    assert ["BelowThreshold"] * 2 == [reason for reason, *_ in over]
    assert [REFUSED] * 2 == [drops.table for *_, drops in over]
    sources = [each.agent.last.facts for each in nodes]
    assert [CounterSource.NETLINK, CounterSource.PROC_STAT] == [
        facts.counters for facts in sources if facts
    ]
    for each in nodes:
        each.counters.close()


KILLED = """
import sys, time
from conntrack_agent.kernel import LinuxKernel
from conntrack_agent.observations import LIMIT
from demo.errors import DemoFailed
from demo.host import Guard, look
try:
    with Guard():
        LinuxKernel().write(LIMIT, (look().entries or 0) + int(sys.argv[1]))
        print("lowered", flush=True)
        time.sleep(60)
except DemoFailed:
    print("busy", flush=True)
"""


def test_the_limit_comes_back_when_everything_is_killed() -> None:
    """The guard is a process of its own, and holds the lock until it has done it."""
    if refused := hands_off(look()):
        pytest.skip(refused)
    before = limit()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, str(ROOM)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        word = process.stdout.readline()
        if word == b"busy\n":
            pytest.skip("another test is changing this host's settings")
        assert b"lowered\n" == word
        assert before != limit()
        process.kill()

    # The lock is free when the guard has ended.
    for _ in range(300):
        try:
            with Guard():
                break
        except DemoFailed:
            select.select([], [], [], 0.1)
    assert before == limit()
