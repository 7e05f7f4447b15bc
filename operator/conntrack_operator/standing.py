"""
Standing: where one node is with what it was told last.

Computes only. `rollout` counts with it, `aggregate` reports it, so that what people
read is what the budget is made of.
"""

from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from conntrack_api.conditions import ConditionStatus, NodeReason
from conntrack_api.node import NodeMode
from conntrack_operator.rows import ConntrackNodeRow

SILENCE: Final = timedelta(minutes=12)
"""Longest time without a report; agents report every 6 minutes at the latest."""


_GOES_ON: Final = (NodeReason.PENDING, NodeReason.ON_HOLD)
"""Answers that are no failure. A hold that is no longer there ends with the next."""


class Standing(IntEnum):
    """Where a node stands, the worst first."""

    FAILED = 0
    UNREACHABLE = 1
    ON_HOLD = 2
    """A person has put it out of everybody's reach, whatever it would answer."""
    CHANGING = 3
    """Has not answered yet, or not been well for long enough."""
    DONE = 4


def standing(row: ConntrackNodeRow, now: datetime) -> Standing:
    """
    Say where a node stands with its present spec, whatever is planned for it.

    A node is done only when its own answer, for exactly what it was told last, says
    so, and has said so for as long as it must soak. In mode Observe nothing is
    applied, so neither an applied revision nor a soak is asked for.

    Args:
        row: Its object; one that cannot be read counts as failed.
        now: The present time, with a time zone.
    """
    if row.spec is None:
        return Standing.FAILED
    if silent(row, now):
        return Standing.UNREACHABLE
    if row.hold:
        return Standing.ON_HOLD
    ready = row.ready
    if ready is None or row.observed_generation != row.generation:
        return Standing.CHANGING
    if ready.status is ConditionStatus.FALSE and ready.reason not in _GOES_ON:
        return Standing.FAILED
    if ready.status is not ConditionStatus.TRUE:
        return Standing.CHANGING
    if row.spec.mode is NodeMode.OBSERVE:
        return Standing.DONE
    has_it = row.applied_revision == row.spec.revision
    return Standing.DONE if has_it and not soak_left(row, now) else Standing.CHANGING


def soak_left(row: ConntrackNodeRow, now: datetime) -> float | None:
    """
    Give the seconds that a node must still stay Ready; ``None``: no more.

    They count from the write of its revision. An agent that had to change something
    watches it for as long and is not Ready before, so this is for those that had not. A
    time in the future, from a clock that is wrong, counts as now.
    """
    spec = row.spec
    since = time(spec.revised_at) if spec else None
    if spec is None or since is None or spec.soak_seconds == 0:
        return None
    left = spec.soak_seconds - max(0.0, (now - since).total_seconds())
    return left if left > 0 else None


def silent(row: ConntrackNodeRow, now: datetime) -> bool:
    """
    Tell whether a node's last report, or its object's creation, is too long ago.
    """
    last = time(row.heartbeat) or time(row.created)
    return last is not None and now - last > SILENCE


def time(text: str | None) -> datetime | None:
    """
    Read an RFC 3339 time; ``None`` for anything else.
    """
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else None
