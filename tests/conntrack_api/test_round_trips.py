"""
Objects to dataclasses and back.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from conntrack_api import API_VERSION
from conntrack_api.codec import (
    node_from_object,
    policy_from_object,
    to_object,
)
from conntrack_api.conditions import Condition
from conntrack_api.errors import InvalidObject
from conntrack_api.flags import Events, Flags, LogInvalid, Switch
from conntrack_api.node import (
    ConntrackNode,
    ExistingEntriesStatus,
    Failure,
    NodeFacts,
    NodeMode,
    NodeSpec,
    NodeStatus,
    PolicyRef,
    WalkState,
)
from conntrack_api.policy import (
    ConntrackPolicy,
    ExistingEntries,
    LabelSelector,
    Operator,
    PolicySpec,
    Pressure,
    Requirement,
)
from conntrack_api.policy_status import PolicyStatus
from conntrack_api.settings import SETTINGS, TIMEOUTS
from conntrack_api.table import TableSize

if TYPE_CHECKING:
    from collections.abc import Callable

labels = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,8}[a-z0-9])?", fullmatch=True)
keys = st.builds("{}/{}".format, labels, labels) | labels
whole = st.integers(0, 2**40)

requirements = st.builds(
    Requirement,
    key=keys,
    operator=st.sampled_from([Operator.IN, Operator.NOT_IN]),
    values=st.lists(labels, min_size=1, max_size=3).map(tuple),
) | st.builds(
    Requirement,
    key=keys,
    operator=st.sampled_from([Operator.EXISTS, Operator.DOES_NOT_EXIST]),
    values=st.just(()),
)

selectors = st.builds(
    LabelSelector,
    match_labels=st.dictionaries(keys, labels, max_size=3),
    match_expressions=st.lists(requirements, max_size=3).map(tuple),
)

tables = st.builds(
    TableSize,
    max_entries=st.integers(1024, 4096),
    buckets=st.integers(512, 268_435_456),
    entries_per_bucket=st.none(),
) | st.builds(
    TableSize,
    max_entries=st.integers(1024, 2_147_483_647),
    buckets=st.none(),
    entries_per_bucket=st.none() | st.integers(1, 8),
)

pressures = st.builds(
    Pressure,
    warn_percent=st.integers(1, 50),
    critical_percent=st.integers(51, 100),
)

flags = st.builds(
    Flags,
    tcp_loose=st.none() | st.sampled_from(Switch),
    tcp_max_retrans=st.none() | st.integers(0, 255),
    log_invalid=st.none() | st.sampled_from(LogInvalid),
    events=st.none() | st.sampled_from(Events),
)

specs = st.builds(
    PolicySpec,
    node_selector=selectors,
    priority=st.integers(-1000, 1000),
    table=st.none() | tables,
    timeouts=st.dictionaries(
        st.sampled_from([row.name for row in TIMEOUTS]), st.integers(1, 2_147_483)
    ),
    flags=st.none() | flags,
    existing_entries=st.sampled_from(ExistingEntries),
    pressure=pressures,
)

times = st.just("2026-01-02T03:04:05Z")
conditions = st.lists(st.builds(Condition, last_transition_time=times), max_size=3)

policy_statuses = st.builds(PolicyStatus, conditions=conditions.map(tuple))

policies = st.builds(
    ConntrackPolicy,
    name=labels,
    created=times,
    finalizers=st.lists(labels, max_size=2).map(tuple),
    spec=specs,
    status=policy_statuses,
)

words = st.text(max_size=32)

node_specs = st.builds(
    NodeSpec,
    policy_ref=st.builds(PolicyRef, name=words, uid=words),
    node_uid=words,
    revision=words,
    settings=st.fixed_dictionaries(
        {},
        optional={row.name: st.integers(row.minimum, row.maximum) for row in SETTINGS},
    ),
    pressure=pressures,
    existing_entries=st.sampled_from(ExistingEntries),
)

walks = st.sampled_from(WalkState)

failures = st.lists(
    st.builds(Failure, setting=words, reason=words, message=words), max_size=3
)

nodes = st.builds(
    ConntrackNode,
    name=labels,
    spec=node_specs,
    status=st.builds(
        NodeStatus,
        applied_revision=st.none() | words,
        facts=st.none() | st.builds(NodeFacts, kernel=words, agent=words),
        existing_entries=st.none() | st.builds(ExistingEntriesStatus, state=walks),
        failures=failures.map(tuple),
        baseline=st.dictionaries(labels, whole, max_size=3),
        conditions=conditions.map(tuple),
    ),
)

text = st.text(max_size=9)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "nodeSelector",
                    "matchLabels",
                    "table",
                    "timeouts",
                    "flags",
                    "events",
                    "tcp",
                    "settings",
                    "a",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def as_object(value: ConntrackPolicy | ConntrackNode) -> dict[str, Any]:
    """
    Make the object that the API server would give for a value.
    """
    meta: dict[str, Any] = {
        "name": value.name,
        "uid": value.uid,
        "generation": value.generation,
    }
    if value.deleting:
        meta["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    if isinstance(value, ConntrackPolicy):
        meta["creationTimestamp"] = value.created
        meta["finalizers"] = list(value.finalizers)
    else:
        meta["resourceVersion"] = value.resource_version
    kind = type(value).__name__
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": meta,
        "spec": to_object(value.spec),
        "status": to_object(value.status),
    }


@given(policies)
def test_a_policy_comes_back_as_it_was(policy: ConntrackPolicy) -> None:
    """
    Encoding loses nothing that decoding wants, in either mode.
    """
    obj = as_object(policy)

    assert policy == policy_from_object(obj, strict=True)
    assert policy == policy_from_object(obj)


@given(nodes)
def test_a_node_comes_back_as_it_was(node: ConntrackNode) -> None:
    """
    What the operator tells and what the agent answers survive the journey.
    """
    assert node == node_from_object(as_object(node))


@given(anything)
def test_no_content_makes_the_codec_fail_in_another_way(junk: object) -> None:
    """
    Whatever comes in, the answer is a value or a list of problems.
    """
    obj = {"spec": junk, "status": junk, "metadata": {}}
    readers: tuple[Callable[[], object], ...] = (
        lambda: policy_from_object(obj),
        lambda: policy_from_object(obj, strict=True),
        lambda: node_from_object(obj),
    )
    for read in readers:
        with suppress(InvalidObject):
            read()


def test_what_is_none_is_left_out() -> None:
    """
    The API server knows absence, not null.
    """
    spec = PolicySpec(node_selector=LabelSelector())

    expected = {
        "nodeSelector": {"matchLabels": {}, "matchExpressions": []},
        "priority": 0,
        "mode": "Enforce",
        "pressure": {"warnPercent": 80, "criticalPercent": 95},
        "rollout": {
            "maxUnavailable": "10%",
            "canaries": 1,
            "soakSeconds": 0,
            "maxFailures": 1,
        },
        "existingEntries": "Keep",
        "onRemoval": "Keep",
    }
    assert expected == to_object(spec)


def test_names_are_in_camel_case_and_uid_in_capitals() -> None:
    """
    ``node_uid`` is ``nodeUID``, as Kubernetes spells it, and ``uid`` alone stays small.
    """
    ref = PolicyRef(name="edge", uid="1", generation=2)
    spec = NodeSpec(policy_ref=ref, node_uid="3", revision="4", mode=NodeMode.OBSERVE)

    found = to_object(spec)

    assert {"name": "edge", "uid": "1", "generation": 2} == found["policyRef"]
    assert "3" == found["nodeUID"]


@given(specs)
def test_a_rule_between_fields_is_about_nothing_else(spec: PolicySpec) -> None:
    """
    What the generators make keeps every rule, and one broken rule is one problem.
    """
    broken = replace(spec, pressure=Pressure(warn_percent=90, critical_percent=90))

    assert () == spec.problems()
    assert ["spec.pressure.warnPercent"] == [each.field for each in broken.problems()]


def test_a_hold_is_read_from_its_annotation() -> None:
    """
    The reason is a person's text; without the annotation there is no hold.
    """
    spec = NodeSpec(
        policy_ref=PolicyRef(name="web", uid="u", generation=1),
        node_uid="n",
        revision="r",
        mode=NodeMode.ENFORCE,
    )

    def hold(**metadata: object) -> str | None:
        return node_from_object({"metadata": metadata, "spec": to_object(spec)}).hold

    assert hold(name="n1", uid="u") is None
    assert hold(annotations=None) is None
    assert hold(annotations=["conntrack.dev/hold"]) is None
    assert "tcpdump" == hold(annotations={"conntrack.dev/hold": "tcpdump"})
    assert "" == hold(annotations={"conntrack.dev/hold": ""})
    assert "5" == hold(annotations={"conntrack.dev/hold": 5})
    assert "red [31m two" == hold(
        annotations={"conntrack.dev/hold": "red\x1b[31m\ntwo"}
    )
