"""
ConntrackPolicy: what a person asks for a set of nodes.

Values only. Reading one from YAML or JSON is `codec`'s work, deciding what it means
for a node is the operator's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Final

from conntrack_api.bounds import LABEL_KEY, LABEL_VALUE, Items, Range
from conntrack_api.errors import Problem
from conntrack_api.flags import Flags
from conntrack_api.policy_status import PolicyStatus
from conntrack_api.rollout import Rollout
from conntrack_api.table import TableSize

KIND: Final = "ConntrackPolicy"
PLURAL: Final = "conntrackpolicies"


class Mode(StrEnum):
    """Whether the agents write."""

    ENFORCE = "Enforce"
    OBSERVE = "Observe"


class ExistingEntries(StrEnum):
    """What becomes of idle entries that outlive a shortened timeout."""

    KEEP = "Keep"
    CLAMP = "Clamp"


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
    existing_entries: ExistingEntries = ExistingEntries.KEEP
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
        found += self.table.problems() if self.table else ()
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
