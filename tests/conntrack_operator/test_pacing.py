import asyncio
from collections.abc import Callable
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from conntrack_operator.pacing import (
    UNHURRIED,
    Backoff,
    Doorbell,
    SlowBell,
    TokenBucket,
)
from conntrack_operator.testing import FakeTime


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


async def test_doorbell_answers_a_ring() -> None:
    """Who waits is woken by a ring long before the time is over."""
    loop = asyncio.get_running_loop()
    bell = Doorbell(loop.time)
    began = loop.time()

    bell.ring()
    await bell.answer(within=60)

    assert loop.time() - began < 10


async def test_doorbell_returns_without_a_ring() -> None:
    """Nobody rings: the wait ends by itself, also when it should have ended before."""
    bell = Doorbell(asyncio.get_running_loop().time)

    await bell.answer(within=0.01)
    await bell.answer(within=-1)


async def test_burst_that_does_not_end_is_answered() -> None:
    """A fleet that never stops ringing is answered after two seconds at most."""
    loop = asyncio.get_running_loop()
    bell = Doorbell(loop.time)

    async def ring_for_ever() -> None:
        while True:
            bell.ring()
            await asyncio.sleep(0.01)

    ringing = asyncio.create_task(ring_for_ever())
    began = loop.time()
    async with asyncio.timeout(10):
        await bell.answer(within=60)
    ringing.cancel()

    assert 2 <= loop.time() - began


async def test_burst_that_began_while_nobody_listened() -> None:
    """What has been ringing for two seconds is answered at once."""
    time = FakeTime()
    bell = Doorbell(time.clock)
    loop = asyncio.get_running_loop()

    bell.ring()
    time.now += 2
    bell.ring()
    began = loop.time()
    await bell.answer(within=60)

    assert loop.time() - began < 0.15


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
