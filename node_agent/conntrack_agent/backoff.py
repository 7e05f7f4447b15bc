"""
How long to wait before the next try: full jitter, growing, with a ceiling.

Computes only. Thousands of agents lose their API server in the same second; a random
share of the whole pause is what keeps them from coming back in the same second too.

Source: "Exponential Backoff And Jitter", the variant named full jitter.
"""

from dataclasses import dataclass, replace
from typing import Final

FIRST: Final = 1.0
"""Ceiling of the first pause, in seconds."""

LONGEST: Final = 300.0
"""Ceiling of a pause of which nothing else is said, in seconds."""

HEALTHY: Final = 60.0
"""A connection that lasted this long in seconds starts the next row of pauses anew."""

AT_ONCE: Final = 6
"""Reports that may follow each other without a pause."""

EVERY: Final = 30.0
"""Seconds after which one more is allowed, for values that go up and down for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Where in the row of pauses we are."""

    failures: int = 0

    def pause(
        self,
        chance: float,
        *,
        lasted: float = 0.0,
        at_least: float | None = None,
        longest: float = LONGEST,
    ) -> tuple["Backoff", float]:
        """
        Give the next pause.

        Args:
            chance: A random number in [0, 1).
            lasted: How long the last try went well, in seconds.
            at_least: What the server asked for, in seconds.
            longest: Ceiling of this pause, in seconds.

        Returns:
            The next position, and seconds to wait: never 0, never over `longest`
            unless the server asked for it.
        """
        failures = 0 if lasted >= HEALTHY else self.failures
        ceiling = min(longest, FIRST * 2 ** min(failures, 30))
        seconds = max(0.1, chance * ceiling) + (at_least or 0.0)
        return replace(self, failures=failures + 1), seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """A few reports at once, then one now and then."""

    left: float = AT_ONCE
    at: float = 0.0
    """When `left` was true, monotonic seconds."""

    def take(self, now: float) -> tuple["Allowance", bool]:
        """
        Ask for one.

        Args:
            now: Monotonic seconds.

        Returns:
            The next state, and whether it is granted.
        """
        left = min(AT_ONCE, self.left + max(0.0, now - self.at) / EVERY)
        granted = left >= 1
        return Allowance(left=left - granted, at=now), granted
