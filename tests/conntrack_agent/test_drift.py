"""How often a value that somebody else changed is put back."""

from hypothesis import given
from hypothesis import strategies as st

from conntrack_agent.drift import (
    HOUR,
    MAX_DELAY,
    PER_HOUR,
    Corrections,
    consider,
    settled,
)

KEY = ("r1", "boot")


def test_a_new_wish_is_written_at_once() -> None:
    """The first application waits for nothing."""
    state, now = consider(Corrections(), KEY, 100, 0.5)

    assert now
    assert Corrections(key=KEY) == state


def test_a_correction_waits_for_its_random_moment() -> None:
    """Drift is put back once its delay is over, not before."""
    state, first = consider(Corrections(key=KEY), KEY, 100, 0.5)
    state, early = consider(state, KEY, 104.9, 0.9)
    state, late = consider(state, KEY, 105, 0.9)

    assert (False, False, True) == (first, early, late)
    assert (105.0,) == state.times


def test_drift_that_goes_away_starts_its_delay_anew() -> None:
    """A pass without a difference forgets the moment that was chosen."""
    state, _ = consider(Corrections(key=KEY), KEY, 100, 0.5)
    state = settled(state, KEY, 103)

    _, now = consider(state, KEY, 106, 0.5)

    assert not now


def test_hands_off_after_three_corrections() -> None:
    """Contended until the oldest of the three is an hour old."""
    state = Corrections(key=KEY, times=(100.0, 110.0, 120.0))

    contended, now = consider(state, KEY, 130, 0)
    assert contended.contended
    assert not now

    over, now = consider(contended, KEY, 100 + HOUR, 0)
    assert not over.contended
    assert not now  # A delay comes first.
    _, now = consider(over, KEY, 100 + HOUR, 0)
    assert now


def test_a_new_wish_or_a_new_boot_has_a_clean_slate() -> None:
    """What was fought over is another matter now."""
    state = Corrections(key=KEY, times=(1.0, 2.0, 3.0))

    assert consider(state, ("r2", "boot"), 4, 0)[1]
    assert consider(state, ("r1", "next"), 4, 0)[1]
    assert Corrections(key=("r2", "boot")) == settled(state, ("r2", "boot"), 4)


def test_times_of_another_clock_are_forgotten() -> None:
    """A time that lies ahead must not keep hands off for ever."""
    state = Corrections(key=KEY, times=(1e9, 2e9, 3e9))

    assert () == settled(state, KEY, 100).times


steps = st.tuples(
    st.floats(0, 2000, allow_nan=False), st.floats(0, 0.999), st.booleans()
)


@given(st.lists(steps, max_size=200))
def test_never_more_than_three_an_hour(
    sequence: list[tuple[float, float, bool]],
) -> None:
    """Whatever the other program does and whenever we look."""
    state, now = settled(Corrections(), KEY, 0), 0.0
    writes: list[float] = []
    for seconds, chance, differs in sequence:
        now += seconds
        if not differs:
            state = settled(state, KEY, now)
            continue
        state, write = consider(state, KEY, now, chance)
        writes += [now] * write

    for each in writes:
        assert PER_HOUR >= sum(1 for other in writes if 0 <= other - each < HOUR)


@given(st.floats(0, 0.999), st.floats(0, 1e6))
def test_the_delay_is_bounded(chance: float, now: float) -> None:
    """A correction comes within the longest delay, so it does come."""
    state, _ = consider(Corrections(key=KEY), KEY, now, chance)

    assert consider(state, KEY, now + MAX_DELAY, chance)[1]
