"""
Two halves of an object with two writers: the spec and the status.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from conntrack_api import API_VERSION
from conntrack_api.codec import node_from_object, to_object
from conntrack_api.conditions import (
    Condition,
    ConditionStatus,
    NodeCondition,
    NodeReason,
)
from conntrack_api.node import (
    BucketsPath,
    Failure,
    NodeFacts,
    NodeStatus,
    TableStatus,
)
from conntrack_api.settings import SETTINGS

if TYPE_CHECKING:
    from typing import Any

    from tests.apiserver.conftest import Answer, Api

pytestmark = pytest.mark.apiserver

OPERATOR, AGENT = "conntrack-operator", "conntrack-agent"
HALTS = "conntrack-operator-halts"
NOW = "2026-01-02T03:04:05Z"


def node(name: str, **spec: object) -> dict[str, Any]:
    """
    Make a node's object as the operator applies it.
    """
    required = {
        "policyRef": {"name": name, "uid": "1", "generation": 1},
        "nodeUID": "2",
        "revision": "3",
        "mode": "Enforce",
        "settings": {"nf_conntrack_max": 4096, "nf_conntrack_buckets": 1024},
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "ConntrackNode",
        "metadata": {"name": name},
        "spec": {**required, **spec},
    }


def answer_of(name: str, status: NodeStatus) -> dict[str, Any]:
    """
    Make a node's object as the agent applies it.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": "ConntrackNode",
        "metadata": {"name": name},
        "status": to_object(status),
    }


def conditions() -> tuple[Condition, ...]:
    """
    Give three answers of usual length, all of them bad.
    """
    said = (
        (
            NodeCondition.READY,
            NodeReason.WRITE_REFUSED,
            "not as asked: nf_conntrack_buckets (the kernel answered EPERM)",
        ),
        (
            NodeCondition.PRESSURE,
            NodeReason.NEAR_LIMIT,
            "870125 of 1048576 entries, 82 %; the warning level is 80 %",
        ),
        (
            NodeCondition.DRIFTED,
            NodeReason.EXTERNAL_WRITER,
            "changed by somebody else: nf_conntrack_max is 131072, not 1048576",
        ),
    )
    return tuple(
        Condition(
            type=type_,
            status=ConditionStatus.FALSE
            if type_ is NodeCondition.READY
            else ConditionStatus.TRUE,
            reason=reason,
            message=message,
            observed_generation=12,
            last_transition_time=NOW,
        )
        for type_, reason, message in said
    )


def full_status(written: int, failures: int) -> NodeStatus:
    """
    Make a status in which every field says something.

    Args:
        written: How many settings the agent has written, and keeps the baseline of.
        failures: How many of them are not as asked.
    """
    names = [each.name for each in SETTINGS]
    return NodeStatus(
        observed_generation=12,
        applied_revision="0123456789abcdef",
        heartbeat=NOW,
        table=TableStatus(
            entries=870_125, max_entries=1_048_576, buckets=262_144, used_percent=82
        ),
        facts=NodeFacts(
            kernel="6.8.0-45-generic",
            cores=64,
            memory_bytes=274_877_906_944,
            buckets_path=BucketsPath.MODULE_PARAMETER,
            agent="0.1.0",
        ),
        baseline=dict.fromkeys(names[:written], 262_144),
        failures=tuple(
            Failure(
                setting=name,
                reason=NodeReason.WRITE_REFUSED,
                message="wanted 262144, the kernel answered EPERM and has 65536",
            )
            for name in names[:failures]
        ),
        conditions=conditions(),
    )


def test_a_status_given_at_creation_is_ignored(api: Api) -> None:
    """
    Who may create an object may not speak for the agent.
    """
    body = node("forged") | {"status": {"observedGeneration": 7}}

    answer = api.send("POST", "conntracknodes", body, dryRun="All")

    assert {"observedGeneration": -1} == answer.body["status"]


def test_two_managers_never_meet(api: Api) -> None:
    """
    The operator applies the spec, the agent the status; none needs force.

    Neither touches the other's half, and a repeated status is no new generation.
    """
    name = "two-managers"
    status = full_status(written=4, failures=1)
    codes = []
    for limit in (4096, 8192):
        settings = {"nf_conntrack_max": limit}
        told = api.apply(
            f"conntracknodes/{name}", node(name, settings=settings), OPERATOR
        )
        said = api.apply(
            f"conntracknodes/{name}/status", answer_of(name, status), AGENT
        )
        codes += [told.code, said.code]

    fields = said.body["metadata"]["managedFields"]
    assert [201, 200, 200, 200] == codes
    assert {(OPERATOR, ""), (AGENT, "status")} == {
        (each["manager"], each.get("subresource", "")) for each in fields
    }
    assert {"nf_conntrack_max": 8192} == said.body["spec"]["settings"]
    assert status == node_from_object(said.body).status
    assert 2 == said.body["metadata"]["generation"]


def test_what_was_full_may_be_empty(api: Api) -> None:
    """
    An agent that lost its journal has no baseline, a healthy node no failures, and a
    policy that only looks no settings: the API server takes that after the contrary.
    """
    name = "full-then-empty"
    empty = NodeStatus(observed_generation=13)
    api.apply(f"conntracknodes/{name}", node(name), OPERATOR)
    path = f"conntracknodes/{name}/status"
    api.apply(path, answer_of(name, full_status(written=4, failures=2)), AGENT)

    said = api.apply(path, answer_of(name, empty), AGENT)
    told = api.apply(f"conntracknodes/{name}", node(name, settings={}), OPERATOR)

    assert (200, 200) == (said.code, told.code), said.message + told.message
    assert empty == node_from_object(told.body).status
    assert {} == told.body["spec"]["settings"]


def test_a_third_manager_is_told_who_owns_the_field(api: Api) -> None:
    """
    Somebody who applies another mode gets a conflict that names the operator.
    """
    name = "third-manager"
    api.apply(f"conntracknodes/{name}", node(name), OPERATOR)

    answer = api.apply(f"conntracknodes/{name}", node(name, mode="Observe"), "person")

    assert 409 == answer.code
    assert OPERATOR in answer.message
    assert ".spec.mode" in answer.message


def test_a_status_is_not_bound_to_a_uid(api: Api) -> None:
    """
    The API server overlooks the UID in a status: what an agent says of an object that
    is gone stands in the one that was made anew, until it has answered that one.
    """
    name = "made-anew"
    path = f"conntracknodes/{name}"
    former = api.apply(path, node(name), OPERATOR).body["metadata"]["uid"]
    api.send("DELETE", path)
    api.apply(path, node(name, revision="4"), OPERATOR)

    def says(uid: str, **status: object) -> Answer:
        body = answer_of(name, NodeStatus(observed_generation=1)) | {"status": status}
        body["metadata"] |= {"uid": uid}
        return api.apply(path + "/status", body, AGENT)

    late = says(former, observedGeneration=1, appliedRevision="3")
    own = late.body["metadata"]["uid"]
    corrected = says(own, observedGeneration=1, appliedRevision="4")

    assert (200, 200) == (late.code, corrected.code), late.message
    assert own != former
    assert "3" == late.body["status"]["appliedRevision"]
    assert "4" == corrected.body["status"]["appliedRevision"]


def test_no_status_takes_a_halt_away(api: Api) -> None:
    """
    The halt has an owner of its own: what is said later leaves it, and it never sinks.
    """
    name = "halted"
    kind = {"apiVersion": API_VERSION, "kind": "ConntrackPolicy"}
    meta = {"metadata": {"name": name}}
    spec = {"spec": {"nodeSelector": {}, "mode": "Observe"}}
    api.apply(f"conntrackpolicies/{name}", kind | meta | spec, "person")
    path = f"conntrackpolicies/{name}/status"

    def says(owner: str, **status: int) -> Answer:
        return api.apply(path, kind | meta | {"status": status}, owner)

    says(OPERATOR, observedGeneration=2)
    first = says(HALTS, haltedGeneration=2)
    later = says(OPERATOR, observedGeneration=3)
    lower = says(HALTS, haltedGeneration=1)
    higher = says(HALTS, haltedGeneration=3)

    assert (200, 200, 422, 200) == (first.code, later.code, lower.code, higher.code)
    assert 2 == later.body["status"]["haltedGeneration"]
    assert "status.haltedGeneration never goes down" in lower.message
    expected = {"observedGeneration": 3, "haltedGeneration": 3}
    assert expected == higher.body["status"]


def test_the_status_path_cannot_change_the_spec(api: Api) -> None:
    """
    An agent that sends a spec with its status changes nothing but the status.
    """
    name = "status-only"
    api.apply(f"conntracknodes/{name}", node(name), OPERATOR)
    patch = {"spec": {"mode": "Observe"}, "status": {"observedGeneration": 1}}

    answer = api.send(
        "PATCH",
        f"conntracknodes/{name}/status",
        patch,
        content="application/merge-patch+json",
    )

    assert 200 == answer.code
    assert "Enforce" == answer.body["spec"]["mode"]
    assert 1 == answer.body["status"]["observedGeneration"]
    assert 1 == answer.body["metadata"]["generation"]


def test_a_usual_status_is_small(api: Api) -> None:
    """
    With every field in use it stays below 2 KiB, as it goes over the wire.
    """
    name = "usual-status"
    api.apply(f"conntracknodes/{name}", node(name), OPERATOR)
    status = full_status(written=12, failures=1)

    answer = api.apply(f"conntracknodes/{name}/status", answer_of(name, status), AGENT)

    assert (200, "") == (answer.code, answer.message)
    assert status == node_from_object(answer.body).status
    assert len(json.dumps(to_object(status))) < 2048


def test_the_largest_status_is_accepted(api: Api) -> None:
    """
    A node on which every setting was written and most failed can still say so.
    """
    name = "largest-status"
    api.apply(f"conntracknodes/{name}", node(name), OPERATOR)
    status = full_status(written=len(SETTINGS), failures=16)

    answer = api.apply(f"conntracknodes/{name}/status", answer_of(name, status), AGENT)

    assert (200, "") == (answer.code, answer.message)
    assert status == node_from_object(answer.body).status
