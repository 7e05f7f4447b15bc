"""
How a change reaches the fleet, and how people write a part of it.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Final

from conntrack_api.bounds import Range

MAX_NODES: Final = 100_000
"""Largest number of nodes; more than any cluster has."""

ALLOWED: Final = (
    f"a whole number from 0 to {MAX_NODES} without quotation marks, or a percentage "
    "from 0% to 100% such as 10%"
)
"""What a person is told, here and by the API server."""

_PERCENT: Final = re.compile(r"(100|[1-9]?[0-9])%", re.ASCII)


@dataclass(frozen=True, slots=True)
class Share:
    """So many nodes, or so many percent of them."""

    number: int
    percent: bool = False

    def of(self, total: int) -> int:
        """
        Tell how many nodes of a total that is.

        Returns:
            Rounded down, but at least 1 unless the share itself is zero.
        """
        if self.number == 0:
            return 0
        return max(1, total * self.number // 100) if self.percent else self.number

    def __str__(self) -> str:
        """
        Write it as a person does.
        """
        return f"{self.number}%" if self.percent else str(self.number)


def read(value: object) -> Share | None:
    """
    Read a share.

    Args:
        value: A whole number, or a string such as ``10%``.

    Returns:
        The share; ``None`` for anything else.
    """
    if isinstance(value, str):
        match = _PERCENT.fullmatch(value)
        return Share(int(match[1]), percent=True) if match else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON has one kind of number
    if isinstance(value, int) and not isinstance(value, bool):
        return Share(value) if 0 <= value <= MAX_NODES else None
    return None


DEFAULT_MAX_UNAVAILABLE: Final = Share(10, percent=True)
"""A tenth of the nodes at a time, and at least one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """In which order and how fast a change reaches the nodes."""

    max_unavailable: Share = DEFAULT_MAX_UNAVAILABLE
    """Nodes that may be changing or failed at any instant; 0 pauses."""
    canaries: Annotated[int, Range(0, 100)] = 1
    """Nodes that must have the change, and keep it, before any other gets it."""
    soak_seconds: Annotated[int, Range(0, 3600)] = 0
    """How long a node must stay Ready before it counts as done."""
    max_failures: Annotated[int, Range(1, 1000)] = 1
    """So many failed nodes end the rollout until a person edits the policy."""
