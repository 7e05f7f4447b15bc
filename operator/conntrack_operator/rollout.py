"""
Rollout: which of the changes that are wanted may be written now.

Computes only, from what the nodes say at this moment; nothing is counted over time, so
a restart forgets nothing. The order is fixed: on an old picture the same nodes are
chosen again, and no others.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from conntrack_api.node import NodeMode, NodeSpec
from conntrack_api.rollout import Rollout
from conntrack_operator.decide import Decision
from conntrack_operator.plan import Tell
from conntrack_operator.rows import ConntrackNodeRow
from conntrack_operator.standing import Standing, soak_left, standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How a policy's rollout stands, beside the counts of its nodes."""

    waiting: int = 0
    """Healthy nodes whose change is held back."""
    paused: bool = False
    """Changes are held back because ``maxUnavailable`` is 0."""
    halted: bool = False
    """Changes are held back because of the nodes that failed."""
    failures: int = 0
    """Nodes that failed with what the policy asks at present."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """What may happen now."""

    released: tuple[Decision, ...] = ()
    progress: Mapping[str, Progress] = field(default_factory=dict)
    """UID of the policy to how it stands."""
    again_in: float | None = None
    """Seconds until a node has soaked; ``None``: none is soaking."""


def wave(
    decisions: Iterable[Decision],
    *,
    unshown: Container[str],
    refused: Container[str],
    now: datetime,
) -> Wave:
    """
    Hold changes back until their turn has come.

    Only what makes an agent write to its kernel waits. What is told for the books, and
    everything in mode Observe, is released at once. Removals are not decided here.

    Args:
        decisions: All of them, also those that have nothing to write.
        unshown: Names whose last write the informer does not show yet.
        refused: Names whose content the API server does not accept.
        now: The present time, with a time zone.
    """
    groups: defaultdict[str, list[_Member]] = defaultdict(list)
    rules: dict[str, Rollout] = {}
    released: list[Decision] = []
    for decision in decisions:
        if decision.policy is None or not isinstance(decision.plan, Tell):
            continue
        name = decision.node.name
        member = _member(
            decision,
            decision.plan.spec,
            unshown=name in unshown,
            refused=name in refused,
            now=now,
        )
        groups[decision.policy.uid].append(member)
        rules[decision.policy.uid] = decision.policy.spec.rollout
        if decision.differs and not member.wants:
            released.append(decision)
    progress: dict[str, Progress] = {}
    for uid, members in groups.items():
        members.sort(key=lambda each: (not each.lost, each.decision.node.name))
        chosen, progress[uid] = _turn(members, rules[uid])
        released += chosen
    soaking = (
        soak_left(each.row, now)
        for members in groups.values()
        for each in members
        if each.row and each.acts
    )
    again_in = min((left for left in soaking if left), default=None)
    return Wave(released=tuple(released), progress=progress, again_in=again_in)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
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


def _member(
    decision: Decision,
    planned: NodeSpec,
    *,
    unshown: bool,
    refused: bool,
    now: datetime,
) -> _Member:
    """
    Show a decision to its policy's rollout.
    """
    row = decision.current
    told = row.spec if row else None
    return _Member(
        decision=decision,
        row=row,
        standing=standing(row, now) if row else Standing.CHANGING,
        acts=told is not None and told.mode is not NodeMode.OBSERVE,
        wants=planned.mode is NodeMode.ENFORCE
        and (told is None or told.revision != planned.revision),
        unshown=unshown,
        refused=refused,
    )


def _turn(members: list[_Member], rules: Rollout) -> tuple[list[Decision], Progress]:
    """
    Choose from one policy's nodes.

    A node that is changing or failed already is part of the budget, so a correction
    reaches it without taking more of it; without this, a fleet that failed could never
    be mended.
    """
    limit = rules.max_unavailable.of(len(members))
    open_ = [each for each in members if each.open]
    failures = sum(each.failed for each in members if each.reachable)
    halted = failures >= rules.max_failures
    chosen: list[_Member] = []
    if limit and not halted:
        most = _canaries_left(members, rules)
        chosen = [each for each in open_ if each.lost][:most]
        busy = sum(each.busy for each in members if each.reachable)
        room = max(0, min(limit - busy, most - len(chosen)))
        chosen += [each for each in open_ if not each.lost][:room]
    names = {each.decision.node.name for each in chosen}
    held = [each for each in open_ if each.decision.node.name not in names]
    healthy = [each for each in held if each.standing is not Standing.FAILED]
    # Fewer failures than allowed may still be all that the budget has room for.
    answers_due = any(
        each.busy and each.standing is not Standing.FAILED and not each.refused
        for each in members
        if each.reachable
    )
    stuck = failures > 0 and not chosen and not answers_due
    progress = Progress(
        waiting=len(healthy),
        paused=bool(held) and not limit,
        halted=bool(held) and bool(limit) and (halted or stuck),
        failures=failures,
    )
    return [each.decision for each in chosen], progress


def _canaries_left(members: list[_Member], rules: Rollout) -> int:
    """
    Tell how many may be told before enough nodes have proved the change.

    Returns:
        As many as there are nodes once the canaries are done.
    """
    taking_part = [each for each in members if each.reachable and not each.refused]
    told = [each for each in taking_part if each.acts and not each.wants]
    done = sum(each.standing is Standing.DONE and not each.unshown for each in told)
    eligible = len(told) + sum(each.wants for each in taking_part)
    needed = min(rules.canaries, eligible)
    if done >= needed:
        return len(members)
    # One that failed has proved nothing: another takes its place.
    asked = sum(not each.failed for each in told)
    asked += sum(each.unshown for each in taking_part if each.wants)
    return max(0, needed - asked)
