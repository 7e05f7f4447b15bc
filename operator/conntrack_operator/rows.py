"""
What the stages hand to each other: slotted rows instead of whole objects.

A fleet has thousands of nodes, so a row keeps what a decision needs and drops the
rest. The three functions at the end read objects of the API server; everything else
is values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from conntrack_api import GROUP
from conntrack_api.codec import (
    node_from_object,
    policy_from_object,
    policy_status_from_object,
)
from conntrack_api.conditions import Condition, NodeCondition, find
from conntrack_api.errors import InvalidObject
from conntrack_api.node import NodeFacts, NodeSpec, TableStatus
from conntrack_api.policy import ConntrackPolicy, OnRemoval
from conntrack_api.policy_status import PolicyStatus
from conntrack_operator.errors import Unavailable

Json = Mapping[str, Any]
"""An object as the API server gives it."""

FINALIZER: Final = f"{GROUP}/revert"
"""On a policy while its ``onRemoval`` is Revert, so that it can keep its word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A Node: who it is and what it is labelled."""

    name: str
    uid: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConntrackNodeRow:
    """A ConntrackNode: what we last told the node, and what it answered."""

    name: str
    uid: str
    generation: int
    resource_version: str
    created: str
    """``creationTimestamp``, RFC 3339."""
    deleting: bool = False
    hold: bool = False
    """A person wants this node to be left alone."""
    spec: NodeSpec | None = None
    """``None``: cannot be read, because a newer operator wrote it. Hands off."""
    observed_generation: int = -1
    applied_revision: str | None = None
    heartbeat: str | None = None
    table: TableStatus | None = None
    peak_entries: int = 0
    """The highest fill that the agent has seen; 0 while it does not say."""
    facts: NodeFacts | None = None
    ready: Condition | None = None
    pressure: Condition | None = None
    drifted: Condition | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """A ConntrackPolicy, also one whose spec cannot be read."""

    name: str
    uid: str
    generation: int
    resource_version: str
    deleting: bool = False
    finalizers: tuple[str, ...] = ()
    status: PolicyStatus = field(default_factory=PolicyStatus)
    policy: ConntrackPolicy | None = None
    """``None``: cannot be read; see `problem`."""
    problem: str = ""

    @property
    def on_removal(self) -> OnRemoval:
        """
        Tell what the policy asks for nodes that it lets go of.

        Of an unreadable policy the finalizer still tells what it asked before.
        """
        if self.policy is not None:
            return self.policy.spec.on_removal
        return OnRemoval.REVERT if FINALIZER in self.finalizers else OnRemoval.KEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """How many of the nodes that a policy selects another one governs."""

    winner: ConntrackPolicy
    nodes: int


def node_row(obj: Json) -> NodeRow:
    """
    Read a Node, or its metadata alone.
    """
    meta = metadata(obj)
    labels = meta.get("labels") or {}
    return NodeRow(name=meta["name"], uid=meta["uid"], labels=labels)


def conntrack_node_row(obj: Json) -> ConntrackNodeRow:
    """
    Read a ConntrackNode; an unreadable spec becomes ``None``.
    """
    meta = metadata(obj)
    created = meta.get("creationTimestamp") or ""
    try:
        node = node_from_object(obj)
    except InvalidObject:
        return ConntrackNodeRow(
            name=meta["name"],
            uid=meta["uid"],
            generation=meta.get("generation", 0),
            resource_version=meta.get("resourceVersion", ""),
            created=created,
            deleting=bool(meta.get("deletionTimestamp")),
        )
    return ConntrackNodeRow(
        name=node.name,
        uid=node.uid,
        generation=node.generation,
        resource_version=node.resource_version,
        created=created,
        deleting=node.deleting,
        hold=node.hold is not None,
        spec=_slim(node.spec),
        observed_generation=node.status.observed_generation,
        applied_revision=node.status.applied_revision,
        heartbeat=node.status.heartbeat,
        table=node.status.table,
        peak_entries=_peak_entries(obj),
        facts=node.status.facts,
        ready=find(node.status.conditions, NodeCondition.READY),
        pressure=find(node.status.conditions, NodeCondition.PRESSURE),
        drifted=find(node.status.conditions, NodeCondition.DRIFTED),
    )


def only_numbers(
    before: ConntrackNodeRow | None, after: ConntrackNodeRow | None
) -> bool:
    """
    Tell whether two rows differ in nothing that anybody waits for.

    Most reports of a fleet are of this kind: a heartbeat, another fill.
    """
    if before is None or after is None:
        return False
    pressure = before.pressure
    if pressure and after.pressure:  # its sentence has the numbers in it
        pressure = replace(pressure, message=after.pressure.message)
    return after == replace(
        before,
        resource_version=after.resource_version,
        heartbeat=after.heartbeat,
        table=after.table,
        peak_entries=after.peak_entries,
        pressure=pressure,
    )


def policy_row(obj: Json) -> PolicyRow:
    """
    Read a ConntrackPolicy; of an unreadable one keep the name and the reason.
    """
    meta = metadata(obj)
    policy: ConntrackPolicy | None = None
    problem = ""
    try:
        policy = policy_from_object(obj)
    except InvalidObject as error:
        problem = str(error)
    return PolicyRow(
        name=meta["name"],
        uid=meta["uid"],
        generation=meta.get("generation", 0),
        resource_version=meta.get("resourceVersion", ""),
        deleting=bool(meta.get("deletionTimestamp")),
        finalizers=tuple(meta.get("finalizers") or ()),
        status=policy.status if policy else policy_status_from_object(obj),
        policy=policy,
        problem=problem,
    )


def is_older(version: str, than: str) -> bool:
    """
    Compare two resource versions; ones that are not numbers are never older.

    Source:
        Kubernetes 1.35, KEP-5504: resource versions are comparable whole numbers;
        with etcd behind the API server they always were.
    """
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)


def _peak_entries(obj: Json) -> int:
    """
    Read the highest fill; an agent that does not tell it has seen none.
    """
    table = (obj.get("status") or {}).get("table") or {}
    peak = table.get("peakEntries")
    return peak if isinstance(peak, int) and peak > 0 else 0


def _slim(spec: NodeSpec) -> NodeSpec:
    """
    Let nodes with the same settings share them: 15,000 copies are 40 MiB.
    """
    return replace(spec, settings=_shared(tuple(spec.settings.items())))


@lru_cache(maxsize=1024)
def _shared(settings: tuple[tuple[str, int], ...]) -> Mapping[str, int]:
    """
    Give the one mapping with this content.
    """
    return dict(settings)


def metadata(obj: Json) -> Json:
    """
    Give an object's metadata.

    Raises:
        Unavailable: There is no name or no UID, so this came from something else
            than an API server.
    """
    meta = obj.get("metadata")
    if isinstance(meta, Mapping) and meta.get("name") and meta.get("uid"):
        return meta
    raise Unavailable("an object in the answer has no name or no UID")
