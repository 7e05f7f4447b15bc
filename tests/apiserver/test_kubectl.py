"""
What a person sees with kubectl. Each command takes a tenth of a second: few of them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from conntrack_api import API_VERSION
from conntrack_api.settings import TIMEOUTS

if TYPE_CHECKING:
    from tests.apiserver.conftest import Api

    from control_plane import ControlPlane

pytestmark = pytest.mark.apiserver

NAME = "seen-with-kubectl"

POLICY_COLUMNS = ["NAME", "READY", "NODES", "UPDATED", "FAILED", "FULLEST%", "AGE"]
POLICY_WIDE = ["MODE", "PRESSURE", "UNREACHABLE", "REASON", "MESSAGE"]
NODE_COLUMNS = ["NAME", "POLICY", "READY", "ENTRIES", "MAX", "USED%", "AGE"]
NODE_WIDE = [
    "MODE",
    "BUCKETS",
    "PEAK%",
    "DROPS",
    "PRESSURE",
    "DRIFTED",
    "KERNEL",
    "AGENT",
    "REASON",
]


def condition(type_: str, status: str, reason: str, generation: int) -> dict[str, Any]:
    """
    Make one condition.
    """
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": "3-of-3-nodes",
        "observedGeneration": generation,
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }


def ready(api: Api, generation: int) -> int:
    """
    Say as the operator that the policy is ready, as of some generation.

    Returns:
        The policy's own generation.
    """
    others = ("progressing", "failed", "unreachable", "onHold", "grown")
    counts = dict.fromkeys(others, 0)
    status = {
        "observedGeneration": generation,
        "nodes": counts | {"matched": 3, "updated": 3, "pressured": 1},
        "fullestPercent": 42,
        "conditions": [condition("Ready", "True", "AllNodesUpToDate", generation)],
    }
    body = {
        "apiVersion": API_VERSION,
        "kind": "ConntrackPolicy",
        "metadata": {"name": NAME},
        "status": status,
    }
    answer = api.apply(f"conntrackpolicies/{NAME}/status", body, "conntrack-operator")
    assert (200, "") == (answer.code, answer.message)
    return int(answer.body["metadata"]["generation"])


def discover(control_plane: ControlPlane) -> None:
    """
    Make kubectl look again which kinds there are.

    It remembers what it saw while the kinds were being installed, and a category that
    is missing there does not make it look again, as a missing kind does.
    """
    for _ in range(300):
        listed = control_plane.kubectl_run(
            "api-resources", "--api-group=conntrack.dev", "--output=name"
        ).stdout
        if len(listed.split()) == 2:
            return
        time.sleep(0.1)
    pytest.fail("the API server does not list both kinds")


@pytest.fixture(scope="module", autouse=True)
def objects(control_plane: ControlPlane, api: Api) -> None:
    """
    Put one policy and one node there, both with a status.
    """
    named = {"apiVersion": API_VERSION, "metadata": {"name": NAME}}
    policy = named | {"kind": "ConntrackPolicy", "spec": {"nodeSelector": {}}}
    node = named | {
        "kind": "ConntrackNode",
        "spec": {
            "policyRef": {"name": NAME, "uid": "1", "generation": 1},
            "nodeUID": "2",
            "revision": "3",
            "mode": "Enforce",
        },
    }
    table = {"entries": 420, "maxEntries": 1000, "buckets": 512, "usedPercent": 42}
    facts = {
        "kernel": "6.8.0-45-generic",
        "cores": 4,
        "memoryBytes": 1,
        "bucketsPath": "Sysctl",
        "agent": "0.1.0",
    }
    said = named | {
        "kind": "ConntrackNode",
        "status": {
            "observedGeneration": 1,
            "table": table,
            "facts": facts,
            "conditions": [
                condition("Ready", "True", "Applied", 1),
                condition("ConntrackPressure", "False", "BelowThreshold", 1),
                condition("Drifted", "False", "NoDrift", 1),
            ],
        },
    }
    for path, body in (
        (f"conntrackpolicies/{NAME}", policy),
        (f"conntracknodes/{NAME}", node),
        (f"conntracknodes/{NAME}/status", said),
    ):
        answer = api.apply(path, body, "test")
        assert answer.code in {200, 201}, answer.message
    ready(api, 1)
    discover(control_plane)


def rows(text: str) -> list[list[str]]:
    """
    Keep the head lines and the lines of our two objects, as words.
    """
    lines = [line.split() for line in text.splitlines()]
    return [line for line in lines if line and ("NAME" in line or NAME in line[0])]


def test_one_word_lists_both_kinds(control_plane: ControlPlane) -> None:
    """
    ``kubectl get conntrack`` answers which nodes are how full, and under which policy.
    """
    node_head, node, policy_head, policy = rows(
        control_plane.kubectl_run("get", "conntrack").stdout
    )

    assert NODE_COLUMNS == node_head
    assert POLICY_COLUMNS == policy_head
    assert [NAME, "True", "420", "1000", "42"] == node[1:6]
    assert ["True", "3", "3", "0", "42"] == policy[1:6]


def test_wide_lists_tell_why(control_plane: ControlPlane) -> None:
    """
    The short names work, and ``-o wide`` adds the columns of a closer look.
    """
    policy_head, policy, node_head, node = rows(
        control_plane.kubectl_run("get", "ctpol,ctnode", "--output=wide").stdout
    )

    assert POLICY_COLUMNS + POLICY_WIDE == policy_head
    assert NODE_COLUMNS + NODE_WIDE == node_head
    assert ["Enforce", "1", "0", "AllNodesUpToDate", "3-of-3-nodes"] == policy[7:]
    expected = ["Enforce", "512", "False", "False", "6.8.0-45-generic", "0.1.0"]
    assert [*expected, "Applied"] == node[7:]


def test_explain_shows_every_field(control_plane: ControlPlane) -> None:
    """
    ``kubectl explain --recursive`` lists every timeout under its protocol.
    """
    said = control_plane.kubectl_run(
        "explain", "conntrackpolicy.spec", "--recursive"
    ).stdout

    words = set(said.split())
    assert {row.field.rpartition(".")[2] for row in TIMEOUTS} <= words
    assert {"nodeSelector", "maxEntries", "warnPercent", "onRemoval"} <= words


def test_explain_of_a_setting_tells_what_a_person_needs(
    control_plane: ControlPlane,
) -> None:
    """
    Meaning, unit, bounds, default and the kernel's name, in one screen.
    """
    said = control_plane.kubectl_run(
        "explain", "ctpol.spec.timeouts.tcp.established"
    ).stdout

    for words in ("idle time", "Unit: seconds", "1 to 2147483", "432000", "Kernel:"):
        assert words in " ".join(said.split())


def test_every_published_field_has_a_description(api: Api) -> None:
    """
    ``kubectl explain`` reads what the server publishes; no field there is silent.
    """
    body = api.send("GET", "/openapi/v3/apis/conntrack.dev/v1alpha1").body
    silent: list[str] = []

    def walk(schema: dict[str, Any], path: str) -> None:
        for name, each in schema.get("properties", {}).items():
            if not each.get("description"):
                silent.append(f"{path}.{name}")
            walk(each, f"{path}.{name}")
        if "items" in schema:
            walk(schema["items"], f"{path}[]")

    for name, schema in body["components"]["schemas"].items():
        if name.startswith("dev.conntrack.") and not name.endswith("List"):
            walk(schema, name.rpartition(".")[2])

    assert [] == silent


def test_waiting_for_ready_waits_for_the_present_generation(
    control_plane: ControlPlane, api: Api
) -> None:
    """
    ``kubectl wait`` does not return on an answer to what was asked before.
    """
    wait = ("wait", "--for=condition=Ready", f"ctpol/{NAME}")
    patch = {"spec": {"priority": 5}}
    api.send(
        "PATCH",
        f"conntrackpolicies/{NAME}",
        patch,
        content="application/merge-patch+json",
    )

    generation = ready(api, generation=1)
    early = control_plane.kubectl_run(*wait, "--timeout=1s", check=False)
    ready(api, generation)
    late = control_plane.kubectl_run(*wait, "--timeout=60s", check=False)

    assert 2 == generation
    assert (1, "timed out") == (early.returncode, early.stderr[7:16])
    assert 0 == late.returncode
