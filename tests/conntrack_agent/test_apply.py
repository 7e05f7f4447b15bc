"""Changes to outcomes: each on its own, read back, tied only where that is said."""

import errno

import pytest

from conntrack_agent.apply import apply
from conntrack_agent.changes import Change
from conntrack_agent.fake_kernel import FakeKernel
from conntrack_agent.observations import BUCKETS, LIMIT
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
