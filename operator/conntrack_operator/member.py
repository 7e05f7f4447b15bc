"""
Member: one node of a policy, as the policy's rollout sees it.

Computes only.
"""

from dataclasses import dataclass
from datetime import datetime

from conntrack_api.node import NodeMode, NodeSpec
from conntrack_operator.decide import Decision
from conntrack_operator.rows import ConntrackNodeRow
from conntrack_operator.standing import Standing, standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One node of a policy, as its rollout sees it."""

    decision: Decision
    row: ConntrackNodeRow | None
    standing: Standing
    acts: bool
    """Its agent writes to the kernel: it has been told numbers to enforce."""
    wants: bool
    """It has not been told yet what the policy asks, and that would change it."""
    unshown: bool
    refused: bool

    @property
    def reachable(self) -> bool:
        """
        Tell whether it takes part: one that is silent or on hold is not waited for.
        """
        return self.standing not in (Standing.UNREACHABLE, Standing.ON_HOLD)

    @property
    def busy(self) -> bool:
        """
        Tell whether it is changing or failed, and so part of the budget.
        """
        if self.unshown and (self.wants or self.acts):
            return True
        bad = self.standing in (Standing.CHANGING, Standing.FAILED)
        return (self.acts and bad) or self.refused

    @property
    def lost(self) -> bool:
        """
        Tell whether telling it something else makes no more nodes unavailable.

        Not so for a node that has yet to acknowledge what was told for the books: it
        counts as changing, and is well.
        """
        if self.row is None or self.row.spec is None or not self.acts:
            return False
        other = self.row.applied_revision != self.row.spec.revision
        soaks = self.row.observed_generation == self.row.generation
        changing = self.standing is Standing.CHANGING and (other or soaks)
        return self.standing is Standing.FAILED or changing

    @property
    def open(self) -> bool:
        """
        Tell whether it could be told now.
        """
        return self.wants and self.reachable and not (self.unshown or self.refused)

    @property
    def failed(self) -> bool:
        """
        Tell whether it failed with what the policy asks at present.
        """
        told = self.acts and not self.wants and not self.unshown
        return self.refused or (told and self.standing is Standing.FAILED)


def show(
    decision: Decision,
    planned: NodeSpec,
    *,
    unshown: bool,
    refused: bool,
    now: datetime,
) -> Member:
    """
    Show a decision to its policy's rollout.
    """
    row = decision.current
    told = row.spec if row else None
    return Member(
        decision=decision,
        row=row,
        standing=standing(row, now) if row else Standing.CHANGING,
        acts=told is not None and told.mode is not NodeMode.OBSERVE,
        wants=planned.mode is NodeMode.ENFORCE
        and (told is None or told.revision != planned.revision),
        unshown=unshown,
        refused=refused,
    )
