"""
Aggregate: fold what the nodes of one policy answered into the policy's status.

Computes only, and forgets nobody: each governed node is counted, and a node that
does not answer is counted as such. What the counts mean is `verdict`'s business.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from typing import Final

from conntrack_api.conditions import ConditionStatus, NodeReason, with_transitions
from conntrack_api.node import HOLD, NodeSpec
from conntrack_api.policy_status import (
    FullNode,
    NodeCounts,
    PolicyStatus,
    ProblemNode,
    ProblemNodes,
)
from conntrack_operator import verdict
from conntrack_operator.rollout import Progress
from conntrack_operator.rows import ConntrackNodeRow, Loss, PolicyRow
from conntrack_operator.standing import Standing, standing
from conntrack_operator.wording import clean

MAX_FULLEST: Final = 5
MAX_PROBLEMS: Final = 10
MAX_MESSAGE: Final = 512
"""Characters of a problem node's message, as in the CRD."""

UNREACHABLE: Final = "Unreachable"
"""Reason of a problem node that does not report, and so cannot say it itself."""

_AGENT: Final = ": is its agent running?"

UNREADABLE: Final = "Unreadable"
"""Reason of a problem node whose spec a newer operator wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Governed:
    """One node of a policy: what it should have, and what it answered."""

    name: str
    planned: NodeSpec | None = None
    """What it should be told now; ``None``: nothing can be told at the moment."""
    final: bool = True
    """False: the policy asks for more than what is planned now."""
    row: ConntrackNodeRow | None = None
    refused: str = ""
    """Why the API server does not accept what is planned; empty when it does."""


class _State(IntEnum):
    """Where a node stands, the worst first."""

    FAILED = 0
    UNREACHABLE = 1
    ON_HOLD = 2
    PROGRESSING = 3
    UPDATED = 4


_STATES: Final = {
    Standing.FAILED: _State.FAILED,
    Standing.UNREACHABLE: _State.UNREACHABLE,
    Standing.ON_HOLD: _State.ON_HOLD,
    Standing.CHANGING: _State.PROGRESSING,
    Standing.DONE: _State.UPDATED,
}


def aggregate(
    row: PolicyRow,
    nodes: Sequence[Governed],
    losses: Sequence[Loss],
    so_far: Progress,
    *,
    previous: PolicyStatus,
    now: datetime,
) -> PolicyStatus:
    """
    Compute a policy's status.

    Args:
        row: The policy; one that cannot be read keeps its former numbers.
        nodes: The nodes it governs, in any order; for a policy that is being
            deleted, the nodes that still have an object of it.
        losses: What other policies took from it, the strongest winner first.
        so_far: How its rollout stands.
        previous: The status as last written; gives transition times.
        now: The present time, with a time zone.

    Returns:
        The same content for every order of the nodes. Equal to `previous` when
        nothing has changed but the clock.
    """
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    if row.policy is None:
        said = with_transitions(verdict.unreadable(row), previous.conditions, stamp)
        return replace(previous, observed_generation=row.generation, conditions=said)
    states = [(_state(node, now), node) for node in nodes]
    reachable = [node for state, node in states if state is not _State.UNREACHABLE]
    tally = Counter(state for state, _ in states)
    counts = NodeCounts(
        matched=len(nodes),
        updated=tally[_State.UPDATED],
        progressing=tally[_State.PROGRESSING],
        failed=tally[_State.FAILED],
        unreachable=tally[_State.UNREACHABLE],
        on_hold=tally[_State.ON_HOLD],
        grown=sum(map(_grown, reachable)),
        pressured=sum(map(_pressured, reachable)),
    )
    fullest = _fullest(nodes)
    problems = _problems(states)
    worst = so_far.unwritten
    if problems and counts.failed + counts.unreachable:
        first = problems.nodes[0]
        worst = f"{first.name}: {first.reason}: {first.message}"
    said = verdict.conditions(row, row.policy, counts, losses, so_far, worst)
    return PolicyStatus(
        observed_generation=row.generation,
        halted_generation=previous.halted_generation,
        nodes=counts,
        fullest_percent=fullest[0].used_percent if fullest else None,
        fullest=fullest,
        problem_nodes=problems,
        conditions=with_transitions(said, previous.conditions, stamp),
    )


def _state(node: Governed, now: datetime) -> _State:
    """
    Say where one node stands: up to date only when done with all that is planned.
    """
    row = node.row
    if node.refused:
        return _State.FAILED
    if row is None:
        return _State.PROGRESSING
    state = _STATES[standing(row, now)]
    told = node.final and node.planned is not None and row.spec == node.planned
    return state if told or state is not _State.UPDATED else _State.PROGRESSING


def _pressured(node: Governed) -> bool:
    """
    Tell whether a node reports ConntrackPressure.
    """
    pressure = node.row.pressure if node.row else None
    return pressure is not None and pressure.status is ConditionStatus.TRUE


def _grown(node: Governed) -> bool:
    """
    Tell whether a node has made its table larger than it was told.
    """
    table = node.row.table if node.row else None
    return table is not None and table.grown_from is not None


def _used(node: Governed) -> int:
    """
    Give a node's fill in percent, for sorting; 0 when it has not said.
    """
    return node.row.table.used_percent if node.row and node.row.table else 0


def _fullest(nodes: Sequence[Governed]) -> tuple[FullNode, ...]:
    """
    Pick the fullest nodes among those that have a limit.
    """
    known = [
        FullNode(
            name=node.name,
            entries=node.row.table.entries,
            max_entries=node.row.table.max_entries,
            used_percent=node.row.table.used_percent,
        )
        for node in nodes
        if node.row and node.row.table and node.row.table.max_entries > 0
    ]
    known.sort(key=lambda each: (-each.used_percent, -each.entries, each.name))
    return tuple(known[:MAX_FULLEST])


def _problems(states: Sequence[tuple[_State, Governed]]) -> ProblemNodes | None:
    """
    Name the worst nodes: failed, unreachable, on hold, then pressured by fill.
    """
    bad = [
        (state, node)
        for state, node in states
        if state <= _State.ON_HOLD or _pressured(node)
    ]
    bad.sort(key=lambda each: (each[0], -_used(each[1]), each[1].name))
    named = tuple(_problem(state, node) for state, node in bad[:MAX_PROBLEMS])
    return ProblemNodes(total=len(bad), nodes=named) if bad else None


def _problem(state: _State, node: Governed) -> ProblemNode:
    """
    Say what is wrong with one node, in its own words where it has some.
    """
    row = node.row
    reason: str
    if node.refused:
        reason, text = NodeReason.WRITE_REFUSED, node.refused
    elif row is None or row.spec is None:
        reason, text = UNREADABLE, "A newer operator wrote its spec; left as it is."
    elif state is _State.UNREACHABLE and row.heartbeat:
        reason, text = UNREACHABLE, f"No report since {row.heartbeat}{_AGENT}"
    elif state is _State.UNREACHABLE:
        text = f"No report since its creation at {row.created}{_AGENT}"
        reason = UNREACHABLE
    elif state is _State.ON_HOLD:
        reason, text = NodeReason.ON_HOLD, f"Left alone by the annotation {HOLD}."
        if row.ready and row.ready.reason == reason:
            text = row.ready.message
    else:
        said = row.ready if state is _State.FAILED else row.pressure
        reason, text = (said.reason, said.message) if said else ("", "")
    return ProblemNode(name=node.name, reason=reason, message=clean(text)[:MAX_MESSAGE])
