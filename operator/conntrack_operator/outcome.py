"""
Outcome: what came of a batch of writes, and when to look again.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

CHANGES: Final = frozenset({"told", "reverting", "deleted"})
"""Outcomes after which an object is not what it was."""


@dataclass(slots=True, kw_only=True)
class Written:
    """What came of one batch."""

    counts: Counter[str] = field(default_factory=Counter)
    """How many were told, reverted, deleted, refused, put off or failed."""
    unconfirmed: set[str] = field(default_factory=set)
    """Names of the nodes for which fresh reads led to another decision."""
    retry_in: float | None = None
    """Seconds after which it is worth looking again; ``None``: when the bell rings."""

    def again(self, seconds: float) -> None:
        """
        Ask for another look, the soonest wish wins.
        """
        self.retry_in = (
            seconds if self.retry_in is None else min(seconds, self.retry_in)
        )
