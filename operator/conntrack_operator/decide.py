"""
Decide: match and plan, for all nodes at once.

Computes only. It is called twice for what cannot be undone: once with what the
informers hold, and once more with what was freshly read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from conntrack_api.node import NodeMode
from conntrack_api.policy import ConntrackPolicy, OnRemoval
from conntrack_operator.match import Matching, match
from conntrack_operator.plan import (
    Delete,
    Plan,
    Revert,
    Tell,
    Wait,
    plan,
    release,
    wish,
)
from conntrack_operator.rows import ConntrackNodeRow, NodeRow, PolicyRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What should become of one node's object."""

    node: NodeRow
    current: ConntrackNodeRow | None
    policy: ConntrackPolicy | None
    """Who governs the node; ``None`` for one that is let go."""
    plan: Plan
    former: PolicyRow | None = None
    """Who lets the node go, if it is still there; its budget is the one that counts."""
    orphaned: bool = False
    """Whoever governed the node is in no list, and never said that it is going."""

    @property
    def removes(self) -> bool:
        """
        Tell whether writing this would take something away from the node.
        """
        return isinstance(self.plan, Delete | Revert) and self.differs

    @property
    def doubtful(self) -> bool:
        """
        Tell whether an absence may be all that asks for this: it must be seen twice.
        """
        return self.removes or (self.orphaned and self.differs)

    @property
    def begins(self) -> bool:
        """
        Tell whether this is the first that lets the agent write for its policy.
        """
        if (
            not isinstance(self.plan, Tell)
            or self.plan.spec.mode is not NodeMode.ENFORCE
        ):
            return False
        told, spec = self.current.spec if self.current else None, self.plan.spec
        return (
            told is None
            or told.mode is not NodeMode.ENFORCE
            or told.policy_ref.uid != spec.policy_ref.uid
        )

    @property
    def differs(self) -> bool:
        """
        Tell whether there is anything to write.
        """
        match self.plan:
            case Tell(spec=spec) | Revert(spec=spec):
                return self.current is None or self.current.spec != spec
            case Delete():
                return True
            case Wait():
                return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """What one pass has decided."""

    matching: Matching
    nodes: Mapping[str, Decision]
    """Node name to decision; nodes that are nobody's business are not in it."""


def decide(
    policies: Iterable[PolicyRow],
    nodes: Mapping[str, NodeRow],
    conntrack_nodes: Mapping[str, ConntrackNodeRow],
) -> Decisions:
    """
    Decide for every node.

    A ConntrackNode without a Node is left to the garbage collector. A node whose
    policy cannot be read is left as it is: unreadable is not a command.

    Args:
        policies: All of them, in any order.
        nodes: Node name to row.
        conntrack_nodes: Node name to row.

    Returns:
        One decision for each node that is governed or has an object.
    """
    rows = {row.uid: row for row in policies}
    matching = match(
        (row.policy for row in rows.values() if row.policy), nodes.values()
    )
    wishes = {
        row.uid: wish(row.policy) for row in rows.values() if row.policy is not None
    }
    found: dict[str, Decision] = {}
    for name, node in nodes.items():
        policy = matching.governing.get(name)
        current = conntrack_nodes.get(name)
        if policy is None and current is None:
            continue
        former = _former(current, rows)
        what: Plan
        if former is not None and former.policy is None and not former.deleting:
            what = Wait()
        elif policy is not None:
            what = plan(wishes[policy.uid], node, current)
        else:
            # A policy that went away without our finalizer never asked for a revert.
            asked = former.on_removal if former else OnRemoval.KEEP
            assert current is not None  # noqa: S101 - neither of both: skipped above
            what = release(node, current, asked)
        found[name] = Decision(
            node=node,
            current=current,
            policy=policy,
            plan=what,
            former=former if policy is None else None,
            orphaned=former is None
            and current is not None
            and current.spec is not None,
        )
    return Decisions(matching=matching, nodes=found)


def _former(
    current: ConntrackNodeRow | None, rows: Mapping[str, PolicyRow]
) -> PolicyRow | None:
    """
    Find the policy that a ConntrackNode was last written for, if it still exists.
    """
    if current is None or current.spec is None:
        return None
    return rows.get(current.spec.policy_ref.uid)
