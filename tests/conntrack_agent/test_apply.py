"""Changes to outcomes: each on its own, read back, tied only where that is said."""

import errno

import pytest

from conntrack_agent.apply import apply
from conntrack_agent.changes import Change
from conntrack_agent.fake_kernel import FakeKernel
from conntrack_agent.observations import BUCKETS, COUNT, LIMIT
from conntrack_agent.testing import ESTABLISHED
from conntrack_api.conditions import NodeReason

MAX, HASH = "nf_conntrack_max", "nf_conntrack_buckets"
TIMEOUT = f"proc/sys/net/netfilter/{ESTABLISHED}"
GROW_BUCKETS = Change(setting=HASH, file=BUCKETS, before=65536, after=131072)
GROW_LIMIT = Change(setting=MAX, file=LIMIT, before=65536, after=262144)
TIED_LIMIT = Change(setting=MAX, file=LIMIT, before=65536, after=1048576, requires=HASH)
SHORTEN = Change(setting=ESTABLISHED, file=TIMEOUT, before=600, after=60)


def test_changes_are_written_in_their_order() -> None:
    """The order is the caller's; outcomes come in the same one."""
    kernel = FakeKernel()

    outcomes = apply((GROW_BUCKETS, GROW_LIMIT, SHORTEN), kernel)

    assert [GROW_BUCKETS, GROW_LIMIT, SHORTEN] == [each.change for each in outcomes]
    assert [None] * 3 == [each.failure for each in outcomes]
    assert [f"{HASH}=131072", f"{MAX}=262144", f"{ESTABLISHED}=60"] == kernel.writes


@pytest.mark.parametrize(
    "number",
    [errno.EACCES, errno.EPERM, errno.EROFS, errno.EINVAL, errno.ENOMEM, errno.EIO],
)
def test_one_failure_hides_no_other(number: int) -> None:
    """Each setting has its own outcome, with the errno in words."""
    kernel = FakeKernel()
    kernel.write_errors[BUCKETS] = number

    first, second, third = apply((GROW_BUCKETS, GROW_LIMIT, SHORTEN), kernel)

    assert first.failure is not None
    assert NodeReason.WRITE_REFUSED == first.failure.reason
    assert errno.errorcode[number] in first.failure.message
    assert (None, None) == (second.failure, third.failure)


LOWER = Change(setting=MAX, file=LIMIT, before=65536, after=32768)
TIED_BUCKETS = Change(
    setting=HASH, file=BUCKETS, before=65536, after=8192, requires=MAX
)


def flood(kernel: FakeKernel, entries: int) -> None:
    """Let so many entries come while the limit is written."""
    kernel.after_write = lambda _file: kernel.poke(COUNT, entries)


@pytest.mark.parametrize(
    ("entries", "writes"), [(32767, [f"{MAX}=32768"]), (0, [f"{MAX}=32768"])]
)
def test_a_limit_with_room_stays(entries: int, writes: list[str]) -> None:
    """Pressure is for the policy; a table with room drops nothing."""
    kernel = FakeKernel()
    flood(kernel, entries)

    (outcome,) = apply((LOWER,), kernel)

    assert outcome.failure is None
    assert writes == kernel.writes


def test_a_limit_that_is_reached_while_it_is_lowered_is_put_back() -> None:
    """The count of before is old by then; what depends on the limit is left."""
    kernel = FakeKernel()
    flood(kernel, 32768)

    lower, tied, free = apply((LOWER, TIED_BUCKETS, SHORTEN), kernel)

    assert lower.failure is not None
    assert NodeReason.WOULD_DROP == lower.failure.reason
    assert (
        "a limit of 32768 was put back to 65536 at once, since there were 32768 "
        "entries by then"
    ) == lower.failure.message
    assert tied.failure is not None
    assert free.failure is None
    assert [f"{MAX}=32768", f"{MAX}=65536", f"{ESTABLISHED}=60"] == kernel.writes


def test_a_limit_that_is_raised_is_never_put_back() -> None:
    """A fuller table is a reason to raise it."""
    kernel = FakeKernel()
    flood(kernel, 10**6)

    (outcome,) = apply((GROW_LIMIT,), kernel)

    assert outcome.failure is None
    assert [f"{MAX}=262144"] == kernel.writes


def test_a_count_that_cannot_be_read_puts_nothing_back() -> None:
    """Absence is no command."""
    kernel = FakeKernel()
    kernel.read_errors[COUNT] = errno.EIO

    (outcome,) = apply((LOWER,), kernel)

    assert outcome.failure is None
    assert [f"{MAX}=32768"] == kernel.writes


def test_what_requires_a_failed_change_is_left() -> None:
    """A limit that needs larger buckets is not raised without them."""
    kernel = FakeKernel()
    kernel.write_errors[BUCKETS] = errno.ENOMEM

    _, tied, free = apply((GROW_BUCKETS, TIED_LIMIT, SHORTEN), kernel)

    assert tied.failure is not None
    assert f"left at 65536, since {HASH} failed" == tied.failure.message
    assert free.failure is None
    assert [f"{ESTABLISHED}=60"] == kernel.writes


def test_a_write_counts_when_the_kernel_shows_it() -> None:
    """A value that is another one when read back is a failure, with both numbers."""
    kernel = FakeKernel()
    kernel.after_write = lambda file: kernel.poke(file, 7)

    (outcome,) = apply((SHORTEN,), kernel)

    assert outcome.failure is not None
    assert "wrote 60, but the kernel shows 7" == outcome.failure.message


def test_an_empty_answer_is_a_failure() -> None:
    """An empty answer proves nothing."""
    kernel = FakeKernel()
    kernel.after_write = lambda file: kernel.files.update({file: ""})

    (outcome,) = apply((SHORTEN,), kernel)

    assert outcome.failure is not None
    assert "wrote 60, but the kernel shows nothing" == outcome.failure.message


def test_an_error_while_reading_back_is_a_failure() -> None:
    """What cannot be proved has not happened."""
    kernel = FakeKernel()
    kernel.read_errors[TIMEOUT] = errno.EIO

    (outcome,) = apply((SHORTEN,), kernel)

    assert outcome.failure is not None
    assert "EIO" in outcome.failure.message
