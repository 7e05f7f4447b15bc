"""
Rollout: which of the changes that are wanted may be written now.

Computes only, from what the nodes say at this moment; nothing is counted over time, so
a restart forgets nothing. That a generation was halted comes in from the policy's own
status. The order is fixed: on an old picture the same nodes are chosen again, and no
others.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from conntrack_api.rollout import Rollout
from conntrack_operator.decide import Decision
from conntrack_operator.member import Member, budget, show
from conntrack_operator.standing import Standing, soak_left


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How a policy's rollout stands, beside the counts of its nodes."""

    waiting: int = 0
    """Healthy nodes whose change is held back."""
    paused: bool = False
    """Changes are held back because ``maxUnavailable`` is 0."""
    halted: bool = False
    """Changes are held back because of the nodes that failed, until an edit."""
    stuck: bool = False
    """Changes are held back because failed nodes fill the budget."""
    lasting: bool = False
    """The halt is the nodes' word, and is to outlive their recovery and us."""
    failures: int = 0
    """Nodes that failed with what the policy asks at present, or on their way back."""
    leaving: int = 0
    """Nodes whose baseline will be brought back when their turn has come."""
    unproved: int = 0
    """Nodes whose turn has come, held until their former policy is surely gone."""
    unkept: int = 0
    """Nodes whose turn has come, held until a finalizer keeps the way back for them."""
    unwritten: str = ""
    """A node whose turn has come, and why it cannot be told; empty when all can."""


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
    unsure: Container[str] = (),
    halted: Container[str] = (),
    now: datetime,
) -> Wave:
    """
    Hold changes back until their turn has come.

    Only what makes an agent write to its kernel waits, so also the way back of a node
    that is let go with Revert. What is told for the books, everything in mode Observe
    and what is let go with Keep is released at once; `brake` looks at removals, too.

    Args:
        decisions: All of them, also those that have nothing to write.
        unshown: Names whose last write the informer does not show yet.
        unsure: Names to which a write may be under way that was given up.
        refused: Names whose content the API server does not accept.
        halted: UIDs of the policies whose present generation was halted before.
        now: The present time, with a time zone.
    """
    groups: defaultdict[str, list[Member]] = defaultdict(list)
    rules: dict[str, Rollout] = {}
    released: list[Decision] = []
    for decision in decisions:
        name = decision.node.name
        member = show(
            decision,
            unshown=name in unshown,
            unsure=name in unsure,
            refused=name in refused,
            now=now,
        )
        if member is not None:
            uid, rules[uid] = budget(decision)
            groups[uid].append(member)
        free = member is None or not (member.wants or member.back)
        if decision.differs and free:
            released.append(decision)
    progress: dict[str, Progress] = {}
    for uid, members in groups.items():
        members.sort(key=lambda each: (not each.lost, each.decision.node.name))
        chosen, progress[uid] = _turn(members, rules[uid], halted=uid in halted)
        released += chosen
    soaking = (
        soak_left(each.row, now)
        for members in groups.values()
        for each in members
        if each.row and each.acts
    )
    again_in = min((left for left in soaking if left), default=None)
    return Wave(released=tuple(released), progress=progress, again_in=again_in)


def without(
    turn: Wave, *, unproved: Container[str], unkept: Container[str] = ()
) -> Wave:
    """
    Take nodes out that must wait for another reason, and count them where they go to.

    Args:
        turn: What may happen as far as the rollout is concerned.
        unproved: Names of the nodes whose removal or move is not to be written now.
        unkept: UIDs of the policies that are not to begin with a node now.
    """
    released: list[Decision] = []
    begun: Counter[str] = Counter()
    gained: Counter[str] = Counter()
    for each in turn.released:
        uid = each.policy.uid if each.policy else ""
        if uid in unkept and each.begins:
            begun[uid] += 1
        elif each.node.name in unproved:
            gained[uid] += 1
        else:
            released.append(each)
    progress = {
        uid: replace(so_far, unproved=gained[uid], unkept=begun[uid])
        for uid, so_far in turn.progress.items()
    }
    return replace(turn, released=tuple(released), progress=progress)


def _turn(
    members: list[Member], rules: Rollout, *, halted: bool
) -> tuple[list[Decision], Progress]:
    """
    Choose from one policy's nodes.

    A node that is changing or failed already is part of the budget, so a correction
    reaches it without taking more of it; without this, a fleet that failed could never
    be mended. A way back that fails counts like a way forth: what harms in either
    direction is to harm no more nodes.
    """
    limit = rules.max_unavailable.of(len(members))
    staying = [each for each in members if not each.leaving]
    leaving = [each for each in members if each.leaving]
    failed = [each for each in members if each.reachable and each.failed]
    waits = any(each.wants for each in members)
    # Content that the API server refuses has harmed no node, and is held back by that.
    answers = sum(not each.refused for each in failed)
    lasting = waits and (halted or answers >= rules.max_failures)
    halted = lasting or len(failed) >= rules.max_failures
    busy = sum(each.busy for each in members if each.reachable)
    chosen: list[Member] = []
    for some in (staying, leaving):
        if limit and not halted:
            fresh = limit - busy - sum(not each.lost for each in chosen)
            chosen += _next(some, rules, fresh)
    names = {each.decision.node.name for each in chosen}
    held = [
        each for each in members if each.open and each.decision.node.name not in names
    ]
    healthy = [each for each in held if each.standing is not Standing.FAILED]
    going = sum(each.leaving for each in held)
    # Fewer failures than allowed may still be all that the budget has room for.
    answers_due = any(
        each.busy and each.standing is not Standing.FAILED and not each.refused
        for each in members
        if each.reachable
    )
    stuck = bool(failed and held) and not (halted or chosen or answers_due)
    progress = Progress(
        waiting=sum(not each.leaving for each in healthy),
        paused=bool(held) and not limit,
        halted=bool(limit) and (lasting or (bool(held) and halted)),
        stuck=bool(limit) and stuck,
        lasting=lasting,
        failures=len(failed),
        leaving=going,
    )
    chosen += _done(leaving, rules)
    return [each.decision for each in chosen], progress


def _next(members: list[Member], rules: Rollout, room: int) -> list[Member]:
    """
    Choose from those that stay, or from those that leave: each have canaries.
    """
    most = _canaries_left(members, rules)
    lost = [each for each in members if each.open and each.lost][:most]
    fresh = [each for each in members if each.open and not each.lost]
    return lost + fresh[: max(0, min(room, most - len(lost)))]


def _done(leaving: list[Member], rules: Rollout) -> list[Member]:
    """
    Choose from the nodes whose baseline is back those whose objects may go.

    Objects are all that proves to the next pass that the canaries are well, so these
    stay until nobody needs the proof any more.
    """
    done = [each for each in leaving if each.back]
    well = [each for each in done if each.standing is not Standing.CHANGING]
    needed = any(each.wants and each.reachable for each in leaving)
    return well[rules.canaries :] if needed else well


def _canaries_left(members: list[Member], rules: Rollout) -> int:
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
