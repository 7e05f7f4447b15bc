from dataclasses import replace
from typing import Any

import pytest

from conntrack_api.policy import OnRemoval
from conntrack_operator.errors import Unavailable
from conntrack_operator.plan import wish
from conntrack_operator.rows import (
    FINALIZER,
    conntrack_node_row,
    node_row,
    only_numbers,
    policy_row,
)
from conntrack_operator.testing import answered, conntrack_node, policy

META = {
    "name": "x",
    "uid": "u",
    "generation": 3,
    "resourceVersion": "9",
    "creationTimestamp": "2026-01-01T00:00:00Z",
}
NODE_SPEC = {
    "policyRef": {"name": "default", "uid": "p", "generation": 1},
    "nodeUID": "n",
    "revision": "abc",
    "mode": "Enforce",
    "settings": {"nf_conntrack_max": 65536},
}


def test_node() -> None:
    """Of a Node its name, its UID and its labels are kept."""
    row = node_row({"metadata": {**META, "labels": {"a": "b"}}, "spec": {"x": 1}})

    assert ("x", "u", {"a": "b"}) == (row.name, row.uid, row.labels)
    assert {} == node_row({"metadata": META}).labels


def test_conntrack_node() -> None:
    """Of a ConntrackNode the spec and the answers are kept."""
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Applied",
        "message": "",
        "observedGeneration": 3,
    }
    status = {
        "observedGeneration": 3,
        "appliedRevision": "abc",
        "heartbeat": "2026-01-01T00:00:00Z",
        "conditions": [ready],
    }

    row = conntrack_node_row({"metadata": META, "spec": NODE_SPEC, "status": status})

    assert row.spec is not None
    assert row.ready is not None
    assert {"nf_conntrack_max": 65536} == row.spec.settings
    assert (3, "abc", "Applied") == (
        row.observed_generation,
        row.applied_revision,
        row.ready.reason,
    )
    assert row.pressure is None


def test_settings_are_shared_between_nodes() -> None:
    """A fleet with one policy keeps its settings once."""
    first = conntrack_node_row({"metadata": META, "spec": dict(NODE_SPEC)}).spec
    settings = {"nf_conntrack_max": 65536}
    second = conntrack_node_row(
        {"metadata": META, "spec": {**NODE_SPEC, "settings": settings}}
    ).spec

    assert first is not None
    assert second is not None
    assert first.settings is second.settings


def test_spec_of_a_newer_operator() -> None:
    """A spec that cannot be read leaves a row that says so."""
    spec = {**NODE_SPEC, "mode": "Hover"}

    row = conntrack_node_row({"metadata": META, "spec": spec})

    assert row.spec is None
    assert ("x", "u", "9") == (row.name, row.uid, row.resource_version)


@pytest.mark.parametrize(
    ("spec", "finalizers", "expected"),
    [
        ({"nodeSelector": {}, "onRemoval": "Revert"}, [], OnRemoval.REVERT),
        ({"nodeSelector": {}}, [FINALIZER], OnRemoval.KEEP),
        ({"nodeSelector": 7}, [FINALIZER], OnRemoval.REVERT),
        ({"nodeSelector": 7}, [], OnRemoval.KEEP),
    ],
)
def test_on_removal(
    spec: dict[str, Any], finalizers: list[str], expected: OnRemoval
) -> None:
    """Of a policy that cannot be read, the finalizer tells what it asked before."""
    row = policy_row({"metadata": {**META, "finalizers": finalizers}, "spec": spec})

    assert expected == row.on_removal


def test_unreadable_policy_says_why() -> None:
    """The field and what is allowed there reach the person."""
    row = policy_row({"metadata": META, "spec": {"nodeSelector": 7}})

    assert row.policy is None
    assert "spec.nodeSelector" in row.problem


@pytest.mark.parametrize("obj", [{}, {"metadata": None}, {"metadata": {"name": "x"}}])
def test_object_without_an_identity(obj: dict[str, Any]) -> None:
    """What has no name or UID came from something else than an API server."""
    for read in (node_row, conntrack_node_row, policy_row):
        with pytest.raises(Unavailable):
            read(obj)


def test_only_numbers() -> None:
    """A heartbeat and another fill are only numbers; an answer is not."""
    spec = wish(policy()).numbers
    before = answered(conntrack_node(spec=spec))
    later = replace(
        answered(before, percent=50, heartbeat="2026-01-01T12:05:00Z"),
        resource_version="2",
    )

    assert only_numbers(before, later)
    assert not only_numbers(before, answered(later, pressure=True))
    assert not only_numbers(before, replace(later, generation=2))
    assert not only_numbers(None, before)
    assert not only_numbers(before, None)
