import asyncio
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conntrack_operator.pacing import (
    LONGEST_BURST,
    QUIET,
    UNHURRIED,
    Backoff,
    Doorbell,
    SlowBell,
    TokenBucket,
)
from conntrack_operator.testing import FakeTime, stepped


@given(st.integers(0, 1000))
def test_backoff_grows_within_its_bounds(seed: int) -> None:
    """Pauses are never shorter than a second or longer than a minute."""
    backoff = Backoff(Random(seed))  # noqa: S311 - tests repeat

    pauses = [backoff.next() for _ in range(20)]

    assert all(
        1 <= pause <= min(15, 2**turn) for turn, pause in enumerate(pauses, start=1)
    )
    backoff.reset()
    assert backoff.next() <= 2


def test_backoff_spreads() -> None:
    """Two clients that fail together do not come back together."""
    first = [Backoff(Random(seed)).next() for seed in range(10)]  # noqa: S311

    assert 10 == len(set(first))


async def test_token_bucket_keeps_its_rate() -> None:
    """No second sees more than the rate, whatever was quiet before it."""
    time = FakeTime()
    bucket = TokenBucket(10, clock=time.clock, sleep=time.sleep)
    time.now += 3600
    taken = []

    for _ in range(35):
        await bucket.take()
        taken.append(time.now)

    assert 3.4 == round(taken[-1] - taken[0], 6)
    assert all(late - early > 0.99 for early, late in pairwise(taken[::10]))


@stepped
async def test_doorbell_answers_a_ring() -> None:
    """Who waits is woken by a ring, when it has been quiet after it for a moment."""
    loop = asyncio.get_running_loop()
    bell = Doorbell(loop.time)

    loop.call_later(30, bell.ring)
    await bell.answer(within=60)

    assert 30 + QUIET == loop.time()


@stepped
async def test_doorbell_returns_without_a_ring() -> None:
    """Nobody rings: the wait ends by itself, also when it should have ended before."""
    loop = asyncio.get_running_loop()
    bell = Doorbell(loop.time)

    await bell.answer(within=60)
    await bell.answer(within=-1)

    assert 60 == loop.time()


@stepped
async def test_burst_that_does_not_end_is_answered() -> None:
    """A fleet that never stops ringing is answered after two seconds."""
    loop = asyncio.get_running_loop()
    bell = Doorbell(loop.time)

    async def ring_for_ever() -> None:
        while True:
            bell.ring()
            await asyncio.sleep(0.01)

    ringing = asyncio.create_task(ring_for_ever())
    await bell.answer(within=60)
    ringing.cancel()

    assert LONGEST_BURST == pytest.approx(loop.time())


@stepped
async def test_burst_that_began_while_nobody_listened() -> None:
    """What has been ringing for two seconds is answered at once."""
    loop = asyncio.get_running_loop()
    bell = Doorbell(loop.time)

    bell.ring()
    await asyncio.sleep(2)
    bell.ring()
    await bell.answer(within=60)

    assert 2 == loop.time()


def test_slow_bell_rings_once_for_many() -> None:
    """Mere numbers are looked at some seconds later, all at once."""
    rings: list[str] = []
    due: list[Callable[[], None]] = []

    class Bell(Doorbell):
        """Counts."""

        def ring(self) -> None:
            """Count a ring."""
            rings.append("ring")

    def later(seconds: float, call: Callable[[], None]) -> None:
        assert UNHURRIED == seconds
        due.append(call)

    slow = SlowBell(Bell(FakeTime().clock), later)
    for _ in range(100):
        slow.ring()
    assert ([], 1) == (rings, len(due))

    due.pop()()
    assert ["ring"] == rings
    slow.ring()
    assert 1 == len(due)
