"""
The three answers of a node: ready, pressed, drifted.

Computes only. Each message says the numbers; what is wrong alike is said once.
"""

from collections.abc import Iterable
from typing import Final

from conntrack_agent.changes import Findings
from conntrack_agent.observations import Observation
from conntrack_api.conditions import (
    Condition,
    ConditionStatus,
    NodeCondition,
    NodeReason,
    find,
)
from conntrack_api.node import Failure, NodeMode, NodeSpec, NodeStatus
from conntrack_api.settings import NF_CONNTRACK_MAX

HYSTERESIS: Final = 5
"""Points of fill below a level at which that level's pressure is over."""

LONGEST_MESSAGE: Final = 400
"""Characters of a condition, so that a status stays small however much is wrong."""

_FULL: Final = (NodeReason.TABLE_FULL, NodeReason.DROPPING_PACKETS)
_TRUE, _FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE


def ready(spec: NodeSpec, generation: int, found: Findings) -> Condition:
    """
    Answer whether the kernel has what the spec says.
    """

    def answer(status: ConditionStatus, reason: str, message: str) -> Condition:
        return Condition(
            type=NodeCondition.READY,
            status=status,
            reason=reason,
            message=cut(message, LONGEST_MESSAGE),
            observed_generation=generation,
        )

    hard = [each for each in found.failures if each.reason != NodeReason.UNSUPPORTED]
    lacking = [
        each.setting for each in found.failures if each.reason == NodeReason.UNSUPPORTED
    ]
    if spec.mode == NodeMode.OBSERVE:
        waiting = f"; would change {', '.join(found.pending)}" if found.pending else ""
        cannot = f"; could not: {_listed(hard)}" if hard else ""
        return answer(_TRUE, NodeReason.OBSERVING, f"reports only{waiting}{cannot}")
    if stopped := _stopped(found):
        return answer(_FALSE, *stopped)
    if hard:
        return answer(_FALSE, hard[0].reason, f"not as asked: {_listed(hard)}")
    if found.contended and found.drifted:
        message = (
            f"somebody else keeps changing values: {', '.join(found.drifted)}; "
            "corrected 3 times in the last hour, hands off until it is over"
        )
        return answer(_FALSE, NodeReason.CONTENDED, message)
    if found.pending or found.applied_revision != spec.revision:
        waiting = f"waiting for {', '.join(found.pending) or 'the first pass'}"
        soaking = "" if found.pending else found.soaking
        return answer(_FALSE, NodeReason.PENDING, soaking or waiting)
    return answer(_TRUE, *_well(spec, found, lacking))


def _well(spec: NodeSpec, found: Findings, lacking: list[str]) -> tuple[str, str]:
    """
    Say that all is as asked, and what a person should know beside: reason and message.
    """
    beside = ""
    if found.lost:
        beside = (
            f"; an earlier journal cannot be trusted ({found.lost}), so what was found "
            "before it is not known"
        )
    if spec.mode == NodeMode.REVERT:
        message = f"{len(found.baseline)} settings were put back as they were found"
        if not found.baseline:
            message = (
                "nothing was put back: the journal knows of no write since this boot; "
                "where it was lost, what was found before is not known"
            )
        return NodeReason.REVERTED, message + beside
    asked = len(spec.settings)
    without = f"; this kernel has no {', '.join(lacking)}" if lacking else ""
    message = f"{asked - len(lacking)} of {asked} settings are as asked{without}"
    if found.grown_from is not None:
        message += f"; the limit has grown from {found.grown_from} (table.growth)"
    return NodeReason.APPLIED, message + beside


def _stopped(found: Findings) -> tuple[str, str] | None:
    """
    Say what keeps the agent from writing at all: reason and message.
    """
    if found.hold is not None:
        waiting = f"; would change {', '.join(found.pending)}" if found.pending else ""
        message = f"nothing is written: {found.hold or 'no reason was given'}{waiting}"
        return NodeReason.ON_HOLD, message
    if found.journal:
        message = f"nothing is written without a journal: {found.journal}"
        return NodeReason.JOURNAL_UNAVAILABLE, message
    if found.rolled_back:
        return NodeReason.ROLLED_BACK, found.rolled_back
    return None


def pressure(
    spec: NodeSpec,
    generation: int,
    seen: Observation,
    found: Findings,
    last: NodeStatus,
) -> Condition:
    """
    Answer whether the table is close to its limit; with hysteresis.
    """
    load = found.load
    limit = seen.values.get(NF_CONNTRACK_MAX.name)
    used, entries = seen.used_percent, seen.entries
    before = find(last.conditions, NodeCondition.PRESSURE)
    warned = before is not None and before.status == _TRUE
    full = before is not None and before.reason in _FULL
    warn = spec.pressure.warn_percent - (HYSTERESIS if warned else 0)
    critical = spec.pressure.critical_percent - (HYSTERESIS if full else 0)
    status, reason = _FALSE, NodeReason.BELOW_THRESHOLD
    message = f"{entries} of {limit} entries, {used} %"
    if entries is None:
        message = "connection tracking is not loaded on this host"
    elif limit is None:
        message = f"{entries} entries; the limit cannot be read"
    elif limit <= 0:
        reason = NodeReason.UNLIMITED
        message = f"{entries} entries; this kernel counts without a limit"
    elif load.dropping:
        status, reason = _TRUE, NodeReason.DROPPING_PACKETS
        message += f": {load.dropping} packets of new connections were just dropped"
    elif used >= critical:
        status, reason = _TRUE, NodeReason.TABLE_FULL
        message += ": new connections may be dropped at any moment"
    elif used >= warn:
        status, reason = _TRUE, NodeReason.NEAR_LIMIT
        message += f"; the warning level is {spec.pressure.warn_percent} %"
    if found.no_growth:
        message += f"; does not grow (table.growth): {found.no_growth}"
    if load.hint:
        message += f"; a hint: {load.hint}"
    return Condition(
        type=NodeCondition.PRESSURE,
        status=status,
        reason=reason,
        message=message,
        observed_generation=generation,
    )


def drifted(generation: int, found: Findings) -> Condition:
    """
    Answer whether somebody else changed what we had applied.
    """
    has = bool(found.drifted)
    # The writer first: when a sentence has to be cut, the list is what is said twice.
    writer = f" ({found.writer})" if found.writer else ""
    message = f"changed by somebody else{writer}: {', '.join(found.drifted)}"
    return Condition(
        type=NodeCondition.DRIFTED,
        status=_TRUE if has else _FALSE,
        reason=NodeReason.EXTERNAL_WRITER if has else NodeReason.NO_DRIFT,
        message=cut(message, LONGEST_MESSAGE) if has else "as applied",
        observed_generation=generation,
    )


def _listed(failures: Iterable[Failure]) -> str:
    """
    Say what is wrong in one line: what is wrong alike is said once.
    """
    alike: dict[str, list[str]] = {}
    for each in failures:
        alike.setdefault(each.message, []).append(each.setting)
    return "; ".join(
        f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if names[3:] else ''} "
        f"({message})"
        for message, names in alike.items()
    )


def cut(text: str, most: int) -> str:
    """
    Shorten a text, visibly.
    """
    return text if len(text) <= most else f"{text[: most - 3]}..."
