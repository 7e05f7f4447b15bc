"""
What `helm test` says of what it finds.
"""

from __future__ import annotations

import runpy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.charts.conftest import CHART

from conntrack_operator.standing import SILENCE

if TYPE_CHECKING:
    from tests.charts.conftest import Json

SCRIPT = runpy.run_path(str(CHART / "files" / "check_install.py"))
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def node(name: str, *, told: int = 2, answered: int = 2, minutes: int = 1) -> Json:
    """
    Make an object that was told, answered and reported so.
    """
    return {
        "metadata": {"name": name, "generation": told},
        "status": {
            "observedGeneration": answered,
            "heartbeat": f"{NOW - timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}",
        },
    }


def verdict(*nodes: Json) -> Any:  # noqa: ANN401 - a script without types
    """
    Ask the script.
    """
    return SCRIPT["verdict"]([{}], list(nodes), NOW)


def test_every_node_is_being_watched() -> None:
    """
    Each agent has answered what it was told last, and reported since.
    """
    assert ("1 policies, 1 nodes, and every node is being watched", True) == verdict(
        node("a")
    )


@pytest.mark.parametrize(
    "silent",
    [
        node("b", told=3),
        node("b", minutes=13),
        {"metadata": {"name": "b", "generation": 1}},
        {
            "metadata": {"name": "b", "generation": 1},
            "status": {"observedGeneration": 1},
        },
    ],
    ids=["told more", "reports no more", "never reported", "without a heartbeat"],
)
def test_a_node_without_a_living_agent_is_named(silent: Json) -> None:
    """
    Also one whose agent answered long ago and is gone.
    """
    assert ("no answer from the agents of b", False) == verdict(node("a"), silent)


def test_no_node_is_no_proof_and_no_fault() -> None:
    """
    Before a policy selects a node there is nothing to watch, and it says so.
    """
    assert ("1 policies select no node yet, so no agent runs", True) == verdict()


def test_many_silent_nodes_are_counted() -> None:
    """
    Ten are named.
    """
    said, well = verdict(*(node(f"n{n}", answered=1) for n in range(12)))

    assert not well
    assert said.endswith("n9 and 2 more")


def test_it_waits_for_as_long_as_the_operator_does() -> None:
    """
    One word for silence.
    """
    assert SCRIPT["SILENCE"] == SILENCE
