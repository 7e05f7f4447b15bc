"""
The planner alone: what one pass over a whole fleet costs, without a cluster.
"""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from conntrack_api.policy_status import PolicyStatus
from conntrack_operator.aggregate import aggregate
from conntrack_operator.decide import Decisions, decide
from conntrack_operator.governed import by_policy
from conntrack_operator.plan import Tell
from conntrack_operator.rollout import Progress, Wave, wave
from conntrack_operator.rows import ConntrackNodeRow, PolicyRow
from conntrack_operator.testing import (
    NOW,
    answered,
    conntrack_node,
    node,
    policy,
    policy_row,
)
from scale.agents import name_of

POOL = "example.com/pool"
Result = TypeVar("Result")


def plan_seconds(count: int, policies: int) -> dict[str, float]:
    """
    Measure the stages of a pass.

    Args:
        count: Nodes.
        policies: Each governs as many nodes as the others, and all are new.

    Returns:
        What was done to seconds of CPU, the best of three.
    """
    nodes = {
        name: node(name, **{POOL: f"p{index % policies}", "zone": f"z{index % 3}"})
        for index, name in enumerate(map(name_of, range(count)))
    }
    rows = [
        policy_row(policy(f"p{index}", labels={POOL: f"p{index}"}))
        for index in range(policies)
    ]
    told = _told(decide(rows, nodes, {}))
    moving, decisions = _timed(lambda: decide(rows, nodes, told))
    turning, _ = _timed(lambda: _turn(decisions))
    told = _told(decisions)
    still, decisions = _timed(lambda: decide(rows, nodes, told))
    folding, _ = _timed(lambda: _fold(decisions, rows))
    return {
        f"plan {count} nodes x {policies} policies, all of them to be told": moving,
        "choose whose turn it is": turning,
        f"plan {count} nodes x {policies} policies, nothing to be told": still,
        "fold the answers into the statuses": folding,
    }


def _told(decisions: Decisions) -> Mapping[str, ConntrackNodeRow]:
    """
    Give the objects of nodes that were told what was decided, and have answered.
    """
    return {
        name: answered(conntrack_node(name, spec=each.plan.spec))
        for name, each in decisions.nodes.items()
        if isinstance(each.plan, Tell)
    }


def _turn(decisions: Decisions) -> Wave:
    """
    Choose whose turn it is.
    """
    return wave(decisions.nodes.values(), unshown=(), refused=(), now=NOW)


def _fold(decisions: Decisions, rows: list[PolicyRow]) -> list[PolicyStatus]:
    """
    Fold what the nodes answered into the statuses of the policies.
    """
    nodes = by_policy(decisions.nodes.values(), rows, lambda _: "")
    return [
        aggregate(
            row, nodes.get(row.uid, ()), (), Progress(), previous=row.status, now=NOW
        )
        for row in rows
    ]


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """
    Do something three times; give the least CPU it took, and its result.
    """
    taken = []
    for _ in range(3):
        began = time.process_time()
        result = work()
        taken.append(time.process_time() - began)
    return min(taken), result
