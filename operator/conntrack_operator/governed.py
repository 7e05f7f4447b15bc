"""
Governed: which policy's status counts a node, and what it shows of it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from conntrack_operator.aggregate import Governed
from conntrack_operator.decide import Decision
from conntrack_operator.plan import Revert, Tell
from conntrack_operator.rows import PolicyRow


def by_policy(
    decisions: Iterable[Decision],
    rows: Iterable[PolicyRow],
    refusal: Callable[[Decision], str],
) -> Mapping[str, Sequence[Governed]]:
    """
    Sort the nodes by the policies that count them.

    Args:
        decisions: All that were made.
        rows: All policies.
        refusal: Says why the API server does not accept a decision.

    Returns:
        UID of the policy to its nodes.
    """
    leaving = {row.uid for row in rows if row.deleting}
    found: defaultdict[str, list[Governed]] = defaultdict(list)
    for decision in decisions:
        uid = _belongs_to(decision, leaving)
        if uid is not None:
            found[uid].append(_governed(decision, refusal(decision)))
    return found


def _belongs_to(decision: Decision, leaving: set[str]) -> str | None:
    """
    Give the UID of the policy whose status counts a node, if any does.

    A policy that is being deleted still counts the nodes that it has to let go.
    """
    if decision.policy is not None:
        return decision.policy.uid
    spec = decision.current.spec if decision.current else None
    former = spec.policy_ref.uid if spec else None
    return former if former in leaving else None


def _governed(decision: Decision, refused: str) -> Governed:
    """
    Show a decision to `aggregate`.
    """
    plan = decision.plan
    return Governed(
        name=decision.node.name,
        planned=plan.spec if isinstance(plan, Tell | Revert) else None,
        final=isinstance(plan, Tell) and plan.final,
        row=decision.current,
        refused=refused,
    )
