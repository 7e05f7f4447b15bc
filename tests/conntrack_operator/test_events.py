import asyncio
from dataclasses import replace
from datetime import datetime

import pytest

from conntrack_api.conditions import Condition, ConditionStatus
from conntrack_operator.decide import decide
from conntrack_operator.errors import Forbidden
from conntrack_operator.events import Event, of_node, of_vanished
from conntrack_operator.pacing import TokenBucket
from conntrack_operator.plan import wish
from conntrack_operator.recorder import EVENT_SECONDS, EVENTS_PER_PASS, Recorder
from conntrack_operator.rows import ConntrackNodeRow
from conntrack_operator.testing import (
    NOW,
    FakeCluster,
    FakeTime,
    conntrack_node,
    node,
    policy,
    policy_row,
    stepped,
)

NODE = conntrack_node(spec=None)


def says(type_: str, status: str, reason: str) -> ConntrackNodeRow:
    """
    Let a node report one condition.
    """
    condition = Condition(
        type=type_,
        status=ConditionStatus(status),
        reason=reason,
        message="in the node's words",
        observed_generation=1,
    )
    if type_ == "Ready":
        return replace(NODE, ready=condition)
    if type_ == "Drifted":
        return replace(NODE, drifted=condition)
    return replace(NODE, pressure=condition)


@pytest.mark.parametrize(
    ("type_", "status", "reason", "expected"),
    [
        ("Ready", "False", "WriteRefused", ["ApplyFailed"]),
        ("Ready", "False", "OnHold", []),
        ("Ready", "False", "Pending", []),
        ("Ready", "True", "Applied", []),
        ("Ready", "False", "Contended", ["Contended"]),
        ("Drifted", "True", "ExternalWriter", ["DriftDetected"]),
        ("Drifted", "False", "NoDrift", []),
        ("ConntrackPressure", "True", "NearLimit", ["ConntrackPressure"]),
        ("ConntrackPressure", "True", "TableFull", ["ConntrackTableFull"]),
        ("ConntrackPressure", "False", "BelowThreshold", []),
    ],
)
def test_node(type_: str, status: str, reason: str, expected: list[str]) -> None:
    """A report that is news is one event; the same report again is none."""
    now = says(type_, status, reason)

    found = list(of_node(NODE, now))

    assert expected == [each.reason for each in found]
    assert {"in the node's words"} >= {each.message for each in found}
    assert [] == list(of_node(now, replace(now, resource_version="2")))


def test_another_failure_is_another_event() -> None:
    """A node that fails for another reason says so."""
    old = says("Ready", "False", "NotLoaded")

    found = list(of_node(old, says("Ready", "False", "WriteRefused")))

    assert ["ApplyFailed"] == [each.reason for each in found]


class Told:
    """A recorder and what it has posted."""

    def __init__(self, cluster: FakeCluster | None = None) -> None:
        """Start with a recorder that has seen nothing."""
        self.cluster, self.time = cluster or FakeCluster(), FakeTime()
        self.recorder = Recorder(
            self.cluster,
            bucket=TokenBucket(clock=self.time.clock, sleep=self.time.sleep),
            clock=self.time.clock,
        )

    async def see(self, *rows: ConntrackNodeRow) -> list[tuple[str, str]]:
        """Show some nodes; give what was posted."""
        before = len(self.cluster.events)
        await self.recorder.nodes({row.name: row for row in rows}, NOW)
        return self.cluster.events[before:]


def test_policy_that_vanished() -> None:
    """It is told of once, by the name that its nodes know, however many these are."""
    wanted = wish(policy("gone")).numbers
    rows = {
        name: conntrack_node(name, spec=replace(wanted, node_uid=f"uid-{name}"))
        for name in ("n1", "n2", "n3")
    }
    nodes = {name: node(name) for name in rows}

    there = [policy_row(policy("gone"))]
    before = of_vanished(decide(there, nodes, rows).nodes.values())
    (event,) = of_vanished(decide([], nodes, rows).nodes.values())

    assert [] == list(before)
    assert ("ConntrackPolicy", "gone", "uid-gone") == (
        event.kind,
        event.name,
        event.uid,
    )
    assert ("Normal", "PolicyVanished") == (event.type, event.reason)
    assert "3 nodes that it governed" in event.message


async def test_first_sight_is_no_change() -> None:
    """After a restart nothing is told that was told before."""
    told = Told()

    assert [] == await told.see(says("Ready", "False", "NotLoaded"))


async def test_new_object_of_the_same_name_is_no_change() -> None:
    """A node that was registered anew is not compared with the former one."""
    told = Told()
    await told.see(NODE)

    failing = replace(says("Ready", "False", "NotLoaded"), uid="another")

    assert [] == await told.see(failing)


async def test_flapping_node_is_told_of_once_an_hour() -> None:
    """The second failure of the same node within an hour is no news."""
    told = Told()
    good, bad = NODE, says("Ready", "False", "NotLoaded")
    await told.see(good)

    assert [("ApplyFailed", "n1")] == await told.see(bad)
    for _ in range(5):
        assert [] == await told.see(good)
        assert [] == await told.see(bad)
    told.time.now += 3600
    await told.see(good)
    assert [("ApplyFailed", "n1")] == await told.see(bad)


async def test_flood_is_cut() -> None:
    """An incident of the whole fleet is not posted node by node."""
    told = Told()
    names = [f"n{number}" for number in range(100)]
    await told.see(*(replace(NODE, name=name, uid=name) for name in names))

    bad = says("Ready", "False", "NotLoaded")
    found = await told.see(*(replace(bad, name=name, uid=name) for name in names))

    assert EVENTS_PER_PASS == len(found)


async def test_event_that_is_refused_stops_nothing() -> None:
    """Without the right to post, everything else goes on."""
    told = Told()
    told.cluster.answers["event"] = [Forbidden("403")]
    pressed = says("ConntrackPressure", "True", "NearLimit")
    await told.see(NODE, replace(NODE, name="n2", uid="2"))

    both = (pressed, replace(pressed, name="n2", uid="2"))

    assert [("ConntrackPressure", "n2")] == await told.see(*both)
    assert {"failed": 1, "posted": 1} == told.recorder.counts


@stepped
async def test_events_that_nobody_answers() -> None:
    """A pass, and with it every node, waits for one of them for five seconds."""

    class Silent(FakeCluster):
        async def post_event(self, event: Event, now: datetime) -> None:
            self.calls.append(f"{event.reason} {now:%Y}")
            await asyncio.Event().wait()

    told = Told(Silent())
    names = [f"n{number}" for number in range(10)]
    await told.see(*(replace(NODE, name=name, uid=name) for name in names))
    clock = asyncio.get_running_loop().time
    began = clock()

    bad = says("Ready", "False", "NotLoaded")
    await told.see(*(replace(bad, name=name, uid=name) for name in names))

    assert [f"ApplyFailed {NOW:%Y}"] == told.cluster.calls
    assert EVENT_SECONDS == clock() - began
    assert {"failed": 10} == told.recorder.counts
