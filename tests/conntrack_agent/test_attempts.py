"""Which failed writes are worth another try."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from conntrack_agent.attempts import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    REFUSED_PAUSE,
    Attempts,
)
from conntrack_agent.changes import Change, Difference, Outcome
from conntrack_agent.errors import (
    KernelError,
    OutOfMemory,
    SettingReadOnly,
    ValueRefused,
)
from conntrack_api.node import Failure


def change(setting: str, after: int = 7, requires: str | None = None) -> Change:
    """One intended write."""
    return Change(setting=setting, file="f", before=1, after=after, requires=requires)


def tried(each: Change, error: KernelError | None) -> Outcome:
    """What came of it."""
    failure = Failure(setting=each.setting, reason="r", message="because")
    return Outcome(change=each, failure=failure if error else None, error=error)


def allowed(attempts: Attempts, now: float, *changes: Change) -> list[str]:
    """Which settings may be written now."""
    left = attempts.without(Difference(changes=changes), now).changes
    return [each.setting for each in left]


def test_a_value_that_is_not_taken_waits_and_others_do_not() -> None:
    """Only this value of this setting, and what would do harm without it."""
    a, b, c = change("a"), change("b"), change("c", requires="a")
    attempts = Attempts().after([tried(a, ValueRefused("EINVAL"))], 100)

    left = attempts.without(Difference(changes=(a, b, c)), 101)

    assert (b,) == left.changes
    assert (a, c) == left.held_back
    assert ["a", "c"] == [each.setting for each in left.refusals]
    assert "because; tried again in 720 min" in left.refusals[0].message
    assert "since a failed" in left.refusals[1].message
    assert ["a"] == allowed(attempts, 101, change("a", after=8))
    assert ["a"] == allowed(attempts, 100 + REFUSED_PAUSE, a)


def test_a_write_that_works_forgets_what_failed() -> None:
    """The next failure begins with the first pause again."""
    attempts = Attempts()
    for error in (OutOfMemory("x"), OutOfMemory("x"), None, OutOfMemory("x")):
        attempts = attempts.after([tried(change("a"), error)], 0)

    assert [] == allowed(attempts, FIRST_PAUSE - 1, change("a"))
    assert ["a"] == allowed(attempts, FIRST_PAUSE, change("a"))


def test_what_may_pass_soon_is_left_to_the_hourly_bound() -> None:
    """A mount that is read-only now may be mended in a minute."""
    attempts = Attempts().after([tried(change("a"), SettingReadOnly("EROFS"))], 0)

    assert ["a"] == allowed(attempts, 1, change("a"))


@given(st.lists(st.floats(1, 3600), max_size=500))
def test_pauses_for_memory_grow_and_have_an_end(steps: list[float]) -> None:
    """However often we look, each pause is at least as long as the one before."""
    attempts, now, writes = Attempts(), 0.0, []
    for step in steps:
        now += step
        if allowed(attempts, now, change("a")):
            writes.append(now)
            attempts = attempts.after([tried(change("a"), OutOfMemory("x"))], now)

    for number, (one, two) in enumerate(pairwise(writes)):
        least = min(LONGEST_PAUSE, FIRST_PAUSE * 2**number)
        assert least <= two - one <= least + 3600
