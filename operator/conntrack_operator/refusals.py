"""
Refusals: content that the API server called invalid, so that it is not sent twice.

Computes only; `writer` tells and asks.
"""

from dataclasses import dataclass
from typing import Final

from conntrack_api.node import NodeSpec
from conntrack_operator.decide import Decision
from conntrack_operator.plan import Revert, Tell

PRUNED: Final = (
    "The API server keeps only a part of what the node is told: its CRDs are older "
    "than this operator; run `kubectl apply --server-side -f crds/` of this release."
)
"""Said of content that was accepted, and is not there as it was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """What was sent for a node, and why it was not accepted."""

    uid: str | None
    spec: NodeSpec
    message: str


class Refusals:
    """Remembers at most one refusal for each node: the last one."""

    def __init__(self) -> None:
        """
        Start with nothing refused.
        """
        self._refusals: dict[str, _Refusal] = {}

    def of(self, decision: Decision) -> str:
        """
        Say why a decision is not accepted; empty when it is, as far as we know.
        """
        name = decision.node.name
        refused = self._refusals.get(name)
        if refused is None:
            return ""
        uid = decision.current.uid if decision.current else None
        spec = getattr(decision.plan, "spec", None)
        if (refused.uid, refused.spec) != (uid, spec):
            del self._refusals[name]
            return ""
        return refused.message

    def add(self, decision: Decision, message: str) -> None:
        """
        Remember that a decision's content was not accepted.
        """
        if isinstance(decision.plan, Tell | Revert):
            self._refusals[decision.node.name] = _Refusal(
                uid=decision.current.uid if decision.current else None,
                spec=decision.plan.spec,
                message=message,
            )
