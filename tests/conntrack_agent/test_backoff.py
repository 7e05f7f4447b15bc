"""How long to wait before the next try."""

from hypothesis import given
from hypothesis import strategies as st

from conntrack_agent.backoff import (
    AT_ONCE,
    EVERY,
    FIRST,
    HEALTHY,
    LONGEST,
    Allowance,
    Backoff,
)

chances = st.floats(0, 1, exclude_max=True)


@given(chances, st.integers(0, 10_000))
def test_a_pause_is_never_none_and_never_endless(chance: float, failures: int) -> None:
    """Every pause lies between a tenth of a second and five minutes."""
    state, seconds = Backoff(failures=failures).pause(chance)

    assert 0.1 <= seconds <= LONGEST
    assert failures + 1 == state.failures


@given(chances, st.floats(0, 3600))
def test_what_the_server_asks_for_is_kept(chance: float, at_least: float) -> None:
    """A random share comes on top, so that not everybody is back in that second."""
    _, seconds = Backoff().pause(chance, at_least=at_least)

    assert at_least < seconds <= at_least + FIRST


def test_the_ceiling_doubles() -> None:
    """With the highest chance the row is 1, 2, 4 and so on up to the longest."""
    state, row = Backoff(), []
    for _ in range(11):
        state, seconds = state.pause(1)
        row.append(seconds)

    assert [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] == row


def test_a_healthy_connection_starts_anew() -> None:
    """What lasted is no failure in the row."""
    state, seconds = Backoff(failures=20).pause(0.99, lasted=HEALTHY)

    assert seconds < FIRST
    assert 1 == state.failures


def test_a_short_connection_does_not() -> None:
    """A server that hangs up at once is not asked more and more often."""
    _, seconds = Backoff(failures=20).pause(0.5, lasted=HEALTHY - 1)

    assert LONGEST / 2 == seconds


@given(st.lists(st.floats(0, 100), max_size=300))
def test_an_allowance_is_spent_and_comes_back(steps: list[float]) -> None:
    """In any span: a few at once, then one every `EVERY` seconds."""
    state, now, granted = Allowance(at=1000), 1000.0, 0
    for seconds in steps:
        now += seconds
        state, yes = state.take(now)
        granted += yes

    assert granted <= AT_ONCE + (now - 1000) / EVERY + 1e-6


def test_an_allowance_survives_a_clock_that_goes_back() -> None:
    """Nothing is granted for time that did not pass."""
    state = Allowance(left=0.5, at=1000)

    assert not state.take(10)[1]
