"""
Patience: no node loses its agent before that was wanted for a while.

Computes only, but remembers since when fewer nodes have been wanted. More are given at
once.
"""

from typing import Final

from conntrack_operator.coverage import Coverage, union

NARROW_SECONDS: Final = 60.0
"""For so long, without a break, fewer nodes must be wanted."""


class Patience:
    """Remembers since when fewer nodes have been wanted."""

    def __init__(self) -> None:
        """
        Start with nothing wanted.
        """
        self._since: float | None = None

    def settle(self, asked: Coverage, live: Coverage, now: float) -> Coverage:
        """
        Say where agents should run now.

        Args:
            asked: Where they should run in the end.
            live: Where they run.
            now: Seconds on a clock that never goes back.
        """
        both = union(asked, live)
        if both == asked:
            self._since = None
            return asked
        if self._since is None:
            self._since = now
        return both if self.left(now) else asked

    def left(self, now: float) -> float | None:
        """
        Give the seconds until agents may be taken away; ``None``: none, or not wanted.
        """
        if self._since is None:
            return None
        return max(0.0, self._since + NARROW_SECONDS - now) or None
