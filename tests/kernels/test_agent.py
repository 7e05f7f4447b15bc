"""The agent's stages on real kernels of several ages, booted in an emulator."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.kernels.guest import VERSIONS, lines

pytestmark = pytest.mark.kernels

MAX, HASH = "nf_conntrack_max", "nf_conntrack_buckets"


@pytest.fixture(scope="module", params=VERSIONS)
def steps(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """Everything that happened on one kernel, by the name of the step."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines(request.param, "guest_agent.py"):
        kind, _, text = line.partition(" ")
        if kind == "FOUND":
            found["found"] = {"values": json.loads(text)}
        elif kind == "STEP":
            each = json.loads(text)
            found[each["name"]] = each
    return found


def size(step: dict[str, Any]) -> tuple[int, int]:
    """Limit and buckets."""
    return step["values"][MAX], step["values"][HASH]


def timeouts(step: dict[str, Any]) -> list[int]:
    """Every timeout, in the order of the table."""
    return [value for name, value in step["values"].items() if "timeout" in name]


def reason(step: dict[str, Any]) -> str:
    """Why the node is ready, or not."""
    found: str = step["ready"][1]
    return found


def test_size_and_every_timeout_are_set(steps: dict[str, dict[str, Any]]) -> None:
    """Up and down, whatever this kernel offers, and shown by it."""
    assert "Applied" == reason(steps["raised"]), steps["raised"]
    assert (262144, 65536) == size(steps["raised"])
    assert "Applied" == reason(steps["lowered"]), steps["lowered"]
    assert (16384, 4096) == size(steps["lowered"])
    assert len(timeouts(steps["found"])) >= 20
    assert all(601 <= each <= 700 for each in timeouts(steps["lowered"]))
    assert len(set(timeouts(steps["lowered"]))) == len(timeouts(steps["lowered"]))


def test_a_restart_of_the_agent_changes_nothing(
    steps: dict[str, dict[str, Any]],
) -> None:
    """The journal on the guest's disk is enough."""
    assert "Applied" == reason(steps["restarted"])
    assert steps["lowered"]["values"] == steps["restarted"]["values"]


def test_a_module_that_is_unloaded_and_loaded_again(
    steps: dict[str, dict[str, Any]],
) -> None:
    """Said while it is gone; seen as drift when it is back, and put back."""
    assert "NotLoaded" == reason(steps["unloaded"])
    assert "loaded anew" in steps["reloaded"]["drifted"]
    assert "Applied" == reason(steps["corrected"]), steps["corrected"]
    assert steps["lowered"]["values"] == steps["corrected"]["values"]


def test_a_module_that_is_loaded_anew_in_a_soak_is_no_failure(
    steps: dict[str, dict[str, Any]],
) -> None:
    """Nobody has seen it gone; the value is set again, and the soak goes on."""
    assert "Pending" == reason(steps["reloaded in the soak"])
    assert "soaking" in steps["reloaded in the soak"]["ready"][2]
    assert 32768 == size(steps["reloaded in the soak"])[0]


def test_a_change_that_does_not_stay_is_taken_back(
    steps: dict[str, dict[str, Any]],
) -> None:
    """The value before it is there again, and the reason has the numbers."""
    assert 32768 == steps["soaking"]["values"][MAX]
    assert "RolledBack" == reason(steps["taken back"])
    assert "20000 instead of 32768" in steps["taken back"]["ready"][2]
    assert 16384 == size(steps["taken back"])[0]


def test_the_baseline_comes_back(steps: dict[str, dict[str, Any]]) -> None:
    """Every value is as it was found, on the kernel's own word."""
    assert "Reverted" == reason(steps["reverted"]), steps["reverted"]
    assert steps["found"]["values"] == steps["reverted"]["values"]
