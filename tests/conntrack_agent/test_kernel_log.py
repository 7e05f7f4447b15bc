"""The kernel's log is read where it may be, as a hint, and seldom."""

import ctypes
import errno
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.conntrack_agent.conftest import call
from tests.conntrack_agent.test_meter import FakeCounters

from conntrack_agent.agent import Agent, Sources
from conntrack_agent.errors import KernelError, SettingReadOnly
from conntrack_agent.fake_kernel import FakeKernel
from conntrack_agent.full_lines import RECENT, FullLine, last_full, said
from conntrack_agent.kernel_log import BYTES, KernelLog
from conntrack_agent.log_hint import PAUSE
from conntrack_agent.observations import COUNT
from conntrack_agent.report import worth_writing
from conntrack_agent.testing import FakeClock, FakeJournal, conntrack_node
from conntrack_api.conditions import NodeCondition, find
from conntrack_api.node import Capability, NodeStatus

NOW = "2026-01-01T00:00:00Z"
NEW = "nf_conntrack: nf_conntrack: table full, dropping packet"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # As real kernels wrote them: 4.4, 6.1, 6.18, and archived ones of 2.6.
        ("<4>[   21.483021] nf_conntrack: table full, dropping packet", 21.483021),
        (f"<4>[    8.062514] {NEW}", 8.062514),
        ("<4>[16312.213559] nf_conntrack: nf_conntrack: table full, dropping packet",
         16312.213559),
        ("<4>nf_conntrack: table full, dropping packet.", None),
        ("<4>ip_conntrack: table full, dropping packet.", None),
        # CONFIG_PRINTK_CALLER.
        (f"<4>[    8.062514][  T123] {NEW}", 8.062514),
        (f"<4>[    8.062514][    C1] {NEW}", 8.062514),
    ],
)  # fmt: skip
def test_lines_of_many_kernels(line: str, expected: float | None) -> None:
    """Whatever stands before the text, and with or without a time."""
    around = f"<6>[    1.0] first\n{line}\n<6>[99999.0] last\n"

    assert FullLine(at=expected) == last_full(around)


@pytest.mark.parametrize(
    "line",
    [
        "",
        f"<4>[    8.0] {NEW.replace(',', ' in netns 4026532393,')}",
        "<4>[    8.0] nf_conntrack: expectation table full",
        "<4>[    8.0] net_ratelimit: 54 callbacks suppressed",
        f"<12>[    8.0] {NEW}",
        f"<6>[    8.0] somebody says: <4>[    8.0] {NEW}",
        f"<4>[    8.0] {NEW} and more",
        "<4>[    8.0] table full, dropping packet",
    ],
    ids=[
        "empty",
        "another namespace",
        "expectations",
        "suppressed",
        "written by a program",
        "quoted",
        "more",
        "of whom",
    ],
)
def test_what_is_no_such_line(line: str) -> None:
    """Look-alikes, other tables, and what programs write into the kernel's log."""
    assert last_full(f"{line}\n") is None


times = st.integers(0, 10**13).map(lambda each: each / 1e6)
noise = st.text(max_size=40).map(lambda text: f"<6>[    1.0] {text}")


@given(st.lists(times | noise, max_size=30))
@example([5.0, 3.0])
def test_the_youngest_line_counts(lines: list[float | str]) -> None:
    """Logs are in order, so the last one is the youngest; noise changes nothing."""
    text = "\n".join(
        each if isinstance(each, str) else f"<4>[{each:12.6f}] {NEW}" for each in lines
    )
    stamps = [each for each in lines if isinstance(each, float)]

    assert (FullLine(at=stamps[-1]) if stamps else None) == last_full(text)


@given(st.binary(max_size=500).map(lambda each: each.decode("utf-8", "replace")))
def test_no_log_is_too_strange(text: str) -> None:
    """It is not ours, so it may hold anything."""
    assert last_full(text) is None


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (900.0, 'the kernel\'s log says "table full", 100 s ago'),
        (399.0, ""),
        (None, 'the kernel\'s log says "table full", at an unknown time'),
        # Its clock is not ours: it may be a little ahead.
        (1003.0, 'the kernel\'s log says "table full", 10 s ago'),
    ],
)
def test_its_age_is_said(at: float | None, expected: str) -> None:
    """A line that is older than ten minutes explains nothing any more."""
    assert expected == said(FullLine(at=at), found_at=990.0, now=1000.0)


class Node:
    """An agent that may read a log."""

    def __init__(self, counters: FakeCounters | None = None) -> None:
        """Boot; the table holds 1000 entries at most."""
        self.kernel = FakeKernel(limit=1000, entries=100)
        self.counters = counters or FakeCounters()
        self.clock = FakeClock()
        self.log: str | KernelError = ""
        self.reads = 0
        self.agent = Agent(
            self.kernel,
            FakeJournal(),
            clock=self.clock,
            sources=Sources(counters=self.counters, kernel_log=self.read),
        )
        self.agent.accept(conntrack_node())

    def read(self) -> str:
        """Give the log, or what it says instead."""
        self.reads += 1
        if isinstance(self.log, KernelError):
            raise self.log
        return self.log

    def write(self, stamp: str = "") -> None:
        """Log a line."""
        assert isinstance(self.log, str)
        self.log += f"<4>{stamp}{NEW}\n"

    def run(self, seconds: float = 5) -> NodeStatus:
        """Let time pass, and run a pass."""
        self.clock.sleep(seconds)
        status = self.agent.pass_once(NOW)
        assert status is not None
        return status


def pressure(status: NodeStatus) -> tuple[str, str]:
    """Reason and message."""
    found = find(status.conditions, NodeCondition.PRESSURE)
    assert found is not None
    return found.reason, found.message


def test_a_quiet_node_looks_once() -> None:
    """It finds out whether it may; then there is no reason to look."""
    node = Node()
    for _ in range(100):
        node.run()

    assert 1 == node.reads


def test_without_counters_the_log_is_a_hint_and_no_condition() -> None:
    """The reason stays what the fill says; it is written twice, not every time."""
    counters = FakeCounters()
    counters.error = SettingReadOnly("netlink: Operation not permitted")
    node = Node(counters)
    last = node.run()
    node.write(f"[{node.clock():12.6f}] ")

    writes = []
    for _ in range(200):
        status = node.run()
        if worth_writing(status, last):
            last = status
            writes.append(pressure(status))

    before = "100 of 1000 entries, 10 %"
    hint = f'{before}; a hint: the kernel\'s log says "table full", 30 s ago'
    assert [("BelowThreshold", hint), ("BelowThreshold", before)] == writes
    assert 5 * 201 / PAUSE >= node.reads - 1


def test_drops_that_the_fill_does_not_explain_are_a_reason_to_look() -> None:
    """The hint stays for ten minutes, though the counters stand still again."""
    node = Node()
    node.run()
    node.run(PAUSE)
    node.counters.drop += 3
    node.write(f"[{node.clock():12.6f}] ")

    assert 'says "table full", 5 s ago' in pressure(node.run())[1]
    assert 'says "table full", 600 s ago' in pressure(node.run(RECENT - 5))[1]
    assert "hint" not in pressure(node.run())[1]
    assert 2 == node.reads


def test_a_full_table_says_the_hint_beside_the_numbers() -> None:
    """The counters give the reason; the log is read at most twice a minute."""
    node = Node()
    node.run()
    node.kernel.files[COUNT] = "1000"
    node.write(f"[{node.clock():12.6f}] ")
    node.counters.drop += 3

    reason, message = pressure(node.run(PAUSE))
    for _ in range(60):
        node.run(1)

    assert "DroppingPackets" == reason
    assert "3 packets of new connections were just dropped; a hint: " in message
    assert 2 + 60 / PAUSE >= node.reads


def test_a_line_without_a_time_counts_only_while_the_table_is_full() -> None:
    """It may be of last month; a full table makes it likely to be of today."""
    node = Node()
    node.write()
    node.counters.drop += 1
    node.run()
    node.counters.drop += 1
    assert "hint" not in pressure(node.run(PAUSE))[1]

    node.kernel.files[COUNT] = "1000"
    assert 'says "table full", at an unknown time' in pressure(node.run(PAUSE))[1]


def test_a_log_that_may_not_be_read_is_one_word() -> None:
    """It is said in the facts, nothing else changes, and it is not tried again."""
    node = Node()
    node.log = SettingReadOnly("syslog: Operation not permitted")
    node.kernel.files[COUNT] = "1000"

    first, second = node.run(), node.run(PAUSE)

    for status in (first, second):
        assert status.facts is not None
        assert (Capability.NO_KERNEL_LOG,) == status.facts.capabilities
        assert "hint" not in pressure(status)[1]
    assert 1 == node.reads


def test_a_log_that_fails_once_is_read_again() -> None:
    """A hiccup is no lack of a right."""
    node = Node()
    node.kernel.files[COUNT] = "1000"
    node.log = KernelError("syslog: Interrupted system call")
    status = node.run()
    node.log = ""
    node.write(f"[{node.clock():12.6f}] ")

    assert status.facts is not None
    assert () == status.facts.capabilities
    assert "hint" in pressure(node.run(PAUSE))[1]


def test_nobody_looks_who_was_not_asked_to() -> None:
    """It is off by default, and no lack of anything."""
    agent = Agent(FakeKernel(), FakeJournal(), clock=FakeClock())
    agent.accept(conntrack_node())

    status = agent.pass_once(NOW)

    assert status is not None
    assert status.facts is not None
    assert () == status.facts.capabilities


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EPERM, SettingReadOnly),
        (errno.ENOSYS, SettingReadOnly),
        (errno.EINTR, KernelError),
    ],
)
def test_errors_are_named_by_cause(number: int, expected: type[KernelError]) -> None:
    """What another try cannot mend is told from what it can."""

    def ask(_size: int) -> bytes:
        raise OSError(number, "injected")

    with pytest.raises(expected, match=f"^syslog: {os.strerror(number)}") as found:
        KernelLog(ask).read()

    assert found.type is expected
    assert (number == errno.EPERM) is ("capability SYSLOG" in str(found.value))


def restricted() -> bool:
    """Whether this machine's log needs a capability."""
    return Path("/proc/sys/kernel/dmesg_restrict").read_text() != "0\n"


CAP_SYSLOG = 34
HEADER = struct.pack("=Ii", 0x20080522, 0)
"""``_LINUX_CAPABILITY_VERSION_3``, this thread."""


def effective() -> list[int]:
    """The capabilities of this thread: effective, permitted, inheritable, twice."""
    data = ctypes.create_string_buffer(24)
    call("capget", ctypes.create_string_buffer(HEADER), data)
    return list(struct.unpack("=6I", data.raw))


def without_the_right() -> str:
    """Read the log in a thread that has given up CAP_SYSLOG."""
    sets = effective()
    sets[3] &= ~(1 << CAP_SYSLOG - 32)
    call("capset", ctypes.create_string_buffer(HEADER), struct.pack("=6I", *sets))
    return KernelLog().read()


def test_the_real_log_is_read_in_whole_lines() -> None:
    """With the right, or where everybody may; its end, and no more than was asked."""
    if restricted() and not effective()[3] & 1 << CAP_SYSLOG - 32:
        pytest.skip("needs CAP_SYSLOG, since kernel.dmesg_restrict is on")

    text = KernelLog().read()

    assert len(text.encode()) <= BYTES
    assert all(line.startswith("<") for line in text.splitlines())
    # Nothing was taken out of it.
    assert set(text.splitlines()[-1:]) <= set(KernelLog().read().splitlines())


@pytest.mark.root
def test_without_the_right_it_is_refused_by_name() -> None:
    """The kernel says EPERM; the thread of the test has the right for nothing else."""
    if not restricted():
        pytest.skip("everybody may read this machine's log")
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(without_the_right)

        with pytest.raises(SettingReadOnly, match="the capability SYSLOG is missing"):
            asked.result()
