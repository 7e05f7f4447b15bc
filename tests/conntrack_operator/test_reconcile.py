import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conntrack_api.codec import policy_status_from_object
from conntrack_api.conditions import find
from conntrack_api.node import NodeMode, NodeSpec
from conntrack_api.policy import OnRemoval
from conntrack_api.policy_status import PolicyStatus
from conntrack_api.rollout import Rollout, Share
from conntrack_api.table import TableSize
from conntrack_operator.agents import Agents
from conntrack_operator.brake import CONFIRM_SECONDS
from conntrack_operator.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    Unavailable,
)
from conntrack_operator.own_writes import PATIENCE_SECONDS
from conntrack_operator.pacing import RETRY_SECONDS, Backoff, Doorbell
from conntrack_operator.policies import STATUS_SECONDS
from conntrack_operator.reconcile import PASS_SECONDS, REPORT_SECONDS, Reconciler
from conntrack_operator.refusals import PRUNED
from conntrack_operator.rows import FINALIZER, ConntrackNodeRow, PolicyRow
from conntrack_operator.testing import (
    NOW,
    FakeCluster,
    FakeDaemons,
    FakeTime,
    node,
    policy,
    unreadable,
)

TIMEOUT = "nf_conntrack_tcp_timeout_established"
LARGER = TableSize(max_entries=262144)


class World:
    """A cluster with an operator; time passes when somebody says so."""

    def __init__(
        self,
        cluster: FakeCluster | None = None,
        *,
        after: float = 0.0,
        daemons: FakeDaemons | None = None,
    ) -> None:
        """Start an operator, in a new cluster or, some time later, in a given one."""
        self.cluster = cluster or FakeCluster()
        self.time = FakeTime()
        bell = Doorbell(self.time.clock)
        self.agents: Agents | None = None
        if daemons:
            self.agents = Agents(
                daemons,
                policies=self.cluster.policies,
                ring=bell.ring,
                epoch=self._leave,
                backoff=Backoff(Random(0)),  # noqa: S311 - spreads nothing here
                clock=self.time.clock,
                sleep=self.time.sleep,
            )
        self._began = self.time.now
        self.time.now += after
        self.epoch: int | None = 1
        self.lease_ends_at: float | None = None
        self.reconciler = Reconciler(
            self.cluster,
            nodes=self.cluster.nodes,
            conntrack_nodes=self.cluster.conntrack_nodes,
            bell=bell,
            agents=self.agents,
            backoff=Backoff(Random(0)),  # noqa: S311 - spreads nothing here
            clock=self.time.clock,
            sleep=self.time.sleep,
            now=lambda: NOW + timedelta(seconds=self.time.now - self._began),
            epoch=self._leave,
        )

    async def run(self, passes: int = 3, *, seconds: float = 0) -> list[str]:
        """Run some passes after somebody changed something; give their writes."""
        self.time.now += seconds
        before = len(self.cluster.writes)
        for _ in range(passes):
            if self.agents:
                await self.agents.look()
            self.reconciler.policies_changed()
            await self.reconciler.run_pass()
        return self.cluster.writes[before:]

    def _leave(self) -> int | None:
        """Give the epoch, while the lease is ours."""
        ended = self.lease_ends_at is not None and self.time.now > self.lease_ends_at
        return None if ended else self.epoch

    def due_in(self) -> float:
        """Give the seconds until the next pass is due without a ring."""
        return self.reconciler.due_at - self.time.now

    async def settle(self) -> None:
        """Run until all nodes have applied what they should have."""
        for _ in range(4):
            await self.run()
            self.cluster.report()
        await self.run()
        self.time.now += 60
        await self.run()

    def modes(self) -> dict[str, str]:
        """Give the mode that each node was told."""
        rows = self.cluster.conntrack_nodes.truth.values()
        return {row.name: row.spec.mode for row in rows if row.spec}

    def limit(self, name: str) -> int | None:
        """Give the limit that a node was told."""
        spec = self.cluster.conntrack_nodes.truth[name].spec
        return spec.settings.get("nf_conntrack_max") if spec else None

    def said(self, type_: str, name: str = "default") -> str | None:
        """Give the reason of a policy's condition."""
        condition = find(self.cluster.truth[name].status.conditions, type_)
        return condition.reason if condition else None


@pytest.fixture
def world() -> World:
    """Give a cluster of three nodes without a policy."""
    world = World()
    world.cluster.put_node(*(node(name) for name in ("n1", "n2", "n3")))
    return world


async def test_facts_first(world: World) -> None:
    """Nodes are told to observe, and get their numbers when they have reported."""
    world.cluster.put_policy(policy())

    await world.run()
    assert {"n1": "Observe", "n2": "Observe", "n3": "Observe"} == world.modes()
    assert "RollingOut" == world.said("Ready")

    world.cluster.report("n2")
    await world.run()
    assert {"n1": "Observe", "n2": "Enforce", "n3": "Observe"} == world.modes()
    assert 131072 == world.limit("n2")


async def test_rollout_to_the_end(world: World) -> None:
    """When every node has confirmed, the policy is ready."""
    world.cluster.put_policy(policy())

    await world.settle()

    assert "AllNodesUpToDate" == world.said("Ready")
    counts = world.cluster.truth["default"].status.nodes
    assert counts is not None
    assert (3, 3) == (counts.matched, counts.updated)


async def test_edit_reaches_every_node(world: World) -> None:
    """An edited policy is written once for each node, and once said to be seen."""
    world.cluster.put_policy(policy())
    await world.settle()

    world.cluster.put_policy(policy(table=LARGER))
    writes = await world.run()

    assert ["apply n1", "apply n2", "apply n3", "status default"] == writes
    assert 262144 == world.limit("n3")
    assert "RollingOut" == world.said("Ready")
    assert 2 == world.cluster.truth["default"].status.observed_generation


async def test_restart_of_a_converged_fleet_writes_nothing(world: World) -> None:
    """A new operator finds everything as it should be and sends no write at all."""
    world.cluster.put_policy(policy(on_removal=OnRemoval.REVERT))
    await world.settle()
    world.cluster.writes.clear()

    restarted = World(world.cluster)

    assert [] == await restarted.run(passes=5)


async def test_missing_agents_are_said_by_the_policy() -> None:
    """How many, and why; the condition says so, too, while nodes are waited for."""
    daemons = FakeDaemons()
    world = World(daemons=daemons)
    world.cluster.put_node(node("n1"), node("n2"))
    world.cluster.put_policy(policy())
    await world.run()
    assert ["create"] == daemons.writes

    daemons.status(2, 1)
    await world.run(seconds=60)
    status = world.cluster.truth["default"].status
    assert status.agents is not None
    assert (2, 1, 1, "NotReady") == (
        status.agents.expected,
        status.agents.running,
        status.agents.missing,
        status.agents.reason,
    )
    ready = find(status.conditions, "Ready")
    assert ready is not None
    assert "1 of 2 agents of the cluster are missing: NotReady: " in ready.message

    daemons.status(2, 2)
    await world.settle()
    world.cluster.writes.clear()
    restarted = World(world.cluster, daemons=daemons)
    await restarted.reconciler.run_pass()  # before the first look
    assert [] == world.cluster.writes + await restarted.run(passes=5)
    assert ["create"] == daemons.writes


async def test_nothing_is_decided_before_everything_is_known(world: World) -> None:
    """While a list is incomplete nothing is read, written or said."""
    world.cluster.put_policy(policy())
    for store in (world.cluster.nodes, world.cluster.conntrack_nodes):
        store.synced = False
        assert [] == await world.run()
        store.synced = True

    assert [] != await world.run()


async def test_layering_and_conflict(world: World) -> None:
    """Priority layers policies; equal priority makes the younger one a loser."""
    world.cluster.put_node(node("n1", role="web"))
    world.cluster.put_policy(policy())
    web = policy("web", labels={"role": "web"}, priority=1, table=LARGER)
    world.cluster.put_policy(web)
    await world.settle()
    assert [262144, 131072] == [world.limit("n1"), world.limit("n2")]
    assert ["Accepted", "Accepted"] == [
        world.said("Accepted"),
        world.said("Accepted", "web"),
    ]

    world.cluster.put_policy(replace(web, spec=replace(web.spec, priority=0)))
    await world.settle()

    assert 131072 == world.limit("n1")
    assert "AllNodesUpToDate" == world.said("Ready")
    assert ["Conflict", "Conflicting", "Conflict"] == [
        world.said(each, "web") for each in ("Accepted", "Ready", "Stalled")
    ]


STAGED = Rollout(max_unavailable=Share(1), canaries=1, soak_seconds=30)


async def test_rollout_node_by_node(world: World) -> None:
    """A staged policy reaches one node after another, each when the last has soaked."""
    world.cluster.put_policy(policy())
    await world.settle()
    world.cluster.put_policy(policy(rollout=STAGED, table=LARGER))

    told = []
    for _ in range(7):
        told.append([each for each in await world.run(seconds=15) if "apply" in each])
        world.cluster.report()

    expected = [["apply n1"], [], ["apply n2"], [], ["apply n3"], [], []]
    assert expected == told
    assert "AllNodesUpToDate" == world.said("Ready")


async def test_soak_ends_without_an_event(world: World) -> None:
    """Nobody rings when a node has soaked; the next pass is due then."""
    world.cluster.put_policy(policy(rollout=STAGED))
    await world.run()
    world.cluster.report()
    await world.run()
    world.cluster.report()
    await world.run(passes=1, seconds=11)
    await world.run(passes=1)

    assert 19 == round(world.due_in())


async def test_restart_in_the_middle_of_a_rollout(world: World) -> None:
    """A new operator goes on where the old one was, and starts nothing anew."""
    await world.settle()
    world.cluster.put_policy(policy(rollout=STAGED))
    await world.run()
    world.cluster.report()
    assert "apply n1" in await world.run()

    restarted = World(world.cluster, after=60)

    assert [] == [each for each in await restarted.run() if "apply" in each]
    world.cluster.report("n1")
    assert [] == [each for each in await restarted.run() if "apply" in each]
    assert "apply n2" in await restarted.run(seconds=30)


async def test_write_that_may_be_late_is_part_of_the_budget() -> None:
    """While a write that was given up may arrive, nobody else is told before it."""
    world = World()
    world.cluster.put_node(node("n2"), node("n3"))
    rules = Rollout(max_unavailable=Share(1), canaries=0, soak_seconds=0)
    world.cluster.put_policy(policy(rollout=rules))
    for _ in range(4):
        await world.run(seconds=10)
        world.cluster.report()
    await world.run()

    world.cluster.put_policy(policy(rollout=rules, table=LARGER))
    world.cluster.answers["apply"] = [Unavailable("no answer within 30 s")]  # of n2
    await world.run(passes=1)
    world.cluster.put_node(node("n1"))
    await world.run(passes=1)
    world.cluster.report("n1")
    early = await world.run(passes=1, seconds=RETRY_SECONDS)

    assert ["apply n2"] == [each for each in early if "apply" in each]
    assert [None, 262144, 131072] == [world.limit(n) for n in ("n1", "n2", "n3")]


async def test_lagging_informer_does_not_widen_the_budget(world: World) -> None:
    """While our own write is not shown, its node counts as changing."""
    world.cluster.put_policy(policy())
    await world.settle()
    world.cluster.put_policy(policy(rollout=STAGED, table=LARGER))
    world.cluster.conntrack_nodes.freeze()

    writes = await world.run(passes=5, seconds=20)

    assert ["apply n1"] == [each for each in writes if "apply" in each]


async def test_halted_rollout_says_so_and_goes_on_when_edited(world: World) -> None:
    """A canary that fails keeps the others as they are, until somebody edits."""
    world.cluster.put_policy(policy())
    await world.settle()
    world.cluster.put_policy(policy(rollout=STAGED, table=LARGER))
    await world.run()
    world.cluster.report("n1", ready=False, reason="NotEnoughMemory")

    await world.run(passes=5, seconds=600)

    assert [262144, 131072, 131072] == [world.limit(n) for n in ("n1", "n2", "n3")]
    assert ("NodesFailed", "NodesFailed", None) == tuple(
        world.said(each) for each in ("Ready", "Stalled", "Reconciling")
    )
    world.cluster.report("n2", "n3")
    world.cluster.put_policy(policy(rollout=STAGED, timeouts={TIMEOUT: 60}))
    await world.run()
    assert 131072 == world.limit("n1")
    assert "RollingOut" == world.said("Reconciling")


async def halted(world: World) -> None:
    """Let a canary fail, and the rollout halt."""
    world.cluster.put_policy(policy())
    await world.settle()
    world.cluster.put_policy(policy(rollout=STAGED, table=LARGER))
    await world.run()
    world.cluster.report("n1", ready=False, reason="NotEnoughMemory")
    await world.run(seconds=20)


async def test_halt_outlives_recovery_and_restart(world: World) -> None:
    """
    Once halted, nobody is told more: not when the node recovers, not by another
    operator. One write remembers that.
    """
    await halted(world)
    world.cluster.report("n1")

    same = await world.run(passes=5, seconds=60)
    restarted = World(world.cluster, after=120)
    other = await restarted.run(passes=5, seconds=60)

    assert 1 == world.cluster.writes.count("halt default")
    assert [] == [each for each in (*same, *other) if "status" not in each]
    assert [262144, 131072, 131072] == [world.limit(n) for n in ("n1", "n2", "n3")]
    assert "NodesFailed" == world.said("Stalled")

    world.cluster.put_policy(policy(rollout=STAGED, table=LARGER, priority=1))
    await restarted.run()
    assert 262144 == world.limit("n2")


async def test_halt_that_cannot_be_written_down(world: World) -> None:
    """It holds from the moment when it is seen, and is written when that works."""
    world.cluster.answers["halt"] = [Unavailable("503")] * 4
    await halted(world)
    assert world.due_in() <= 10
    world.cluster.report("n1")

    writes = await world.run(passes=5, seconds=60)

    assert "halt default" in writes
    assert [] == [each for each in writes if "apply" in each]


async def test_halt_of_a_policy_that_changed_meanwhile(world: World) -> None:
    """A conflict has the policies listed anew, without anybody who rings."""
    world.cluster.put_policy(policy())
    await world.settle()
    world.cluster.put_policy(policy(rollout=STAGED, table=LARGER))
    await world.run()
    world.cluster.report("n1", ready=False, reason="NotEnoughMemory")
    world.cluster.answers["halt"] = [Conflict("409")]
    world.time.now += 20
    lists = world.cluster.calls.count("policies")

    await world.reconciler.run_pass()
    due_in = world.due_in()
    await world.reconciler.run_pass()

    assert due_in <= 1
    assert lists + 1 == world.cluster.calls.count("policies")
    assert 2 == world.cluster.truth["default"].status.halted_generation


async def test_halt_of_an_earlier_generation_is_history(world: World) -> None:
    """A halt that comes too late, after an edit, is neither written nor in force."""
    await halted(world)
    row = world.cluster.truth["default"]
    world.cluster.put_policy(policy(rollout=STAGED, table=LARGER, priority=1))
    await world.run()
    world.cluster.report("n1", ready=False, reason="NotEnoughMemory")
    await world.run(seconds=20)
    later = world.cluster.truth["default"].status.halted_generation

    with pytest.raises(Conflict):
        await world.cluster.record_halt(row)

    assert later == world.cluster.truth["default"].generation == row.generation + 1


async def test_halt_survives_a_status_that_cannot_be_read() -> None:
    """A newer operator may have said more; what it halted stays halted."""
    status = {"haltedGeneration": 3, "conditions": "many"}

    found = policy_status_from_object({"status": status})

    assert PolicyStatus(halted_generation=3) == found


async def test_events_of_a_rollout(world: World) -> None:
    """Start, halt and end are told once each, and not again after a restart."""
    world.cluster.put_policy(policy(rollout=STAGED))
    await world.run()
    assert [("RolloutStarted", "default")] == world.cluster.events

    world.cluster.put_policy(policy())
    await world.settle()
    world.cluster.put_policy(policy(rollout=STAGED, table=LARGER))
    await world.run()
    world.cluster.report("n1", ready=False, reason="NotEnoughMemory")
    await world.run(seconds=60)
    assert [
        ("RolloutStarted", "default"),
        ("RolloutCompleted", "default"),
        ("RolloutStarted", "default"),
        ("RolloutHalted", "default"),
        ("ApplyFailed", "n1"),
    ] == world.cluster.events[1:]

    told = len(world.cluster.events)
    await World(world.cluster, after=600).run(passes=5)
    assert told == len(world.cluster.events)


async def test_paused_rollout_says_so(world: World) -> None:
    """With maxUnavailable 0 an edit is seen and nothing is told."""
    world.cluster.put_policy(policy())
    await world.settle()
    paused = replace(STAGED, max_unavailable=Share(0))
    world.cluster.put_policy(policy(rollout=paused, table=LARGER))

    assert ["status default"] == await world.run(seconds=60)
    assert ("Paused", None, None) == tuple(
        world.said(each) for each in ("Ready", "Stalled", "Reconciling")
    )


# Removal.


async def test_deleted_policy_with_keep(world: World) -> None:
    """The objects of the last policy go when a list 5 s later is empty as well."""
    world.cluster.put_policy(policy())
    await world.settle()
    world.cluster.delete_policy("default")

    assert [] == await world.run(seconds=4)
    writes = await world.run(seconds=5)

    assert ["delete n1", "delete n2", "delete n3"] == writes


async def test_deleted_policy_among_others(world: World) -> None:
    """Where other policies are left, few objects go after one fresh look."""
    world.cluster.put_policy(policy())
    world.cluster.put_policy(policy("other", labels={"role": "none"}))
    await world.settle()
    world.cluster.delete_policy("default")

    assert ["delete n1", "delete n2", "delete n3"] == await world.run()


async def test_list_that_is_empty_once_is_no_command(world: World) -> None:
    """An empty list of policies removes nothing, however large the fleet."""
    world.cluster.put_policy(policy())
    await world.settle()
    world.cluster.writes.clear()

    world.cluster.lists = [()]
    await world.run(passes=1)
    await world.run(seconds=60)

    assert [] == world.cluster.writes


async def test_empty_lists_with_a_contradiction_between(world: World) -> None:
    """A fresh list that knows the policy is a gap: what was seen before counts not."""
    world.cluster.put_policy(policy())
    await world.settle()
    world.cluster.writes.clear()
    truth = tuple(world.cluster.truth.values())

    world.cluster.lists = [(), (), truth, (), ()]
    await world.run(passes=1)
    await world.run(passes=1, seconds=CONFIRM_SECONDS)
    await world.run(passes=1, seconds=1)
    world.cluster.lists.clear()
    await world.run(seconds=60)

    assert [] == world.cluster.writes


EVERY, WEB = policy(), policy("web", labels={"role": "web"}, priority=1, table=LARGER)


async def two_layers(count: int) -> World:
    """Let the nodes of a role have a policy of their own, above that of all nodes."""
    world = World()
    names = [f"n{index}" for index in range(10)]
    for index, name in enumerate(names):
        world.cluster.put_node(node(name, role="web" if index < count else "db"))
    world.cluster.put_policy(EVERY)
    world.cluster.put_policy(WEB)
    await world.settle()
    assert [262144] * count == [world.limit(name) for name in names[:count]]
    return world


@given(
    count=st.integers(1, 10),
    missed=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    pause=st.integers(1, 30),
)
@settings(deadline=None, max_examples=60)
def test_policy_that_is_missing_from_lists(
    count: int, missed: list[int], pause: int
) -> None:
    """
    One list without a policy writes nothing, nor do more within five seconds where
    many nodes would move; once the policy is listed again, nothing ever is.
    """

    async def check() -> None:
        world = await two_layers(count)
        before = len(world.cluster.writes)
        short = (world.cluster.truth["default"],)
        for lists in missed:
            world.cluster.lists = [short] * (lists if count > 3 else 1)
            await world.run(passes=lists if count > 3 else 1)
            world.cluster.lists.clear()
            await world.run(seconds=pause)
        assert [] == [each for each in world.cluster.writes[before:] if " n" in each]

    asyncio.run(check())


async def test_many_nodes_of_a_policy_that_vanished() -> None:
    """
    They are held for a second list, which the status says, and then told what the
    other policy asks: each once, as they would be without the pause.
    """
    world = await two_layers(8)
    world.cluster.delete_policy("web")

    early = await world.run()
    waits = world.due_in()
    why = find(world.cluster.truth["default"].status.conditions, "Ready")
    late = await world.run(seconds=CONFIRM_SECONDS)
    world.cluster.report()
    calm = await world.run(seconds=60)

    assert [] == [each for each in early if "apply" in each]
    assert 1 == world.cluster.events.count(("PolicyVanished", "web"))
    assert waits <= CONFIRM_SECONDS
    assert why is not None
    assert "8 held until their former policy is surely gone" in why.message
    assert [f"apply n{index}" for index in range(8)] == sorted(
        each for each in late if "apply" in each
    )
    assert [] == [each for each in calm if "apply" in each]
    assert "AllNodesUpToDate" == world.said("Ready")


async def test_few_nodes_of_a_policy_that_vanished() -> None:
    """They need a fresh list, and no waiting."""
    world = await two_layers(3)
    world.cluster.delete_policy("web")

    writes = await world.run()

    assert 3 == len([each for each in writes if "apply" in each])


async def test_conflicting_lists_are_not_asked_for_five_minutes() -> None:
    """When a fresh list knows the policy, the next pass starts from a list like it."""
    world = await two_layers(3)
    world.cluster.lists = [(world.cluster.truth["default"],)]
    world.reconciler.policies_changed()
    for _ in range(5):
        await world.reconciler.run_pass()
        world.time.now += 1
    lists = world.cluster.calls.count("policies")

    await world.reconciler.run_pass()

    assert lists == world.cluster.calls.count("policies")
    assert "AllNodesUpToDate" == world.said("Ready", "web")


async def test_list_that_is_empty_until_asked_again(world: World) -> None:
    """The fresh list right before a removal is the one that counts."""
    world.cluster.put_policy(policy())
    await world.settle()
    world.cluster.writes.clear()

    world.cluster.lists = [(), ()]
    await world.run(passes=1)
    await world.run(passes=1, seconds=5)

    assert [] == world.cluster.writes


@pytest.mark.parametrize("error", [NotFound("404"), Gone("410"), Unavailable("503")])
async def test_list_that_fails_is_no_command(world: World, error: ClusterError) -> None:
    """A list that cannot be read stops the pass before anything is decided."""
    world.cluster.put_policy(policy())
    await world.settle()
    world.cluster.delete_policy("default")

    world.cluster.answers["policies"] = [error] * 3

    assert [] == await world.run(passes=3)


async def test_list_that_fails_at_the_second_sighting(world: World) -> None:
    """A removal that cannot be confirmed waits, and goes when it can be."""
    world.cluster.put_policy(policy())
    await world.settle()
    world.cluster.delete_policy("default")
    await world.run(passes=1)
    world.time.now += 5
    world.reconciler.policies_changed()

    world.cluster.answers["policies"] = [None, Unavailable("503")]
    assert [] == await world.run(passes=1)

    assert ["delete n1", "delete n2", "delete n3"] == await world.run(seconds=10)


async def test_node_that_cannot_be_read_is_not_confirmed(world: World) -> None:
    """Without a fresh look at its Node an object stays; the others go."""
    world.cluster.put_policy(policy())
    await world.settle()
    world.cluster.delete_policy("default")
    await world.run(passes=1)
    world.cluster.answers["node"] = [NotFound("n1")]

    writes = await world.run(passes=1, seconds=5)

    assert ["delete n2", "delete n3"] == writes


async def test_narrowed_selector_lets_single_nodes_go_at_once(world: World) -> None:
    """A removal of few nodes needs a fresh look, and no waiting."""
    world.cluster.put_node(node("n1", role="db"))
    world.cluster.put_policy(policy())
    await world.settle()

    world.cluster.put_policy(policy(labels={"role": "db"}))
    writes = await world.run()

    assert {"delete n2", "delete n3"} <= set(writes)
    assert {"n1"} == set(world.cluster.conntrack_nodes.truth)


async def test_mass_removal_by_an_edit_waits_for_a_second_list(world: World) -> None:
    """A selector that lets go of most of the fleet is read twice, 5 s apart."""
    names = [f"n{index}" for index in range(10)]
    world.cluster.put_node(*(node(name) for name in names))
    world.cluster.put_policy(policy(on_removal=OnRemoval.REVERT))
    await world.settle()

    world.cluster.put_policy(policy(on_removal=OnRemoval.REVERT, labels={"a": "typo"}))
    await world.run(seconds=1)
    assert {"Enforce"} == set(world.modes().values())
    world.cluster.put_policy(policy(on_removal=OnRemoval.REVERT))
    await world.settle()
    assert {"Enforce"} == set(world.modes().values())

    world.cluster.put_policy(policy(on_removal=OnRemoval.REVERT, labels={"a": "meant"}))
    await world.run()
    await world.run(seconds=5)
    assert {"Revert"} == set(world.modes().values())


async def test_revert_from_deletion_to_the_end(world: World) -> None:
    """Our finalizer holds a policy until every node has confirmed its revert."""
    world.cluster.put_policy(policy(on_removal=OnRemoval.REVERT))
    await world.settle()
    assert (FINALIZER,) == world.cluster.truth["default"].finalizers

    world.cluster.delete_policy("default")
    await world.run()
    assert {"n1": "Revert", "n2": "Revert", "n3": "Revert"} == world.modes()
    assert "RollingOut" == world.said("Reconciling")

    world.cluster.report("n1", "n2")
    await world.run()
    assert {"n3": "Revert"} == world.modes()
    assert "default" in world.cluster.truth

    world.cluster.report("n3", ready=False, reason="WriteRefused")
    await world.run()
    assert {"n3": "Revert"} == world.modes()

    world.cluster.report("n3")
    await world.run()
    assert {} == world.modes()
    assert {} == world.cluster.truth


async def test_revert_node_by_node(world: World) -> None:
    """
    Deleted with Revert, a policy lets its nodes go within its budget, and says who
    waits; a restart in the middle lets no second one go. Two writes for each node.
    """
    world.cluster.put_policy(policy(on_removal=OnRemoval.REVERT, rollout=STAGED))
    for _ in range(8):
        await world.run(seconds=31)
        world.cluster.report()
    before = len(world.cluster.writes)
    world.cluster.delete_policy("default")
    await world.run()
    ready = find(world.cluster.truth["default"].status.conditions, "Ready")
    assert ready is not None
    assert "Being deleted: 3 nodes are still to be let go, 2 waiting." == ready.message

    for number, name in enumerate(("n1", "n2", "n3")):
        world = World(world.cluster, after=300.0 + 60 * number)
        await world.run(passes=5)
        modes = world.modes()
        assert [name] == [each for each in modes if busy_reverting(world, each)]
        world.cluster.report(name)
        await world.run(seconds=31)
    await world.run(seconds=31)

    assert {} == world.modes()
    assert {} == world.cluster.truth
    writes = world.cluster.writes[before:]
    assert 3 == sum(each.startswith("apply") for each in writes)
    assert 3 == sum(each.startswith("delete") for each in writes)


async def test_revert_that_fails_halts(world: World) -> None:
    """
    The first node that cannot go back stops the others, whoever recovers or restarts;
    with `Keep`, or when more may fail, the policy goes all the same.
    """
    world.cluster.put_policy(policy(on_removal=OnRemoval.REVERT, rollout=STAGED))
    for _ in range(8):
        await world.run(seconds=31)
        world.cluster.report()
    world.cluster.delete_policy("default")
    await world.run()
    world.cluster.report("n1", ready=False, reason="WriteRefused")

    await world.run(seconds=31)
    world.cluster.report("n1")
    await world.run(seconds=31)
    world = World(world.cluster, after=600)
    world.cluster.report()
    await world.run(seconds=31)

    # The canary's object stays, as the proof that nobody has asked for yet.
    modes = {"n1": "Revert", "n2": "Enforce", "n3": "Enforce"}
    assert modes == world.modes()
    assert "NodesFailed" == world.said("Stalled")
    assert 1 == world.cluster.events.count(("RolloutHalted", "default"))
    row = world.cluster.truth["default"]
    assert row.policy is not None
    keep = replace(row.policy.spec, on_removal=OnRemoval.KEEP)
    world.cluster.put_policy(replace(row, policy=replace(row.policy, spec=keep)))
    await world.run(seconds=31)
    assert ({}, {}) == (world.modes(), world.cluster.truth)


def busy_reverting(world: World, name: str) -> bool:
    """Tell whether a node was told to revert and has not answered."""
    row = world.cluster.conntrack_nodes.truth[name]
    told = row.spec is not None and row.spec.mode is NodeMode.REVERT
    return told and row.observed_generation != row.generation


async def test_finalizer_stays_while_an_own_write_is_not_shown(world: World) -> None:
    """What nobody refers to in an old picture may have been told to nodes since."""
    world.cluster.put_policy(policy())
    await world.settle()
    above = policy("above", priority=1, table=LARGER, on_removal=OnRemoval.REVERT)
    world.cluster.conntrack_nodes.freeze()
    world.cluster.put_policy(above)
    await world.run(passes=2)
    assert [262144] * 3 == [world.limit(name) for name in ("n1", "n2", "n3")]

    world.cluster.delete_policy("above")
    await world.run(seconds=1)
    assert (FINALIZER,) == world.cluster.truth["above"].finalizers

    world.cluster.conntrack_nodes.thaw()
    await world.run()
    assert "above" not in world.cluster.truth


async def test_finalizer_follows_on_removal(world: World) -> None:
    """The finalizer is there with Revert, gone with Keep; others' stay."""
    world.cluster.put_policy(unreadable("default", finalizers=("example.com/other",)))
    world.cluster.put_policy(policy(on_removal=OnRemoval.REVERT))
    await world.run()
    both: tuple[str, ...] = ("example.com/other", FINALIZER)
    assert both == world.cluster.truth["default"].finalizers

    world.cluster.put_policy(unreadable("default"))
    await world.run()
    assert both == world.cluster.truth["default"].finalizers

    world.cluster.put_policy(policy())
    await world.run()
    assert both[:1] == world.cluster.truth["default"].finalizers


async def test_nothing_is_begun_that_could_not_be_taken_back(world: World) -> None:
    """
    While the finalizer of a policy with Revert cannot be set, its nodes keep what they
    have, and the status says why; those of other policies are told.
    """
    world.cluster.put_node(node("n4", role="edge"))
    world.cluster.put_policy(policy("edge", labels={"role": "edge"}, priority=1))
    world.cluster.put_policy(policy(on_removal=OnRemoval.REVERT))
    world.cluster.answers["finalizers"] = [Forbidden("403")] * 20
    await world.settle()

    told = {name for name, mode in world.modes().items() if mode == "Enforce"}
    said = find(world.cluster.truth["default"].status.conditions, "Ready")
    assert {"n4"} == told
    assert said is not None
    assert f"3 held until the finalizer {FINALIZER} is set" in said.message

    world.cluster.answers.clear()
    await world.run(seconds=RETRY_SECONDS)
    await world.settle()
    assert {"Enforce"} == set(world.modes().values())
    assert "AllNodesUpToDate" == world.said("Ready")


async def test_nodes_that_were_told_are_told_on_without_a_finalizer(
    world: World,
) -> None:
    """An edit reaches them: to hold it back would not bring the way back."""
    world.cluster.put_policy(policy())
    await world.settle()
    world.cluster.answers["finalizers"] = [Forbidden("403")] * 20

    world.cluster.put_policy(policy(on_removal=OnRemoval.REVERT, table=LARGER))
    await world.settle()

    assert [262144] * 3 == [world.limit(name) for name in ("n1", "n2", "n3")]


async def test_unreadable_policy_leaves_its_nodes_alone(world: World) -> None:
    """A policy that cannot be read is said to be so, and changes nothing."""
    world.cluster.put_policy(policy())
    await world.settle()
    before = dict(world.cluster.conntrack_nodes.truth)

    world.cluster.put_policy(unreadable("default"))
    writes = await world.run(seconds=60)

    assert ["status default"] == writes
    assert before == world.cluster.conntrack_nodes.truth
    assert "InvalidSelector" == world.said("Accepted")


async def test_registered_again_with_another_uid(world: World) -> None:
    """A new Node waits until the old one's object is collected, then starts anew."""
    world.cluster.put_policy(policy())
    await world.settle()

    world.cluster.put_node(node("n2", uid="new"))
    assert [] == [each for each in await world.run(seconds=30) if "n2" in each]
    world.cluster.collect_garbage()
    await world.run()

    spec = world.cluster.conntrack_nodes.truth["n2"].spec
    assert spec is not None
    assert ("new", NodeMode.OBSERVE) == (spec.node_uid, spec.mode)


async def test_object_that_nobody_collects(world: World) -> None:
    """Where no garbage collector runs, the operator removes the old Node's object."""
    world.cluster.put_policy(policy())
    await world.settle()

    world.cluster.put_node(node("n2", uid="new"))
    await world.run()
    writes = await world.run(seconds=60)

    assert ["delete n2", "apply n2"] == [each for each in writes if "n2" in each]


async def test_deleted_node_is_left_to_the_garbage_collector(world: World) -> None:
    """A Node that goes away has nothing written for it."""
    world.cluster.put_policy(policy())
    await world.settle()

    world.cluster.delete_node("n2")
    writes = await world.run(seconds=300)

    assert [] == [each for each in writes if "n2" in each]


async def test_figures(world: World) -> None:
    """Passes, writes and the nodes of each policy are counted."""
    world.cluster.put_policy(policy())
    await world.settle()

    figures = world.reconciler.current_figures()

    assert 6 == figures.writes["told"]
    assert (1, True) == (figures.epoch, figures.synced)
    assert 3 == figures.policies["default"].updated
    assert figures.passes > 3


# The lease.


async def test_nothing_is_written_without_the_lease(world: World) -> None:
    """An operator that waits for the lease reads, and neither writes nor says."""
    world.cluster.put_policy(policy(on_removal=OnRemoval.REVERT))
    world.epoch = None
    assert [] == await world.run(seconds=60)

    world.epoch = 1
    assert "apply n1" in await world.run()


async def test_lease_that_ends_in_the_middle_of_a_batch(world: World) -> None:
    """What has not been sent when the lease ends is not sent."""
    names = [f"n{index:03}" for index in range(100)]
    world.cluster.put_node(*(node(name) for name in names))
    world.cluster.put_policy(policy())
    began = world.time.now
    world.lease_ends_at = began + 0.5

    writes = await world.run(passes=1)

    assert 1 <= len(writes) <= 26
    assert "status default" not in writes


async def test_new_holder_finds_nothing_to_write(world: World) -> None:
    """Another epoch is no difference; what is written later carries it."""
    world.cluster.put_policy(policy())
    await world.settle()
    world.epoch = 5
    assert [] == await world.run(seconds=60)

    world.cluster.put_policy(policy(table=LARGER))
    await world.run()

    epochs = [
        row.spec.epoch
        for row in world.cluster.conntrack_nodes.truth.values()
        if row.spec
    ]
    assert [5, 5, 5] == epochs


async def test_holder_of_an_older_lease_is_refused(world: World) -> None:
    """What a newer operator has written, an older one cannot overwrite."""
    world.cluster.put_policy(policy())
    world.epoch = 5
    await world.settle()
    world.epoch = 4
    world.cluster.put_policy(policy(table=LARGER))
    assert [] == [each for each in await world.run() if "apply" in each]

    world.epoch = 6
    assert "apply n1" in await world.run()


# Writing.


async def test_own_write_is_awaited(world: World) -> None:
    """A node is not told twice while the informer has not shown the first time."""
    world.cluster.put_policy(policy())
    world.cluster.conntrack_nodes.freeze()

    await world.run()
    await world.run(seconds=PATIENCE_SECONDS - 1)
    assert 3 == world.cluster.calls.count("apply")

    await world.run(passes=1, seconds=2)
    assert 6 == world.cluster.calls.count("apply")

    world.cluster.conntrack_nodes.thaw()
    await world.run(seconds=31)
    assert 6 == world.cluster.calls.count("apply")


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Conflict("409"), 0),
        (NotFound("404"), 0),
        (Forbidden("403"), RETRY_SECONDS),
        (Unavailable("503"), RETRY_SECONDS),
    ],
)
async def test_failure_of_one_object_never_stops_the_others(
    world: World, error: ClusterError, seconds: float
) -> None:
    """Each object fails for itself, and is tried again, after a rest if need be."""
    world.cluster.put_policy(policy())
    world.cluster.answers["apply"] = [error]

    first = await world.run(passes=1)
    assert ["apply n2", "apply n3"] == [each for each in first if "apply" in each]

    if seconds:
        assert [] == [each for each in await world.run() if "apply" in each]
        assert world.due_in() <= seconds
    second = await world.run(passes=1, seconds=seconds)
    assert ["apply n1"] == [each for each in second if "apply" in each]


async def test_what_changed_no_node_is_no_change_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Attempts that fail for hours are told by a warning, which comes seldom."""
    caplog.set_level(logging.INFO, logger="conntrack_operator")
    world.cluster.put_policy(policy())
    world.cluster.answers["apply"] = [Forbidden("403")] * 30

    for _ in range(5):
        await world.run(passes=1, seconds=RETRY_SECONDS)
    assert {logging.WARNING} == {each.levelno for each in caplog.records}

    world.cluster.answers.clear()
    await world.run(seconds=RETRY_SECONDS)
    assert "nodes changed" in caplog.messages


async def test_policy_says_why_its_nodes_cannot_be_told(world: World) -> None:
    """Who waits for a rollout need not find the log to learn which right is missing."""
    world.cluster.put_policy(policy())
    world.cluster.answers["apply"] = [Forbidden("403: may not create")] * 6

    await world.run(passes=1)
    await world.run(passes=1, seconds=STATUS_SECONDS)
    reconciling = find(world.cluster.truth["default"].status.conditions, "Reconciling")
    assert reconciling is not None
    assert reconciling.message.endswith(
        ", 3 changing. Cannot write to n1: 403: may not create"
    )

    await world.run(seconds=RETRY_SECONDS)
    await world.settle()
    ready = find(world.cluster.truth["default"].status.conditions, "Ready")
    assert ready is not None
    assert "3 of 3 nodes up to date." == ready.message


async def test_node_that_comes_back_has_no_past(world: World) -> None:
    """What went wrong with a node that is gone is not said of the next of its name."""
    world.cluster.put_policy(policy())
    world.cluster.answers["apply"] = [Forbidden("403: may not create")] * 3
    await world.run(passes=1)
    world.cluster.delete_node("n1")
    await world.run(passes=2, seconds=STATUS_SECONDS)

    world.cluster.put_node(node("n1", uid="another"))
    await world.run(passes=1, seconds=STATUS_SECONDS)

    ready = find(world.cluster.truth["default"].status.conditions, "Ready")
    assert ready is not None
    assert "Cannot write" not in ready.message


async def test_server_that_asks_for_a_pause(world: World) -> None:
    """Nobody is told anything until it is over, however often the bell rings."""
    world.cluster.put_policy(policy())
    world.cluster.answers["apply"] = [Unavailable("429", retry_after=30)] * 3
    await world.run(passes=1)
    calls = world.cluster.calls.count("apply")

    await world.run(passes=5, seconds=20)
    assert calls == world.cluster.calls.count("apply")
    assert world.due_in() <= 10

    writes = await world.run(passes=1, seconds=10)
    assert 3 == sum("apply" in each for each in writes)


async def test_refused_content_is_not_sent_twice(world: World) -> None:
    """What the API server calls invalid is a problem to be seen, not a loop."""
    world.cluster.put_policy(policy())
    world.cluster.answers["apply"] = [Invalid("422: too large")]
    await world.run()
    writes = await world.run(passes=5, seconds=60)

    assert [] == [each for each in writes if "apply n1" in each]
    problems = world.cluster.truth["default"].status.problem_nodes
    assert problems is not None
    assert ("n1", "422: too large") == (
        problems.nodes[0].name,
        problems.nodes[0].message,
    )

    world.cluster.put_policy(policy(table=LARGER))
    assert "apply n1" in await world.run()


async def test_crd_of_an_older_release() -> None:
    """What it cuts away is said, and not sent again and again."""

    class Older(FakeCluster):
        async def apply_conntrack_node(
            self, name: str, spec: NodeSpec, *, current: ConntrackNodeRow | None
        ) -> ConntrackNodeRow:
            spec = replace(spec, soak_seconds=0)
            return await super().apply_conntrack_node(name, spec, current=current)

    world = World(Older())
    world.cluster.put_node(node("n1"))
    world.cluster.put_policy(policy(rollout=Rollout(soak_seconds=60)))
    await world.settle()
    await world.run(passes=10, seconds=60)

    assert 2 * 2 >= world.cluster.calls.count("apply")  # facts first, then numbers
    problems = world.cluster.truth["default"].status.problem_nodes
    assert problems is not None
    assert PRUNED == problems.nodes[0].message


async def test_pace(world: World) -> None:
    """A thousand nodes are told in 20 s: 50 writes a second after the first 50."""
    names = [f"n{index:04}" for index in range(1000)]
    world.cluster.put_node(*(node(name) for name in names))
    world.cluster.put_policy(policy())
    began = world.time.now

    while len(world.cluster.conntrack_nodes.truth) < 1000:
        await world.run(passes=1)

    assert 18.5 <= world.time.now - began <= 20.5


async def test_statuses_keep_the_pace(world: World) -> None:
    """Policies by the hundred are answered at 50 writes a second, pass by pass."""
    for index in range(250):
        world.cluster.put_policy(policy(f"p{index:03}", labels={"role": f"r{index}"}))
    began = world.time.now

    writes = await world.run(passes=1)
    assert REPORT_SECONDS <= world.time.now - began <= REPORT_SECONDS + 0.1
    assert world.due_in() <= 0
    writes += await world.run(passes=2)

    assert 250 == len(writes) == len(set(writes))
    assert 4.9 <= world.time.now - began <= 5.1


async def test_status_that_nobody_answers() -> None:
    """It costs each pass one wait at most, and hides no other policy for long."""

    class Silent(FakeCluster):
        async def apply_policy_status(
            self, row: PolicyRow, status: PolicyStatus
        ) -> None:
            if row.name.startswith("silent"):
                slow.time.now += 30
                self.calls.append(row.name)
                raise Unavailable("no answer within 30 s")
            await super().apply_policy_status(row, status)

    slow = World(Silent())
    slow.cluster.put_node(node("n1"))
    for name in ("silent-1", "silent-2", "silent-3", "well"):
        slow.cluster.put_policy(policy(name, labels={"role": name}))

    for number in range(1, 4):
        began = slow.time.now
        await slow.run(passes=1)
        assert slow.time.now - began <= 31
        assert number == sum("silent" in each for each in slow.cluster.calls)
    await slow.run(passes=1)

    assert "NoNodesMatched" == slow.said("Ready", "well")


async def test_refused_statuses_and_finalizers_rest(world: World) -> None:
    """Where a right is missing, one attempt in ten seconds is enough."""
    world.cluster.put_policy(policy(on_removal=OnRemoval.REVERT))
    for verb in ("status", "finalizers"):
        world.cluster.answers[verb] = [Forbidden("403")] * 2

    await world.run(passes=5)

    assert 1 == world.cluster.calls.count("status")
    assert 1 == world.cluster.calls.count("finalizers")
    assert world.due_in() <= RETRY_SECONDS
    await world.run(passes=1, seconds=RETRY_SECONDS)
    assert 2 == world.cluster.calls.count("status")
    assert 2 == world.cluster.calls.count("finalizers")


async def test_latest_wins(world: World) -> None:
    """An edit in the middle of a rollout is not held up by what it replaces."""
    names = [f"n{index:04}" for index in range(300)]
    world.cluster.put_node(*(node(name) for name in names))
    world.cluster.put_policy(policy())
    await world.run(passes=1)

    world.cluster.put_policy(policy(generation=2, table=LARGER))
    await world.run(passes=5)

    seen = {
        row.spec.policy_ref.generation
        for row in world.cluster.conntrack_nodes.truth.values()
        if row.spec
    }
    assert {2} == seen


# Reporting.


async def test_mere_numbers_are_written_every_ten_seconds(world: World) -> None:
    """Fills that move are no reason to write at once; an answer that changes is."""
    world.cluster.put_policy(policy())
    await world.settle()

    statuses = []
    for percent in range(20, 30):
        world.cluster.report(percent=percent)
        statuses += await world.run(passes=1, seconds=2)
    assert 2 <= len(statuses) <= 3

    world.cluster.report("n1", ready=False, reason="NotLoaded")
    assert ["status default"] == await world.run(passes=1)


async def test_put_off_numbers_are_written_later(world: World) -> None:
    """The last numbers of a burst are not forgotten."""
    world.cluster.put_policy(policy())
    await world.settle()
    for percent in (50, 60):
        world.cluster.report(percent=percent)
        await world.run(passes=1)

    await world.run(passes=1, seconds=10)

    assert 60 == world.cluster.truth["default"].status.fullest_percent


async def test_silence_is_noticed(world: World) -> None:
    """A node that stops reporting is unreachable without any event."""
    world.cluster.put_policy(policy())
    await world.settle()

    await world.run(seconds=13 * PASS_SECONDS)

    counts = world.cluster.truth["default"].status.nodes
    assert counts is not None
    assert 3 == counts.unreachable


async def test_status_that_is_refused_does_not_stop_the_others(world: World) -> None:
    """A policy whose status cannot be written does not hide the others' statuses."""
    world.cluster.put_policy(policy())
    world.cluster.put_policy(policy("other", labels={"role": "none"}))
    world.cluster.answers["status"] = [Forbidden("403")]

    assert "status other" in await world.run(passes=1)
    assert "status default" in await world.run(passes=1, seconds=RETRY_SECONDS)
