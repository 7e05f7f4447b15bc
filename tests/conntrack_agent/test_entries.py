"""Entries over netlink: of this kernel in a namespace, and of one that misbehaves."""

from __future__ import annotations

import errno
import socket
import struct
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from conntrack_agent import clamp, nfnetlink
from conntrack_agent.entries import BATCH, EntryTable
from conntrack_agent.errors import KernelError, SettingReadOnly

if TYPE_CHECKING:
    from conntrack_agent.clamp import Entry
    from conntrack_agent.seeding import Flows

real = pytest.mark.root
UDP = socket.IPPROTO_UDP


def anything(_protocol: int, _state: int, _status: int) -> int:
    """Every entry has more than this."""
    return 1


def whole(table: EntryTable, above: int = 0) -> tuple[int, list[Entry]]:
    """Walk to the end: how many there are, and those above."""
    count, found = 0, []
    while (part := table.read(lambda *_: max(1, above))) is not None:
        count += part[0]
        found += [entry for entry, _seconds in part[1]]
    return count, found


@real
def test_every_entry_is_read_once_with_what_decides(
    flows: Flows, entries: EntryTable
) -> None:
    """Protocol, state, status bits and the seconds that remain."""
    flows.add(500)
    flows.add(300, protocol=UDP, state=None, status=0x8, seconds=900)

    count, found = whole(entries)

    kinds = Counter((each.protocol, each.state) for each in found)
    assert {(6, 3): 500, (17, 0): 300} == kinds
    assert (800, 800) == (count, len({each.key for each in found}))
    assert all(each.family == socket.AF_INET for each in found)
    udp = next(each for each in found if each.protocol == UDP)
    tcp = next(each for each in found if each.protocol != UDP)
    assert 890 <= udp.remaining <= 900
    assert 431_990 <= tcp.remaining <= 432_000
    assert not udp.status & (clamp.SEEN_REPLY | clamp.ASSURED)
    assert tcp.status & clamp.SEEN_REPLY
    assert tcp.status & clamp.ASSURED


@real
def test_short_ones_are_counted_and_not_given(
    flows: Flows, entries: EntryTable
) -> None:
    """Most of a table has nothing to be cut."""
    flows.add(100, seconds=600)
    flows.add(10)

    count, found = whole(entries, above=600)

    assert (110, 10) == (count, len(found))
    assert 110 == whole(entries, above=600)[0], "and once more"


@real
def test_entries_are_set_and_looked_at_again(flows: Flows, entries: EntryTable) -> None:
    """More than one batch; entries of a zone are found in it."""
    flows.add(BATCH * 2)
    flows.add(3, zone=7)
    _, found = whole(entries)

    outcomes = entries.cut([(each, 3600) for each in found])

    assert BATCH * 2 + 3 == len(outcomes)
    for before, (done, after) in zip(found, outcomes, strict=True):
        assert done
        assert after is not None
        assert 3590 <= after.remaining <= 3600, "a second may have passed"
        assert after == replace(before, remaining=after.remaining)
    assert (BATCH * 2 + 3, []) == whole(entries, above=3600)


@real
def test_one_that_has_vanished_is_no_error(flows: Flows, entries: EntryTable) -> None:
    """The others are cut all the same."""
    flows.add(3)
    _, (first, second, third) = whole(entries)
    gone = replace(second, key=second.key.replace(bytes([10, 1, 0, 1]), bytes(4)))

    outcomes = entries.cut([(first, 60), (gone, 60), (third, 60)])

    assert [True, False, True] == [done for done, _after in outcomes]
    assert outcomes[1][1] is None
    assert 2 == sum(each.remaining <= 60 for each in whole(entries)[1])


@real
def test_one_with_a_fixed_timeout_keeps_it(flows: Flows, entries: EntryTable) -> None:
    """The kernel refuses, and that is no error."""
    flows.add(1, status=0xE | clamp.FIXED_TIMEOUT)
    _, found = whole(entries)

    ((done, after),) = entries.cut([(found[0], 60)])

    assert not done
    assert after is not None
    assert after.status & clamp.FIXED_TIMEOUT
    assert after.remaining > 431_000


@real
def test_a_walk_given_up_begins_anew(flows: Flows, entries: EntryTable) -> None:
    """Closing in the middle of a dump leaves nothing behind."""
    flows.add(1000)
    part = entries.read(anything)
    assert part is not None
    assert 0 < part[0] < 1000

    entries.close()

    assert 1000 == whole(entries)[0]


def broken(*answers: bytes | OSError) -> EntryTable:
    """A table whose kernel gives these blocks, then silence."""
    left = list(answers)

    class Line:
        """A socket that answers as told."""

        def settimeout(self, seconds: float) -> None:
            """Never wait."""

        def send(self, data: bytes) -> int:
            """Take a question."""
            return len(data)

        def recv(self, _size: int) -> bytes:
            """Give the next block."""
            if not left:
                raise TimeoutError(errno.ETIMEDOUT, "")
            answer = left.pop(0)
            if isinstance(answer, OSError):
                raise answer
            return answer

        def close(self) -> None:
            """Hang up."""

    return EntryTable(Line)  # type: ignore[arg-type]


def error(number: int) -> bytes:
    """The message that says no."""
    return struct.pack("=IHHIIi", 20, nfnetlink.ERROR, 0, 1, 0, -number)


def message(*attributes: bytes) -> bytes:
    """An entry of these attributes."""
    body = b"\x02\0\0\0" + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), 0x100, 2, 1, 0) + body


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (error(errno.EPERM), SettingReadOnly),
        (error(errno.EBUSY), KernelError),
        (OSError(errno.ENOBUFS, ""), KernelError),
        (b"\xff" * 16, KernelError),
        (message(b"\2\0\1\0"), KernelError),
        (message(b"\x04\0\x07\0"), KernelError),
    ],
)
def test_what_is_no_answer_is_an_error(
    answer: bytes | OSError, expected: type[KernelError]
) -> None:
    """A refusal, a broken block or silence; the next attempt begins anew."""
    table = broken(answer)

    with pytest.raises(expected):
        table.read(anything)
    with pytest.raises(KernelError):
        table.read(anything)


def test_an_entry_without_a_timeout_is_counted_and_not_given() -> None:
    """The kernel gives none for offloaded ones."""
    offloaded = message(struct.pack("=HH", 8, 3) + struct.pack(">I", clamp.OFFLOAD))

    assert (1, []) == broken(offloaded).read(anything)


def test_an_update_that_fails_for_another_reason_is_an_error() -> None:
    """Such as a kernel that is out of memory."""
    entry = clamp.Entry(key=b"", family=2, protocol=6, state=3, status=0, remaining=100)

    with pytest.raises(KernelError, match="memory"):
        broken(error(errno.ENOMEM)).cut([(entry, 60)])
