"""
ConntrackPolicy: what a person asks for a set of nodes.

Values only. Reading one from YAML or JSON is `codec`'s work, deciding what it means
for a node is the operator's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Final

from conntrack_api.bounds import LABEL_KEY, LABEL_VALUE, Items, Range, Text
from conntrack_api.conditions import Condition
from conntrack_api.errors import Problem
from conntrack_api.flags import Flags
from conntrack_api.rollout import Rollout
from conntrack_api.settings import (
    MAX_BUCKETS,
    MAX_ENTRIES,
    MAX_ENTRIES_PER_BUCKET,
    MIN_BUCKETS,
    MIN_ENTRIES,
)
from conntrack_api.sizing import Sizing, problems

KIND: Final = "ConntrackPolicy"
PLURAL: Final = "conntrackpolicies"

DEFAULT_ENTRIES_PER_BUCKET: Final = 4
"""
Used when a policy gives neither ``buckets`` nor ``entriesPerBucket``.

kube-proxy's ratio, and the kernel's own up to 5.10.
"""

DEFAULT_STALL: Final = 200
"""Milliseconds for which a resize may stop packets."""

MAX_STALL: Final = 60_000
"""Milliseconds; longer than the largest table takes."""


class Mode(StrEnum):
    """Whether the agents write."""

    ENFORCE = "Enforce"
    OBSERVE = "Observe"


class Adjust(StrEnum):
    """In which direction the table's size may move."""

    EXACT = "Exact"
    RAISE_ONLY = "RaiseOnly"


class OnRemoval(StrEnum):
    """What happens to a node's values when the policy lets go of it."""

    KEEP = "Keep"
    REVERT = "Revert"


class Operator(StrEnum):
    """How a requirement compares (Kubernetes LabelSelector)."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One ``matchExpressions`` entry of a LabelSelector."""

    key: Annotated[str, LABEL_KEY]
    operator: Operator
    values: Annotated[tuple[Annotated[str, LABEL_VALUE], ...], Items(64)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSelector:
    """Which nodes; empty is every Linux node."""

    match_labels: Annotated[
        Mapping[Annotated[str, LABEL_KEY], Annotated[str, LABEL_VALUE]], Items(32)
    ] = field(default_factory=dict)
    match_expressions: Annotated[tuple[Requirement, ...], Items(32)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSize:
    """The size of the table, and how it may move."""

    max_entries: Annotated[int, Range(MIN_ENTRIES, MAX_ENTRIES)] | None = None
    sizing: Sizing | None = None
    """Instead of `max_entries`: a size for each node."""
    entries_per_bucket: Annotated[int, Range(1, MAX_ENTRIES_PER_BUCKET)] | None = None
    buckets: Annotated[int, Range(MIN_BUCKETS, MAX_BUCKETS)] | None = None
    adjust: Adjust = Adjust.EXACT
    max_stall_milliseconds: Annotated[int, Range(1, MAX_STALL)] = DEFAULT_STALL


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """From which fill on a node reports ConntrackPressure, in percent."""

    warn_percent: Annotated[int, Range(1, 99)] = 80
    critical_percent: Annotated[int, Range(2, 100)] = 95


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    """What is asked."""

    node_selector: LabelSelector
    priority: Annotated[int, Range(-1000, 1000)] = 0
    mode: Mode = Mode.ENFORCE
    table: TableSize | None = None
    timeouts: Mapping[str, int] = field(default_factory=dict)
    """Kernel name to seconds; a timeout that is not here is left alone."""
    flags: Flags | None = None
    pressure: Pressure = field(default_factory=Pressure)
    rollout: Rollout = field(default_factory=Rollout)
    on_removal: OnRemoval = OnRemoval.KEEP

    def problems(self) -> tuple[Problem, ...]:
        """
        Check what one field alone cannot tell: the CRD's CEL rules, in Python.

        Returns:
            One problem for each broken rule, in the order of the fields.
        """
        found: list[Problem] = []
        for index, each in enumerate(self.node_selector.match_expressions):
            wants_values = each.operator in (Operator.IN, Operator.NOT_IN)
            if wants_values != bool(each.values):
                found.append(
                    Problem(
                        field=f"spec.nodeSelector.matchExpressions[{index}].values",
                        value=list(each.values),
                        allowed="given for In and NotIn, and only for those",
                    )
                )
        table = self.table
        if table:
            found += problems(table.max_entries, table.buckets, table.sizing)
        if table and table.buckets is not None:
            if table.entries_per_bucket is not None:
                found.append(
                    Problem(
                        field="spec.table.entriesPerBucket",
                        value=table.entries_per_bucket,
                        allowed="left out when `buckets` is given",
                    )
                )
            most = MAX_ENTRIES_PER_BUCKET * table.buckets
            if table.max_entries is not None and table.max_entries > most:
                found.append(
                    Problem(
                        field="spec.table.maxEntries",
                        value=table.max_entries,
                        allowed="at most 8 x `buckets`",
                    )
                )
        if self.pressure.warn_percent >= self.pressure.critical_percent:
            found.append(
                Problem(
                    field="spec.pressure.warnPercent",
                    value=self.pressure.warn_percent,
                    allowed="less than `criticalPercent`",
                )
            )
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCounts:
    """How many nodes are in which state. A node may be failed and pressured."""

    matched: int = 0
    """Governed by this policy."""
    updated: int = 0
    """Have confirmed what the present generation asks."""
    progressing: int = 0
    """Have not answered yet."""
    failed: int = 0
    """Have answered that they cannot."""
    unreachable: int = 0
    """Have not reported for too long; counted nowhere else but in `matched`."""
    pressured: int = 0
    """Report ConntrackPressure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FullNode:
    """One of the fullest nodes."""

    name: Annotated[str, Text(253)]
    entries: int
    max_entries: int
    used_percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemNode:
    """One node that needs a person's eyes."""

    name: Annotated[str, Text(253)]
    reason: Annotated[str, Text(64)]
    message: Annotated[str, Text(512)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemNodes:
    """Some of the nodes that need a person's eyes, and how many there are."""

    total: int = 0
    nodes: Annotated[tuple[ProblemNode, ...], Items(10)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStatus:
    """What was found; a view for people, no stage decides on it."""

    observed_generation: int = -1
    nodes: NodeCounts | None = None
    fullest_percent: int | None = None
    fullest: Annotated[tuple[FullNode, ...], Items(5)] = ()
    problem_nodes: ProblemNodes | None = None
    conditions: Annotated[tuple[Condition, ...], Items(8)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConntrackPolicy:
    """A policy as the API server gave it."""

    name: str
    uid: str
    generation: int
    created: str
    """``creationTimestamp``, RFC 3339; sorts as text."""
    deleting: bool = False
    """A person has deleted it; a finalizer of ours still holds it."""
    finalizers: tuple[str, ...] = ()
    spec: PolicySpec
    status: PolicyStatus = field(default_factory=PolicyStatus)
