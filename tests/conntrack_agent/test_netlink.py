"""The counters over netlink: of this kernel, and of one that answers as told."""

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conntrack_agent.counters import parse
from conntrack_agent.errors import KernelError, SettingReadOnly
from conntrack_agent.netlink import CounterSocket

STATISTICS = Path("/proc/net/stat/nf_conntrack")
FOUND, INSERT_FAILED, DROP, EARLY_DROP, CHAIN_TOOLONG = 2, 9, 10, 11, 15
STATS_CPU, DONE, ERROR = 0x104, 3, 2


def message(kind: int, sequence: int, body: bytes) -> bytes:
    """One netlink message, padded."""
    head = struct.pack("=IHHII", 16 + len(body), kind, 2, sequence, 0)
    return head + body + bytes(-len(body) % 4)


def cpu(number: int, sequence: int, **_: int) -> Callable[..., bytes]:
    """Make the answer of one CPU out of attributes."""

    def build(*attributes: tuple[int, int]) -> bytes:
        body = struct.pack("=BBH", 0, 0, socket.htons(number))
        for kind, value in attributes:
            body += struct.pack("=HH", 8, kind) + struct.pack(">I", value)
        return message(STATS_CPU, sequence, body)

    return build


def told(*answers: bytes) -> tuple[CounterSocket, list[bytes]]:
    """A kernel that gives these blocks, and what it was asked."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asked: list[bytes] = []

    class Line:
        """Our end, with the answers waiting."""

        def __init__(self) -> None:
            for each in answers:
                theirs.send(each)

        def settimeout(self, seconds: float) -> None:
            """Never wait long in a test."""
            ours.settimeout(min(seconds, 0.01))

        def send(self, data: bytes) -> int:
            """Take a question."""
            asked.append(data)
            return len(data)

        def recv(self, size: int) -> bytes:
            """Give the next block."""
            return ours.recv(size)

        def close(self) -> None:
            """Hang up."""
            ours.close()
            theirs.close()

    return CounterSocket(Line), asked  # type: ignore[arg-type]


def test_the_question_is_a_dump_of_every_cpu() -> None:
    """Twenty bytes: header, family and a resource number of 0."""
    counters, asked = told(message(DONE, 1, bytes(4)))

    assert {} == counters.read()
    (question,) = asked
    assert (20, 0x104, 0x301, 1, 0) == struct.unpack("=IHHII", question[:16])
    counters.close()


def test_each_cpu_is_read_by_its_attributes() -> None:
    """Unknown attributes are skipped, absent ones are 0, in any order."""
    one = cpu(0, 1)((FOUND, 9), (DROP, 7), (CHAIN_TOOLONG, 3), (EARLY_DROP, 5))
    two = cpu(5, 1)((INSERT_FAILED, 4), (99, 1))
    counters, _ = told(one + two, message(DONE, 1, bytes(4)))

    assert {"0": (7, 5, 0, 3), "5": (0, 0, 4, 0)} == counters.read()
    counters.close()


def test_an_answer_to_an_older_question_is_passed_over() -> None:
    """What a question left behind that was given up is not taken for this one's."""
    old = cpu(0, 77)((DROP, 1)) + message(DONE, 77, bytes(4))
    counters, _ = told(old, cpu(0, 1)((DROP, 2)) + message(DONE, 1, bytes(4)))

    assert {"0": (2, 0, 0, 0)} == counters.read()
    counters.close()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (message(ERROR, 1, struct.pack("=i", -1) + bytes(16)), SettingReadOnly),
        (message(ERROR, 1, struct.pack("=i", -105) + bytes(16)), KernelError),
        (b"\x08\x00\x00\x00" * 4, KernelError),
        (b"\xff" * 16, KernelError),
        (b"\x00", KernelError),
        (message(STATS_CPU, 1, b"\0\0\0\0\1\0\12\0"), KernelError),
        (message(STATS_CPU, 1, b"\0"), KernelError),
    ],
)
def test_what_is_no_answer_is_an_error(
    answer: bytes, expected: type[KernelError]
) -> None:
    """A refusal, a broken message or silence never becomes numbers."""
    counters, _ = told(answer)

    with pytest.raises(expected):
        counters.read()
    with pytest.raises(KernelError):
        counters.read()


def test_silence_is_an_error() -> None:
    """Nobody waits for ever."""
    counters, _ = told(cpu(0, 1)((DROP, 1)))

    with pytest.raises(KernelError):
        counters.read()


@pytest.mark.root
def test_this_kernel_says_the_same_both_ways() -> None:
    """Netlink and ``/proc/net/stat`` are the same counters, CPU by CPU."""
    if os.geteuid() != 0:
        pytest.skip("needs CAP_NET_ADMIN")
    if not STATISTICS.exists():
        pytest.skip("this kernel has no /proc/net/stat/nf_conntrack")
    counters = CounterSocket()
    before = parse(STATISTICS.read_text())

    found = counters.read()

    after = parse(STATISTICS.read_text())
    assert before.keys() == found.keys()
    for key, counts in found.items():
        assert before[key] <= counts <= after[key]
    assert found.keys() == counters.read().keys(), "and once more on the same socket"
    counters.close()


ASK = """
from conntrack_agent.errors import SettingReadOnly
from conntrack_agent.netlink import CounterSocket
try:
    CounterSocket().read()
except SettingReadOnly as error:
    print(error)
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="makes a user namespace")
def test_this_kernel_refuses_without_the_capability() -> None:
    """Root of another user namespace has none in ours; the sentence says which."""
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", sys.executable, "-c", ASK],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
        text=True,
    )

    words = "netlink: Operation not permitted, the capability NET_ADMIN is missing"
    assert words == done.stdout.strip()
