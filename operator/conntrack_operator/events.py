"""
Events: what ``kubectl describe`` tells of a policy and of a node, besides its status.

Computes only. An event is the difference of two statuses, so a restart, which finds
the same status, has nothing to tell.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from conntrack_api import API_VERSION, node, policy
from conntrack_api.conditions import (
    Condition,
    ConditionStatus,
    NodeReason,
    PolicyCondition,
    PolicyReason,
    find,
)
from conntrack_api.policy_status import PolicyStatus
from conntrack_operator.decide import Decision
from conntrack_operator.rows import ConntrackNodeRow, Json, PolicyRow
from conntrack_operator.wording import clean, of_nodes

COMPONENT: Final = "conntrack-operator"
"""Who tells it."""


class EventReason(StrEnum):
    """Reasons of events, a closed list as well."""

    ROLLOUT_STARTED = "RolloutStarted"
    ROLLOUT_COMPLETED = "RolloutCompleted"
    ROLLOUT_HALTED = "RolloutHalted"
    POLICY_CONFLICT = "PolicyConflict"
    POLICY_VANISHED = "PolicyVanished"
    APPLY_FAILED = "ApplyFailed"
    CONTENDED = "Contended"
    DRIFT_DETECTED = "DriftDetected"
    PRESSURE = "ConntrackPressure"
    TABLE_FULL = "ConntrackTableFull"


GOOD = (
    EventReason.ROLLOUT_STARTED,
    EventReason.ROLLOUT_COMPLETED,
    EventReason.POLICY_VANISHED,
)
"""Of type Normal, since a person may have wanted it; all others are warnings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to one object."""

    kind: str
    name: str
    uid: str
    reason: EventReason
    message: str

    @property
    def type(self) -> str:
        """
        Give the event's type, as Kubernetes calls it.
        """
        return "Normal" if self.reason in GOOD else "Warning"


def of_policy(row: PolicyRow, old: PolicyStatus, new: PolicyStatus) -> Iterator[Event]:
    """
    Tell what changed between two statuses of a policy.
    """

    def tell(reason: EventReason, condition: Condition) -> Event:
        return Event(
            kind=policy.KIND,
            name=row.name,
            uid=row.uid,
            reason=reason,
            message=condition.message,
        )

    def turned(type_: str, status: ConditionStatus, reason: str) -> Condition | None:
        now, before = find(new.conditions, type_), find(old.conditions, type_)
        if now is None or (now.status, now.reason) != (status, reason):
            return None
        same = before is not None and (before.status, before.reason) == (status, reason)
        return None if same else now

    moving = find(new.conditions, PolicyCondition.RECONCILING)
    edited = new.observed_generation != old.observed_generation
    if moving is not None and edited and not row.deleting:
        yield tell(EventReason.ROLLOUT_STARTED, moving)
    true, false = ConditionStatus.TRUE, ConditionStatus.FALSE
    for reason, condition in (
        (
            EventReason.ROLLOUT_COMPLETED,
            turned(PolicyCondition.READY, true, PolicyReason.ALL_NODES_UP_TO_DATE),
        ),
        (
            EventReason.ROLLOUT_HALTED,
            turned(PolicyCondition.STALLED, true, PolicyReason.NODES_FAILED),
        ),
        (
            EventReason.POLICY_CONFLICT,
            turned(PolicyCondition.ACCEPTED, false, PolicyReason.CONFLICT),
        ),
    ):
        if condition is not None:
            yield tell(reason, condition)


def of_vanished(decisions: Iterable[Decision]) -> Iterator[Event]:
    """
    Tell which policies have nodes and are in no list, by the name that nodes know.

    A policy that asks for Keep is gone at once when it is deleted, so this may be all
    that is ever seen of that.
    """
    told = (
        each.current.spec.policy_ref
        for each in decisions
        if each.orphaned and each.current and each.current.spec
    )
    for (name, uid), count in Counter((each.name, each.uid) for each in told).items():
        yield Event(
            kind=policy.KIND,
            name=name,
            uid=uid,
            reason=EventReason.POLICY_VANISHED,
            message=f"No list shows this policy any more. {of_nodes(count)} that it "
            "governed will be let go, or get the numbers of another policy, when a "
            "second list confirms it.",
        )


def of_node(old: ConntrackNodeRow, new: ConntrackNodeRow) -> Iterator[Event]:
    """
    Tell what changed between two reports of a node.
    """
    for now, before in (
        (new.ready, old.ready),
        (new.drifted, old.drifted),
        (new.pressure, old.pressure),
    ):
        reason = _node_reason(now)
        if now is not None and reason is not None:
            same = before is not None and before.reason == now.reason
            if not (same and _node_reason(before) is reason):
                yield Event(
                    kind=node.KIND,
                    name=new.name,
                    uid=new.uid,
                    reason=reason,
                    message=clean(now.message),
                )


def _node_reason(condition: Condition | None) -> EventReason | None:
    """
    Say which event a node's condition is; ``None`` for one that is no news.
    """
    if condition is None:
        return None
    if condition.reason == NodeReason.CONTENDED:
        return EventReason.CONTENDED
    if condition.status is ConditionStatus.TRUE:
        return {
            NodeReason.EXTERNAL_WRITER.value: EventReason.DRIFT_DETECTED,
            NodeReason.NEAR_LIMIT.value: EventReason.PRESSURE,
            NodeReason.TABLE_FULL.value: EventReason.TABLE_FULL,
        }.get(condition.reason)
    quiet = (NodeReason.PENDING, NodeReason.ON_HOLD)
    refused = condition.type == "Ready" and condition.reason not in quiet
    failed = condition.status is ConditionStatus.FALSE and refused
    return EventReason.APPLY_FAILED if failed else None


def event_object(event: Event, now: datetime) -> Json:
    """
    Write an event as the API server wants it.

    It lies in the namespace ``default``, where the events of objects without one have
    to be, and names no namespace of the object, or ``kubectl describe`` would not find
    it.
    """
    time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{event.name}.", "namespace": "default"},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": event.kind,
            "name": event.name,
            "uid": event.uid,
        },
        "type": event.type,
        "reason": event.reason.value,
        "message": event.message,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }
