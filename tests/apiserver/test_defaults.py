"""
What the API server fills in, and that the Python types have the same defaults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conntrack_api import API_VERSION
from conntrack_api.codec import node_from_object, policy_from_object, to_object
from conntrack_api.policy import LabelSelector, PolicySpec

if TYPE_CHECKING:
    from typing import Any

    from tests.apiserver.conftest import Answer, Api

pytestmark = pytest.mark.apiserver


def policy(**spec: object) -> dict[str, Any]:
    """
    Make a policy of these fields, and nothing else that is not required.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": "ConntrackPolicy",
        "metadata": {"name": "defaults"},
        "spec": {"nodeSelector": {}, **spec},
    }


def node(**spec: object) -> dict[str, Any]:
    """
    Make a node's object of these fields, and nothing else that is not required.
    """
    required = {
        "policyRef": {"name": "edge", "uid": "1", "generation": 1},
        "nodeUID": "2",
        "revision": "3",
        "mode": "Observe",
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "ConntrackNode",
        "metadata": {"name": "defaults"},
        "spec": {**required, **spec},
    }


def create(api: Api, path: str, body: dict[str, Any]) -> Answer:
    """
    Let the API server complete an object without keeping it.
    """
    answer = api.send("POST", path, body, dryRun="All")
    assert (201, "") == (answer.code, answer.message)
    return answer


def test_a_policy_of_a_selector_gets_the_defaults_that_are_described(api: Api) -> None:
    """
    Everything else has its default; what has none stays absent, to be left alone.
    """
    answer = create(api, "conntrackpolicies", policy())

    expected = {
        "nodeSelector": {},
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
    assert expected == answer.body["spec"]
    assert {"observedGeneration": -1} == answer.body["status"]


def test_a_table_is_made_exactly_unless_told_otherwise(api: Api) -> None:
    """
    ``adjust`` has a default; the two spellings of the ratio have none.
    """
    answer = create(api, "conntrackpolicies", policy(table={"maxEntries": 4096}))

    expected = {
        "maxEntries": 4096,
        "adjust": "Exact",
        "maxStallMilliseconds": 200,
    }
    assert expected == answer.body["spec"]["table"]


def test_one_level_of_pressure_does_not_take_the_other_away(api: Api) -> None:
    """
    Each level has its own default.
    """
    answer = create(api, "conntrackpolicies", policy(pressure={"warnPercent": 60}))

    expected = {"warnPercent": 60, "criticalPercent": 95}
    assert expected == answer.body["spec"]["pressure"]


def test_a_node_gets_the_defaults_that_are_described(api: Api) -> None:
    """
    A node's object without them says the same as with them.
    """
    answer = create(api, "conntracknodes", node())

    assert "Exact" == answer.body["spec"]["adjust"]
    assert 200 == answer.body["spec"]["maxStallMilliseconds"]
    assert "Keep" == answer.body["spec"]["existingEntries"]
    assert {"warnPercent": 80, "criticalPercent": 95} == answer.body["spec"]["pressure"]
    assert "settings" not in answer.body["spec"]
    assert {"observedGeneration": -1} == answer.body["status"]


def test_the_types_have_the_defaults_of_the_schema(api: Api) -> None:
    """
    An object reads the same before and after the API server has completed it.
    """
    asked, told = policy(table={"maxEntries": 4096}), node()
    policy_answer = create(api, "conntrackpolicies", asked)
    node_answer = create(api, "conntracknodes", told)

    read = policy_from_object(policy_answer.body, strict=True)
    assert policy_from_object(asked, strict=True).spec == read.spec
    assert node_from_object(told).spec == node_from_object(node_answer.body).spec


def test_what_the_codec_writes_is_what_the_schema_knows(api: Api) -> None:
    """
    A policy made in Python passes the strict validation of the API server unchanged.
    """
    spec = PolicySpec(
        node_selector=LabelSelector(match_labels={"pool": "edge"}),
        timeouts={"nf_conntrack_tcp_timeout_established": 3600},
    )

    answer = create(api, "conntrackpolicies", policy(**to_object(spec)))

    assert spec == policy_from_object(answer.body, strict=True).spec
