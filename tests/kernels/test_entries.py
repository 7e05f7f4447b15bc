"""Entries that are cut, and a table that is full, on real kernels of several ages."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest
from tests.kernels.guest import VERSIONS, lines

pytestmark = pytest.mark.kernels

log = logging.getLogger(__name__)


@pytest.fixture(scope="module", params=VERSIONS)
def found(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Everything that happened on one kernel."""
    (line,) = (
        each
        for each in lines(request.param, "guest_entries.py")
        if each.startswith("ENTRIES ")
    )
    parsed: dict[str, Any] = json.loads(line.removeprefix("ENTRIES "))
    log.info("%-5s log: %s", request.param, parsed["full"]["hint"][1])
    for name, pair in parsed["full"]["steps"].items():
        for step in pair:
            drops = step["drops"].get("table")
            words = (request.param, name, step["counters"], step["pressure"][0], drops)
            log.info("%-5s %-9s %-9s %-16s drops %s", *words)
    return parsed


def test_idle_entries_are_cut(found: dict[str, Any]) -> None:
    """By protocol and state; what is short, or not ours, keeps what it has."""
    cut = found["cut"]

    assert [] == cut["failures"]
    expected = {"state": "Done", "examined": 600, "shortened": 400}
    assert expected == cut["existing"]
    assert 3500 <= cut["longest"]["6 3 e"] <= 3600
    assert cut["longest"]["17 0 e"] <= 60
    assert 800 <= cut["longest"]["17 0 8"] <= 900


def test_a_full_table_is_said_while_it_is_full(found: dict[str, Any]) -> None:
    """
    The drops by both sources alike, the pressure with them, and none afterwards.

    Of 50 new connections some find room by pushing out an entry without a reply.
    """
    full = found["full"]
    refused = full["refused"]

    assert 0 < refused <= 50
    assert full["same"]
    reasons = {
        name: [step["pressure"][0] for step in pair]
        for name, pair in full["steps"].items()
    }
    assert {
        "before": ["BelowThreshold"] * 2,
        "full": ["TableFull"] * 2,
        "dropping": ["DroppingPackets"] * 2,
        "over": ["BelowThreshold"] * 2,
    } == reasons
    for pair in full["steps"].values():
        assert ["Netlink", "ProcStat"] == [step["counters"] for step in pair]
    for name in ("dropping", "over"):
        for step in full["steps"][name]:
            assert refused == step["drops"]["table"]
            assert refused + step["drops"]["early"] >= 50


def test_the_log_of_a_full_table_is_a_hint(found: dict[str, Any]) -> None:
    """An agent that starts too late to see the drops counted finds the line."""
    reason, message = found["full"]["hint"]

    assert "TableFull" == reason
    assert re.search(
        r'; a hint: the kernel\'s log says "table full", [0-9]+ s ago$', message
    )
