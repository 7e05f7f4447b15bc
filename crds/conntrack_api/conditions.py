"""
Conditions: their types, their reasons, and when a transition time moves.

The lists are closed. A reason that is not here does not exist, in the code, in the
documentation or in an event.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class ConditionStatus(StrEnum):
    """The three answers of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class PolicyCondition(StrEnum):
    """Condition types of a ConntrackPolicy."""

    READY = "Ready"
    """True: every matched node has what the policy asks."""

    ACCEPTED = "Accepted"
    """True: the policy is understood and no other policy takes nodes from it."""

    RECONCILING = "Reconciling"
    """Present only while True: nodes are changing (kstatus)."""

    STALLED = "Stalled"
    """Present only while True: it will not get better by itself (kstatus)."""


class PolicyReason(StrEnum):
    """Reasons of a ConntrackPolicy's conditions."""

    ALL_NODES_UP_TO_DATE = "AllNodesUpToDate"
    NO_NODES_MATCHED = "NoNodesMatched"
    ROLLING_OUT = "RollingOut"
    PAUSED = "Paused"
    NODES_FAILED = "NodesFailed"
    ACCEPTED = "Accepted"
    CONFLICT = "Conflict"
    INVALID_SELECTOR = "InvalidSelector"
    CONFLICTING = "Conflicting"


class NodeCondition(StrEnum):
    """Condition types of a ConntrackNode."""

    READY = "Ready"
    """True: the kernel has what the spec says, or the mode is Observe."""

    PRESSURE = "ConntrackPressure"
    """True is bad: the table is close to its limit."""

    DRIFTED = "Drifted"
    """True is bad: somebody else changed a value that we own."""


class NodeReason(StrEnum):
    """Reasons of a ConntrackNode's conditions."""

    APPLIED = "Applied"
    OBSERVING = "Observing"
    REVERTED = "Reverted"
    PENDING = "Pending"
    WRITE_REFUSED = "WriteRefused"
    UNSUPPORTED = "Unsupported"
    NOT_IN_INITIAL_NAMESPACE = "NotInInitialNamespace"
    NOT_LOADED = "NotLoaded"
    WOULD_DROP = "WouldDrop"
    NOT_ENOUGH_MEMORY = "NotEnoughMemory"
    ROLLED_BACK = "RolledBack"
    ON_HOLD = "OnHold"
    CONTENDED = "Contended"
    JOURNAL_UNAVAILABLE = "JournalUnavailable"
    BELOW_THRESHOLD = "BelowThreshold"
    NEAR_LIMIT = "NearLimit"
    TABLE_FULL = "TableFull"
    DROPPING_PACKETS = "DroppingPackets"
    UNLIMITED = "Unlimited"
    NO_DRIFT = "NoDrift"
    EXTERNAL_WRITER = "ExternalWriter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One entry of ``status.conditions``."""

    type: str
    """A `PolicyCondition` or `NodeCondition`."""

    status: ConditionStatus
    """The answer."""

    reason: str
    """A `PolicyReason` or `NodeReason`."""

    message: str
    """A sentence for people, with the numbers."""

    observed_generation: int
    """The ``metadata.generation`` this answer speaks of."""

    last_transition_time: str = ""
    """RFC 3339, whole seconds, UTC; empty until `with_transitions` fills it."""


def with_transitions(
    new: Iterable[Condition], old: Iterable[Condition], now: str
) -> tuple[Condition, ...]:
    """
    Fill in the transition times of freshly computed conditions.

    Args:
        new: The conditions as computed now, without times.
        old: The conditions as last written, in any order.
        now: The present time, RFC 3339.

    Returns:
        The new conditions in their order. A time moves only when ``status`` did.

    Source:
        Kubernetes API conventions, "Typical status properties".
    """
    before = {condition.type: condition for condition in old}
    result = []
    for condition in new:
        previous = before.get(condition.type)
        same = previous is not None and previous.status == condition.status
        since = previous.last_transition_time if previous and same else now
        result.append(replace(condition, last_transition_time=since or now))
    return tuple(result)


def find(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """
    Look a condition up by its type; ``None`` when nobody has said anything yet.
    """
    return next((each for each in conditions if each.type == type_), None)
