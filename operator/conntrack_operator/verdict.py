"""
Verdict: what a policy's counts mean, as conditions and sentences.

Computes only; called by `aggregate`. The conditions keep the kstatus rules:
Reconciling and Stalled are present only while True, never both, and each of them
comes with Ready that is not True.

Source: sigs.k8s.io/cli-utils, ``pkg/kstatus``, README.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from conntrack_api.conditions import (
    Condition,
    ConditionStatus,
    PolicyCondition,
    PolicyReason,
)
from conntrack_api.policy import ConntrackPolicy
from conntrack_api.policy_status import NodeCounts
from conntrack_operator.rollout import Progress
from conntrack_operator.rows import Loss, PolicyRow
from conntrack_operator.wording import (
    counted,
    held_back,
    held_going_back,
    listed,
    of_nodes,
)

MAX_MESSAGE: Final = 1024
"""Characters of a condition's message, as in the CRD."""

NO_NODE: Final = (
    "No Linux node has the labels that spec.nodeSelector asks for: compare "
    "`kubectl get nodes --show-labels`."
)

_TRUE, _FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE


def conditions(
    row: PolicyRow,
    policy: ConntrackPolicy,
    counts: NodeCounts,
    losses: Sequence[Loss],
    so_far: Progress,
    worst: str = "",
) -> tuple[Condition, ...]:
    """
    Judge a policy that can be read.

    Args:
        row: The policy as the API server has it.
        policy: What it says.
        counts: Of the nodes that it governs.
        losses: What other policies took from it.
        so_far: How its rollout stands.
        worst: What keeps the worst node, if any does.

    Returns:
        Accepted, Ready, and at most one of Reconciling and Stalled; without times.
    """
    rivals = [
        each for each in losses if each.winner.spec.priority == policy.spec.priority
    ]
    if row.deleting:
        leaving = _leaving(row, counts, so_far)
        said = (_accepted(row, counts, losses), *_naming(worst, leaving))
    elif rivals:
        text = _conflict(policy, counts, losses, rivals)
        said = (
            _say(row, PolicyCondition.ACCEPTED, _FALSE, PolicyReason.CONFLICT, text),
            _say(row, PolicyCondition.READY, _FALSE, PolicyReason.CONFLICTING, text),
            _say(row, PolicyCondition.STALLED, _TRUE, PolicyReason.CONFLICT, text),
        )
    else:
        accepted = _accepted(row, counts, losses)
        told = _progress(row, counts, so_far, accepted.message if losses else "")
        said = (accepted, *_naming(worst, told))
    return said


def _naming(worst: str, said: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """
    Add what keeps the worst node.
    """
    return tuple(
        replace(each, message=f"{each.message} {worst}".rstrip()[:MAX_MESSAGE])
        for each in said
    )


def unreadable(row: PolicyRow) -> tuple[Condition, ...]:
    """
    Judge a policy that cannot be read; its nodes are left as they are.
    """
    text = f"The spec cannot be read, so its nodes are left as they are: {row.problem}"
    reason = PolicyReason.INVALID_SELECTOR
    return (
        _say(row, PolicyCondition.ACCEPTED, _FALSE, reason, text),
        _say(row, PolicyCondition.READY, _FALSE, reason, text),
        _say(row, PolicyCondition.STALLED, _TRUE, reason, text),
    )


def _say(
    row: PolicyRow,
    type_: PolicyCondition,
    status: ConditionStatus,
    reason: PolicyReason,
    message: str,
) -> Condition:
    """
    Make one condition for the policy's present generation.
    """
    return Condition(
        type=type_,
        status=status,
        reason=reason,
        message=message[:MAX_MESSAGE],
        observed_generation=row.generation,
    )


def _accepted(row: PolicyRow, counts: NodeCounts, losses: Sequence[Loss]) -> Condition:
    """
    Say that the policy is understood, and what policies of higher priority took.
    """
    text = f"Selects {of_nodes(counts.matched)}."
    if losses:
        names = [
            f"`{each.winner.name}` ({each.winner.spec.priority})" for each in losses
        ]
        text = (
            f"{_taken(counts, losses, losses)} policies of higher priority: "
            f"{listed(names)}."
        )
    return _say(row, PolicyCondition.ACCEPTED, _TRUE, PolicyReason.ACCEPTED, text)


def _taken(counts: NodeCounts, losses: Sequence[Loss], winners: Sequence[Loss]) -> str:
    """
    Begin a sentence about the nodes that some of the winners took.
    """
    total = counts.matched + sum(each.nodes for each in losses)
    taken = sum(each.nodes for each in winners)
    are = "is" if taken == 1 else "are"
    return f"{taken} of the {of_nodes(total)} that it selects {are} governed by"


def _conflict(
    policy: ConntrackPolicy,
    counts: NodeCounts,
    losses: Sequence[Loss],
    rivals: Sequence[Loss],
) -> str:
    """
    Say which policies of the same priority took nodes, and what to do about it.
    """
    names = listed(f"`{each.winner.name}`" for each in rivals)
    return (
        f"{_taken(counts, losses, rivals)} {names} at the same priority "
        f"{policy.spec.priority}, where the older policy wins: give one of them "
        "another priority, or selectors that do not overlap."
    )


def _progress(
    row: PolicyRow, counts: NodeCounts, so_far: Progress, lost: str
) -> tuple[Condition, ...]:
    """
    Say how far the nodes are; `lost` says who has those that it selects.
    """
    open_ = counts.progressing + counts.unreachable
    if counts.matched == 0:
        text = lost or NO_NODE
        empty = PolicyReason.NO_NODES_MATCHED
        return (_say(row, PolicyCondition.READY, _TRUE, empty, text),)
    text = counted(counts, so_far)
    if so_far.halted or so_far.stuck or so_far.paused:
        return _held(row, so_far, text)
    if counts.failed == 0 and open_ == 0:
        done = PolicyReason.ALL_NODES_UP_TO_DATE
        return (_say(row, PolicyCondition.READY, _TRUE, done, text),)
    failed = PolicyReason.NODES_FAILED
    moving = PolicyReason.ROLLING_OUT
    return (
        _say(
            row,
            PolicyCondition.READY,
            _FALSE,
            failed if counts.failed else moving,
            text,
        ),
        # As long as another node may still answer, the policy is not stalled.
        _say(row, PolicyCondition.RECONCILING, _TRUE, moving, text)
        if open_
        else _say(row, PolicyCondition.STALLED, _TRUE, failed, text),
    )


def _held(row: PolicyRow, so_far: Progress, text: str) -> tuple[Condition, ...]:
    """
    Say why nodes wait that nothing but a person can release.
    """
    if so_far.paused:
        text = f"Paused until spec.rollout.maxUnavailable is above 0: {text}"
        return (_say(row, PolicyCondition.READY, _FALSE, PolicyReason.PAUSED, text),)
    failed = PolicyReason.NODES_FAILED
    text = f"{held_back(so_far, row.generation)}: {text}"
    return (
        _say(row, PolicyCondition.READY, _FALSE, failed, text),
        _say(row, PolicyCondition.STALLED, _TRUE, failed, text),
    )


def _leaving(
    row: PolicyRow, counts: NodeCounts, so_far: Progress
) -> tuple[Condition, ...]:
    """
    Say what a policy that is being deleted still waits for.
    """
    are = "is" if counts.matched == 1 else "are"
    text = f"Being deleted: {of_nodes(counts.matched)} {are} still to be let go"
    if so_far.leaving:
        text += f", {so_far.leaving} waiting"
    if counts.failed:
        text += f", {counts.failed} failed"
    if so_far.paused:
        text += "; paused until spec.rollout.maxUnavailable is above 0"
    if so_far.halted or so_far.stuck:
        text = f"{text}. {held_going_back(so_far, row.generation)}"
        failed = PolicyReason.NODES_FAILED
        return (
            _say(row, PolicyCondition.READY, _FALSE, failed, text),
            _say(row, PolicyCondition.STALLED, _TRUE, failed, text),
        )
    text += "."
    moving = PolicyReason.ROLLING_OUT
    return (
        _say(row, PolicyCondition.READY, _FALSE, moving, text),
        _say(row, PolicyCondition.RECONCILING, _TRUE, moving, text),
    )
