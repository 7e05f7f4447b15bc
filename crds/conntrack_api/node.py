"""
ConntrackNode: what one node is told, and what it answers.

Named exactly like its Node and owned by it. The operator writes the spec, the agent
of that node writes the status.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Final

from conntrack_api.bounds import Items, Range, Text
from conntrack_api.conditions import Condition
from conntrack_api.growth import NodeGrowth
from conntrack_api.policy import ExistingEntries, Pressure
from conntrack_api.sizing import Sized
from conntrack_api.table import DEFAULT_STALL, MAX_STALL, Adjust

KIND: Final = "ConntrackNode"
PLURAL: Final = "conntracknodes"

HOLD: Final = "conntrack.dev/hold"
"""Annotation: a person's reason why this node must be left alone."""

MOST_HOLD: Final = 512
"""Characters of it that are read: an annotation may have 256 KiB."""

MAX_EPOCH: Final = 2_147_483_647
"""Transitions of a Lease are numbers of 32 bits."""


class NodeMode(StrEnum):
    """What the agent shall do."""

    OBSERVE = "Observe"
    """Report; write nothing."""

    ENFORCE = "Enforce"
    """Make the kernel have the settings."""

    REVERT = "Revert"
    """Bring back the baseline, then write nothing more."""


class BucketsPath(StrEnum):
    """How this kernel lets the number of buckets be changed; found by trying."""

    SYSCTL = "Sysctl"
    MODULE_PARAMETER = "ModuleParameter"
    NONE = "None"


class CounterSource(StrEnum):
    """Where the drop counters come from; found by trying."""

    NETLINK = "Netlink"
    PROC_STAT = "ProcStat"
    NONE = "None"
    """This kernel, or our rights, give none: only the fill tells."""


class Capability(StrEnum):
    """What is unlike a usual host; found by looking."""

    NO_MODULE = "NoModule"
    """Connection tracking is not loaded: nothing is tracked yet."""

    LEGACY_NAMES = "LegacyNames"
    """The kernel knows the ``ip_conntrack`` names and no others."""

    NOT_INITIAL_NAMESPACE = "NotInitialNamespace"
    """The size of the table belongs to the host that this node runs in."""

    NO_SYSCTL_BUCKETS = "NoSysctlBuckets"
    """``nf_conntrack_buckets`` cannot be written; see `NodeFacts.buckets_path`."""

    UNLIMITED = "Unlimited"
    """The limit is 0 or less, which this kernel takes for none."""

    NO_KERNEL_LOG = "NoKernelLog"
    """The kernel's log was asked for, and we may not read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRef:
    """The policy that governs this node."""

    name: Annotated[str, Text(253)]
    uid: Annotated[str, Text(64)]
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """What the node is told: numbers only, nothing left to interpret."""

    policy_ref: PolicyRef
    node_uid: Annotated[str, Text(64)]
    """UID of the Node object this was planned for; never changes."""
    revision: Annotated[str, Text(32)]
    """Hash of mode, adjust, settings, pressure, growth; the agent answers with it."""
    mode: NodeMode
    adjust: Adjust = Adjust.EXACT
    settings: Mapping[str, int] = field(default_factory=dict)
    """Kernel name to value, every one within its bounds."""
    pressure: Pressure = field(default_factory=Pressure)
    epoch: Annotated[int, Range(0, MAX_EPOCH)] = 0
    """Of the operator that wrote this; a lower one is never obeyed."""
    sizing: Sized | None = None
    """Why the limit is what it is; for people, no agent reads it."""
    soak_seconds: Annotated[int, Range(0, 3600)] = 0
    """How long the node must be well before a change counts as done."""
    revised_at: str | None = None
    """When the operator first wrote this revision, RFC 3339."""
    max_stall_milliseconds: Annotated[int, Range(1, MAX_STALL)] = DEFAULT_STALL
    existing_entries: ExistingEntries = ExistingEntries.KEEP
    """What becomes of idle entries that outlive the timeouts."""
    growth: NodeGrowth | None = None
    """``None``: the limit in `settings` is the last word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStatus:
    """How full the table is."""

    entries: int
    max_entries: int
    """0: this kernel counts without a limit."""
    buckets: int
    used_percent: int
    """Entries of limit, rounded down; 0 without a limit."""
    peak_entries: int = 0
    """Most entries since the report before, looked at every second."""
    peak_percent: int = 0
    """The same of the limit, rounded down; 0 without a limit."""
    grown_from: int | None = None
    """The limit that was told, while the agent has grown past it; else ``None``."""
    memory_bytes: int = 0
    """What the tables of all namespaces and the buckets take; measured if possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drops:
    """Packets since the agent's first sight of this boot."""

    table: int
    """Dropped since the table was full: all drops but clashes."""
    early: int
    """Entries thrown out to make room."""
    insert_failed: int
    """Entries that could not be added: a clash, or a chain that was too long."""
    chain_too_long: int
    """Dropped without any message, since a bucket's chain was too long."""


class WalkState(StrEnum):
    """How far the walk through the table is."""

    WALKING = "Walking"
    """No walk has ended since the timeouts were set, or the agent started."""

    DONE = "Done"
    """A whole walk has ended, and nothing that it saw was left too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingEntriesStatus:
    """How far the cutting of entries is; counts begin anew with the agent."""

    state: WalkState
    examined: int
    """Entries looked at in the walk under way; when done, in the last whole one."""
    shortened: int
    """Entries cut since the timeouts were set, or the agent started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What the agent found out about the host."""

    kernel: Annotated[str, Text(128)]
    cores: int
    memory_bytes: int
    buckets_path: BucketsPath
    agent: Annotated[str, Text(32)]
    """Version of the agent that reports."""
    counters: CounterSource = CounterSource.NONE
    capabilities: Annotated[tuple[Capability, ...], Items(16)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One setting that is not as asked."""

    setting: Annotated[str, Text(64)]
    reason: Annotated[str, Text(64)]
    message: Annotated[str, Text(512)]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """What the node answers."""

    observed_generation: int = -1
    applied_revision: Annotated[str, Text(32)] | None = None
    """The last revision that the kernel was shown to have."""
    heartbeat: str | None = None
    """When this was written, RFC 3339."""
    table: TableStatus | None = None
    drops: Drops | None = None
    """``None``: there are no counters, see `NodeFacts.counters`."""
    facts: NodeFacts | None = None
    baseline: Mapping[str, int] = field(default_factory=dict)
    """Kernel name to the value found before our first write of it."""
    existing_entries: ExistingEntriesStatus | None = None
    """``None``: no entry is to be cut, or can be; the latter is a failure."""
    baseline_omitted: Annotated[int, Range(1, 64)] | None = None
    """Settings that did not fit into `baseline`; ``None``: all did."""
    failures: Annotated[tuple[Failure, ...], Items(16)] = ()
    conditions: Annotated[tuple[Condition, ...], Items(8)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConntrackNode:
    """A node's object as the API server gave it."""

    name: str
    uid: str
    generation: int
    resource_version: str = ""
    deleting: bool = False
    hold: str | None = None
    """Why nothing may be written on this node; ``None``: it may."""
    spec: NodeSpec
    status: NodeStatus = field(default_factory=NodeStatus)
