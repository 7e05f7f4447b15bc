"""
Growth: how far an agent may make a table larger by itself.

A person says when and by how much; each node is told, besides, where it ends.
"""

from dataclasses import dataclass
from typing import Annotated

from conntrack_api.bounds import Range
from conntrack_api.settings import MAX_ENTRIES, MIN_ENTRIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What a person asks."""

    at_percent: Annotated[int, Range(50, 95)] = 80
    """Fill from which on the table grows."""
    factor: Annotated[int, Range(2, 8)] = 2
    """How many times as large it becomes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGrowth:
    """The same for one node, with the end of it."""

    at_percent: Annotated[int, Range(50, 95)]
    factor: Annotated[int, Range(2, 8)]
    ceiling: Annotated[int, Range(MIN_ENTRIES, MAX_ENTRIES)]
    """The largest limit that the agent may reach by itself."""
