"""
What a node may be told, and how its object is found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conntrack_api import API_VERSION

if TYPE_CHECKING:
    from typing import Any

    from tests.apiserver.conftest import Api

pytestmark = pytest.mark.apiserver

OPERATOR = "conntrack-operator"


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


def test_the_uid_of_the_node_never_changes(api: Api) -> None:
    """
    A node that was registered anew gets a new object, not this one.
    """
    name = "same-name"
    api.apply(f"conntracknodes/{name}", node(name), OPERATOR)

    answer = api.apply(f"conntracknodes/{name}", node(name, nodeUID="9"), OPERATOR)

    assert 422 == answer.code
    assert "spec.nodeUID" in answer.message
    assert "never changes: delete the object" in answer.message


def test_the_epoch_never_goes_down(api: Api) -> None:
    """
    What a newer operator wrote, one that comes back late cannot overwrite.
    """
    path, name = "conntracknodes/fenced", "fenced"
    api.apply(path, node(name, epoch=5), OPERATOR)

    for body in (node(name, epoch=4, mode="Observe"), node(name, mode="Observe")):
        answer = api.apply(path, body, OPERATOR)
        assert 422 == answer.code
        assert "spec.epoch" in answer.message
    assert 200 == api.apply(path, node(name, epoch=5, mode="Observe"), OPERATOR).code
    assert 200 == api.apply(path, node(name, epoch=6), OPERATOR).code


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"nf_conntrack_max": 0}, "1024"),
        ({"nf_conntrack_tcp_timeout_established": 0}, "1"),
        ({"nf_conntrack_udp_timeout": 2_147_484}, "2147483"),
        ({"nf_conntrack_made_up": 1}, "unknown field"),
        (
            {"nf_conntrack_max": 8193, "nf_conntrack_buckets": 1024},
            "at most 8 x nf_conntrack_buckets",
        ),
    ],
)
def test_a_node_cannot_be_told_a_harmful_number(
    settings: dict[str, int], words: str, api: Api
) -> None:
    """
    The bounds of a policy hold for what the operator computes, too.
    """
    body = node("harmful", settings=settings)

    answer = api.send("POST", "conntracknodes", body, dryRun="All")

    assert 400 <= answer.code < 500
    assert "spec.settings" in answer.message
    assert words in answer.message


def test_nodes_can_be_listed_by_policy(api: Api) -> None:
    """
    The name of the policy is a selectable field.
    """
    for name in ("selected", "not-selected"):
        api.apply(f"conntracknodes/{name}", node(name), OPERATOR)

    answer = api.send(
        "GET", "conntracknodes", fieldSelector="spec.policyRef.name=selected"
    )

    assert ["selected"] == [each["metadata"]["name"] for each in answer.body["items"]]
