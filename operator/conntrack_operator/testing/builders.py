"""
Builders: rows with everything filled in but what a test is about.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from conntrack_api.conditions import (
    Condition,
    ConditionStatus,
    NodeCondition,
    NodeReason,
)
from conntrack_api.flags import Flags
from conntrack_api.node import (
    BucketsPath,
    NodeFacts,
    NodeMode,
    NodeSpec,
    TableStatus,
)
from conntrack_api.policy import (
    ConntrackPolicy,
    LabelSelector,
    Mode,
    OnRemoval,
    PolicySpec,
    Pressure,
    Requirement,
)
from conntrack_api.rollout import Rollout, Share
from conntrack_api.table import TableSize
from conntrack_operator.rows import ConntrackNodeRow, NodeRow, PolicyRow

NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""The present time of tests."""

CREATED: Final = "2026-01-01T00:00:00Z"
"""When everything was created, unless a test says otherwise."""

FACTS: Final = NodeFacts(
    kernel="6.12.0",
    cores=4,
    memory_bytes=8 * 2**30,
    buckets_path=BucketsPath.SYSCTL,
    agent="0.1.0",
)

MAX_ENTRIES: Final = 131072
"""What a policy asks, unless a test says otherwise."""


AT_ONCE: Final = Rollout(
    max_unavailable=Share(100, percent=True), canaries=0, soak_seconds=0
)
"""How a change reaches the nodes, unless a test says otherwise."""


def stamp(time: datetime) -> str:
    """
    Write a time as the API does.
    """
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def policy(  # noqa: PLR0913 - one for each field that tests vary
    name: str = "default",
    *,
    labels: Mapping[str, str] | None = None,
    expressions: tuple[Requirement, ...] = (),
    priority: int = 0,
    mode: Mode = Mode.ENFORCE,
    table: TableSize | None = TableSize(max_entries=MAX_ENTRIES),  # noqa: B008 - frozen
    timeouts: Mapping[str, int] | None = None,
    flags: Flags | None = None,
    pressure: Pressure = Pressure(),  # noqa: B008 - frozen
    rollout: Rollout = AT_ONCE,
    on_removal: OnRemoval = OnRemoval.KEEP,
    generation: int = 1,
    created: str = CREATED,
    deleting: bool = False,
) -> ConntrackPolicy:
    """
    Make a policy; without arguments it enforces a table size on every Linux node.
    """
    selector = LabelSelector(match_labels=labels or {}, match_expressions=expressions)
    return ConntrackPolicy(
        name=name,
        uid=f"uid-{name}",
        generation=generation,
        created=created,
        deleting=deleting,
        spec=PolicySpec(
            node_selector=selector,
            priority=priority,
            mode=mode,
            table=table,
            timeouts=timeouts or {},
            flags=flags,
            pressure=pressure,
            rollout=rollout,
            on_removal=on_removal,
        ),
    )


def policy_row(of: ConntrackPolicy, *, finalizers: tuple[str, ...] = ()) -> PolicyRow:
    """
    Make a policy's row.
    """
    return PolicyRow(
        name=of.name,
        uid=of.uid,
        generation=of.generation,
        resource_version="1",
        deleting=of.deleting,
        finalizers=finalizers,
        status=of.status,
        policy=of,
    )


def unreadable(
    name: str = "default",
    *,
    deleting: bool = False,
    finalizers: tuple[str, ...] = (),
) -> PolicyRow:
    """
    Make the row of a policy that cannot be read.
    """
    return PolicyRow(
        name=name,
        uid=f"uid-{name}",
        generation=1,
        resource_version="1",
        deleting=deleting,
        finalizers=finalizers,
        problem="spec.nodeSelector: required",
    )


def node(name: str = "n1", *, uid: str | None = None, **labels: str) -> NodeRow:
    """
    Make a Node.
    """
    return NodeRow(name=name, uid=uid or f"uid-{name}", labels=labels)


def conntrack_node(
    name: str = "n1",
    *,
    spec: NodeSpec | None,
    generation: int = 1,
    facts: NodeFacts | None = None,
    created: str = CREATED,
) -> ConntrackNodeRow:
    """
    Make a ConntrackNode whose agent has not answered; see `answered`.
    """
    return ConntrackNodeRow(
        name=name,
        uid=f"uid-of-object-{name}",
        generation=generation,
        resource_version="1",
        created=created,
        spec=spec,
        facts=facts,
    )


def answered(  # noqa: PLR0913 - one for each thing that tests vary
    row: ConntrackNodeRow,
    *,
    ready: bool = True,
    reason: str | None = None,
    percent: int = 10,
    pressure: bool = False,
    heartbeat: str = stamp(NOW),
    message: str = "as the agent says",
) -> ConntrackNodeRow:
    """
    Give the row after its agent has reported on its present spec.
    """
    assert row.spec is not None  # noqa: S101 - agents answer to a spec
    mode = row.spec.mode
    good = {
        NodeMode.OBSERVE: NodeReason.OBSERVING,
        NodeMode.ENFORCE: NodeReason.APPLIED,
        NodeMode.REVERT: NodeReason.REVERTED,
    }[mode]
    wrote = ready and mode is not NodeMode.OBSERVE

    def say(type_: str, why: str, *, true: bool) -> Condition:
        status = ConditionStatus.TRUE if true else ConditionStatus.FALSE
        return Condition(
            type=type_,
            status=status,
            reason=why,
            message=message,
            observed_generation=row.generation,
        )

    level = NodeReason.NEAR_LIMIT if pressure else NodeReason.BELOW_THRESHOLD
    return replace(
        row,
        observed_generation=row.generation,
        applied_revision=row.spec.revision if wrote else row.applied_revision,
        heartbeat=heartbeat,
        facts=FACTS,
        table=TableStatus(
            entries=percent * 1000,
            max_entries=100_000,
            buckets=25_088,
            used_percent=percent,
        ),
        ready=say(NodeCondition.READY, reason or good, true=ready),
        pressure=say(NodeCondition.PRESSURE, level, true=pressure),
    )
