"""
Plan: what one node should be told.

Computes only. `wish` turns a policy into numbers, once; `plan` says what a governed
node should be told; `release` what becomes of one that no policy governs any more.
Whether and when it is written is decided above.
"""

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Final

from conntrack_api.codec import to_object
from conntrack_api.conditions import ConditionStatus, NodeReason
from conntrack_api.node import NodeMode, NodeSpec, PolicyRef
from conntrack_api.policy import ConntrackPolicy, ExistingEntries, Mode, OnRemoval
from conntrack_api.table import DEFAULT_STALL, Adjust, TableSize
from conntrack_operator.rows import ConntrackNodeRow, NodeRow
from conntrack_operator.table import GROWTH, OwnSize, fixed, growth, own

_REVISION_LENGTH: Final = 16
"""Hexadecimal digits: 64 bits, so that two contents never meet in one fleet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a policy asks of every node it governs, but for the node's UID."""

    facts_first: NodeSpec
    """Told to a node that has not yet reported anything about itself."""

    numbers: NodeSpec
    """Told from then on; with sizing, without the table's size."""

    table: TableSize | None = None
    """Where each node has a size of its own: how it is computed."""

    sized: dict[OwnSize, NodeSpec] = field(default_factory=dict)
    """What was computed already: many nodes are of few kinds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """The node should be told this. Nothing is written when it already was."""

    spec: NodeSpec
    final: bool
    """False: the first of two steps, the policy asks for more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revert:
    """The node should be told to bring back its baseline before it is let go."""

    spec: NodeSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """The node's object should go; the kernel keeps what it has."""

    stale: bool = False
    """It belongs to a former Node of this name; collecting it is the cluster's job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing may be done at the moment."""


Plan = Tell | Revert | Delete | Wait
"""What should become of one node's object."""


def wish(policy: ConntrackPolicy) -> Wish:
    """
    Turn a policy into the specs of its nodes, once for all of them.

    In mode Observe the numbers are given too, so that the agent can report what
    would change; the mode says that nothing may be written.
    """
    spec = policy.spec
    table = spec.table
    own = table if table and table.sizing else None
    given = table.max_entries if table else None
    size = fixed(given, table) if table and given is not None else {}
    flags = spec.flags.settings() if spec.flags else {}
    numbers = NodeSpec(
        policy_ref=PolicyRef(
            name=policy.name, uid=policy.uid, generation=policy.generation
        ),
        node_uid="",
        revision="",
        mode=NodeMode.OBSERVE if spec.mode is Mode.OBSERVE else NodeMode.ENFORCE,
        adjust=spec.table.adjust if spec.table else Adjust.EXACT,
        settings={**size, **spec.timeouts, **flags},
        pressure=spec.pressure,
        growth=growth(table, GROWTH * given) if table and given is not None else None,
        soak_seconds=spec.rollout.soak_seconds,
        max_stall_milliseconds=(
            spec.table.max_stall_milliseconds if spec.table else DEFAULT_STALL
        ),
        existing_entries=spec.existing_entries,
    )
    facts_first = replace(numbers, mode=NodeMode.OBSERVE, settings={}, growth=None)
    return Wish(facts_first=_revised(facts_first), numbers=_revised(numbers), table=own)


def plan(asked: Wish, node: NodeRow, current: ConntrackNodeRow | None) -> Plan:
    """
    Say what a governed node should be told.

    Args:
        asked: What its policy asks.
        node: The Node.
        current: Its ConntrackNode; ``None`` when there is none yet.

    Returns:
        `Tell`, or `Delete` for the object of a former Node of the same name, or
        `Wait` while the object is going away or cannot be read.
    """
    if current is not None:
        if current.deleting or current.spec is None:
            return Wait()
        if current.spec.node_uid != node.uid:
            return Delete(stale=True)
    numbers = _for_node(_own_size(asked, current), node, current)
    # A node that was given numbers once keeps getting them: facts that are missing
    # later are an unreadable report, and absence is never a command.
    known = current is not None and (
        current.facts is not None
        or (current.spec is not None and current.spec.settings)
    )
    if known:
        return Tell(spec=numbers, final=True)
    first = _for_node(asked.facts_first, node, current)
    return Tell(spec=first, final=first.revision == numbers.revision)


def release(node: NodeRow, current: ConntrackNodeRow, on_removal: OnRemoval) -> Plan:
    """
    Say how a node is let go that no policy governs any more.

    Args:
        node: The Node.
        current: Its ConntrackNode.
        on_removal: What the policy asked that governed it last.

    Returns:
        `Delete`; with Revert only after the node has confirmed that its baseline is
        back. `Wait` while the object is going away or cannot be read.
    """
    spec = current.spec
    if current.deleting or spec is None:
        return Wait()
    if spec.node_uid != node.uid:
        return Delete(stale=True)
    untouched = current.facts is None and not spec.settings
    if on_removal is OnRemoval.KEEP or untouched or _reverted(current, spec):
        return Delete()
    if spec.mode is NodeMode.REVERT:
        return Revert(spec=spec)
    return Revert(spec=_revised(replace(spec, mode=NodeMode.REVERT)))


def revision(spec: NodeSpec) -> str:
    """
    Hash what the agent acts on, soak, stall and sentences for people left out.

    Returns:
        The same for the same content, on every machine and in every release.
    """
    content = {
        "mode": spec.mode,
        "adjust": spec.adjust,
        "settings": dict(spec.settings),
        "pressure": to_object(spec.pressure),
    }
    if spec.existing_entries is not ExistingEntries.KEEP:
        # Left out otherwise, so that a release that knows the field changes no node.
        content["existingEntries"] = spec.existing_entries
    if spec.growth is not None:
        content["growth"] = to_object(spec.growth)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_REVISION_LENGTH]


def _for_node(
    spec: NodeSpec, node: NodeRow, current: ConntrackNodeRow | None
) -> NodeSpec:
    """
    Complete a spec for one node; what the writer stamped stays as it is.
    """
    told = current.spec if current else None
    return replace(
        spec,
        node_uid=node.uid,
        epoch=told.epoch if told else 0,
        revised_at=told.revised_at if told else None,
    )


def _revised(spec: NodeSpec) -> NodeSpec:
    """
    Give a spec the revision of its content.
    """
    return replace(spec, revision=revision(spec))


def _own_size(asked: Wish, current: ConntrackNodeRow | None) -> NodeSpec:
    """
    Complete the numbers with the size of one node's table.
    """
    if asked.table is None or current is None:
        return asked.numbers
    found = own(asked.table, current)
    if found not in asked.sized:
        settings = {**dict(found.settings), **asked.numbers.settings}
        numbers = replace(
            asked.numbers,
            settings=settings,
            sizing=found.sized,
            growth=found.growth,
        )
        asked.sized[found] = _revised(numbers)
    return asked.sized[found]


def _reverted(current: ConntrackNodeRow, spec: NodeSpec) -> bool:
    """
    Tell whether the node has confirmed, for this very spec, that it reverted.
    """
    return (
        spec.mode is NodeMode.REVERT
        and current.observed_generation == current.generation
        and current.ready is not None
        and current.ready.status is ConditionStatus.TRUE
        and current.ready.reason == NodeReason.REVERTED
    )
