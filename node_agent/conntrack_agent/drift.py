"""
How often a value that somebody else changed is put back.

Computes only. A wish is applied at once; what comes after that, a correction or a
second try, waits for a random moment and happens at most `PER_HOUR` times an hour.
Two programs that each insist would otherwise write for ever.
"""

from dataclasses import dataclass, replace
from typing import Final

PER_HOUR: Final = 3
"""Corrections in one hour; then hands off until the hour is over."""

HOUR: Final = 3600.0

MAX_DELAY: Final = 10.0
"""Longest random wait before a correction, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrections:
    """What was corrected for one revision during one boot."""

    key: tuple[str, str] = ("", "")
    """Revision and boot id; a new one starts with a clean slate."""

    times: tuple[float, ...] = ()
    """When corrections happened in the last hour, monotonic seconds."""

    due: float | None = None
    """When the next correction may happen; ``None``: nothing is waiting."""

    @property
    def contended(self) -> bool:
        """
        Tell whether the hour's corrections are used up.
        """
        return len(self.times) >= PER_HOUR


def consider(
    state: Corrections, key: tuple[str, str], now: float, chance: float
) -> tuple[Corrections, bool]:
    """
    Decide whether pending changes may be written now.

    Args:
        state: As returned by the last call.
        key: Revision and boot id that the changes belong to.
        now: Monotonic seconds.
        chance: A random number in [0, 1).

    Returns:
        The next state, and whether to write now.
    """
    if state.key != key:
        return Corrections(key=key), True
    state = replace(state, times=_recent(state.times, now))
    if state.contended:
        return replace(state, due=None), False
    if state.due is None:
        return replace(state, due=now + chance * MAX_DELAY), False
    if now < state.due:
        return state, False
    return replace(state, times=(*state.times, float(now)), due=None), True


def settled(state: Corrections, key: tuple[str, str], now: float) -> Corrections:
    """
    Take note of a pass that found nothing to change.

    Args:
        state: As returned by the last call.
        key: Revision and boot id that the kernel was shown to have.
        now: Monotonic seconds.

    Returns:
        The next state: a later difference is drift, not a first application.
    """
    if state.key != key:
        return Corrections(key=key)
    return replace(state, times=_recent(state.times, now), due=None)


def _recent(times: tuple[float, ...], now: float) -> tuple[float, ...]:
    """
    Keep the times of the last hour; one that lies ahead was of another clock.
    """
    return tuple(each for each in times if 0 <= now - each < HOUR)
