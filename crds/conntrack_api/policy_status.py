"""
What the operator says about a policy: counts, names and conditions.

A view for people. No stage decides on it, but for the halt that it remembers.
"""

from dataclasses import dataclass
from typing import Annotated

from conntrack_api.bounds import Items, Text
from conntrack_api.conditions import Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCounts:
    """How many nodes are in which state. A node may be failed and pressured."""

    matched: int = 0
    """Governed by this policy."""
    updated: int = 0
    """Have confirmed what the present generation asks."""
    progressing: int = 0
    """Have not answered yet."""
    failed: int = 0
    """Have answered that they cannot."""
    unreachable: int = 0
    """Have not reported for too long; counted nowhere else but in `matched`."""
    on_hold: int = 0
    """Left alone at a person's wish; neither waited for nor failed."""
    grown: int = 0
    """Have made their tables larger than they were told, as the policy lets them."""
    pressured: int = 0
    """Report ConntrackPressure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCounts:
    """How many agents run in the cluster, for all policies together, and what is so."""

    expected: int = 0
    """Nodes that should run one."""
    running: int = 0
    """Agents that are ready."""
    missing: int = 0
    """The others."""
    reason: Annotated[str, Text(64)] = ""
    """Why some are missing, in one word; empty when none is."""
    message: Annotated[str, Text(512)] = ""
    """The same in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FullNode:
    """One of the fullest nodes."""

    name: Annotated[str, Text(253)]
    entries: int
    max_entries: int
    used_percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemNode:
    """One node that needs a person's eyes."""

    name: Annotated[str, Text(253)]
    reason: Annotated[str, Text(64)]
    message: Annotated[str, Text(512)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemNodes:
    """Some of the nodes that need a person's eyes, and how many there are."""

    total: int = 0
    nodes: Annotated[tuple[ProblemNode, ...], Items(10)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStatus:
    """What was found."""

    observed_generation: int = -1
    halted_generation: int | None = None
    """
    The last generation whose rollout was halted by failures; ``None``: none yet.

    The one field that is more than a view: `rollout` reads it, so that no restart and
    no recovery lifts a halt. It is never taken away and never goes down.
    """
    nodes: NodeCounts | None = None
    agents: AgentCounts | None = None
    """``None``: nobody told the operator to keep them."""
    fullest_percent: int | None = None
    fullest: Annotated[tuple[FullNode, ...], Items(5)] = ()
    problem_nodes: ProblemNodes | None = None
    conditions: Annotated[tuple[Condition, ...], Items(8)] = ()
