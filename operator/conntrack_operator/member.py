"""
Member: one node of a policy, as the policy's rollout sees it.

Computes only.
"""

from dataclasses import dataclass
from datetime import datetime

from conntrack_api.node import NodeMode
from conntrack_api.rollout import Rollout
from conntrack_operator.decide import Decision
from conntrack_operator.plan import Delete, Revert, Tell
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
    unsure: bool = False
    """Somebody was to tell it, and gave up waiting: it may yet be told."""
    leaving: bool = False
    """Its policy lets it go and brings its baseline back."""

    @property
    def back(self) -> bool:
        """
        Tell whether its baseline is back, so that its object may go.
        """
        return self.leaving and isinstance(self.decision.plan, Delete)

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
        if (self.unshown or self.unsure) and (self.wants or self.acts):
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
        if self.unsure and self.wants:
            return True
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
    *,
    unshown: bool,
    refused: bool,
    now: datetime,
    unsure: bool = False,
) -> Member | None:
    """
    Show a decision to the rollout whose budget it needs.

    Returns:
        The member; ``None`` when nothing that is decided, or was told, makes an agent
        write: it is let go with what it has, or has nobody who could say how fast.
    """
    row, plan = decision.current, decision.plan
    told = row.spec if row else None
    wants = leaving = False
    match plan:
        case Tell(spec=spec):
            differs = told is None or told.revision != spec.revision
            wants = spec.mode is NodeMode.ENFORCE and differs
        case Revert(spec=spec) if decision.former:
            leaving, wants = True, told is None or told.revision != spec.revision
        case Delete(stale=False) if decision.former and told is not None:
            leaving = told.mode is NodeMode.REVERT
    if not leaving and not isinstance(plan, Tell):
        return None
    return Member(
        decision=decision,
        row=row,
        standing=standing(row, now) if row else Standing.CHANGING,
        acts=told is not None and told.mode is not NodeMode.OBSERVE,
        wants=wants,
        unshown=unshown,
        unsure=unsure,
        refused=refused,
        leaving=leaving,
    )


def budget(decision: Decision) -> tuple[str, Rollout]:
    """
    Give the UID of the policy whose budget a member needs, and its rules.

    One that cannot be read, and lets its nodes go, has the rules that are the default.
    """
    policy = decision.policy
    if policy is not None:
        return policy.uid, policy.spec.rollout
    former = decision.former
    assert former is not None  # noqa: S101 - a member has one or the other
    rules = former.policy.spec.rollout if former.policy else Rollout()
    return former.uid, rules
