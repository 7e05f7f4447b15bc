import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile
from math import inf
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from conntrack_agent.growth import Grown, kept
from conntrack_api.conditions import ConditionStatus
from conntrack_api.growth import Growth
from conntrack_api.node import NodeMode, NodeSpec
from conntrack_api.policy import OnRemoval
from conntrack_api.policy_status import PolicyStatus
from conntrack_api.rollout import Rollout, Share
from conntrack_api.sizing import Sizing
from conntrack_api.table import TableSize
from conntrack_operator.brake import CONFIRM_SECONDS
from conntrack_operator.errors import ClusterError, Conflict, Unavailable
from conntrack_operator.events import Event
from conntrack_operator.pacing import Backoff, Doorbell
from conntrack_operator.reconcile import Reconciler
from conntrack_operator.rows import ConntrackNodeRow, NodeRow, PolicyRow
from conntrack_operator.standing import SILENCE, silent
from conntrack_operator.testing import (
    NOW,
    FakeCluster,
    FakeTime,
    answered,
    node,
    policy,
    stamp,
)
from conntrack_operator.transport import SILENCE_SECONDS

NAMES = ("n1", "n2", "n3", "n4", "n5", "n6")
POLICIES = ("default", "other")
MAX = "nf_conntrack_max"
LIMITS = (65536, 131072, 262144)
LIST_SECONDS = 60
"""What the list after a dead watch may take."""
QUIET = SILENCE.total_seconds() + 60

names = st.sampled_from(NAMES)
policies = st.sampled_from(POLICIES)


@dataclass(frozen=True)
class List:
    """A list of the policies that the operator was given."""

    at: float
    rows: tuple[PolicyRow, ...]

    def lacks(self, uid: str) -> bool:
        """Tell whether a policy is not in it."""
        return all(row.uid != uid for row in self.rows)

    def governing(self, of: NodeRow) -> PolicyRow | None:
        """Say who governs a node, as a person would: the highest priority wins."""
        selecting = [
            row
            for row in self.rows
            if row.policy and not row.deleting
            if _selects(row.policy.spec.node_selector.match_labels, of)
        ]
        rank = {row.uid: row.policy.spec.priority for row in selecting if row.policy}
        return max(selecting, key=lambda row: rank[row.uid], default=None)


def _selects(labels: Mapping[str, str], of: NodeRow) -> bool:
    """Tell whether a node has all of these labels."""
    return dict(labels).items() <= dict(of.labels).items()


class Killed(Exception):
    """The operator dies here."""


@dataclass(frozen=True)
class Write:
    """A spec on its way to the API server."""

    name: str
    spec: NodeSpec
    current: ConntrackNodeRow | None


class Watched(FakeCluster):
    """A cluster that checks every write, and in which requests go astray."""

    def __init__(self, time: FakeTime) -> None:
        """Allow nothing yet."""
        super().__init__()
        self.time = time
        self.began = time.now
        self.budgets: dict[str, int] = {}
        self.lists_given: list[List] = []
        self.hidden: dict[str, int] = {}
        self.lose_answer = False
        self.lose_on_the_way = False
        self.late: list[Write] = []
        self.last: Write | None = None
        self.lives: int | None = None

    @property
    def date(self) -> datetime:
        """Tell the time of day."""
        return NOW + timedelta(seconds=self.time.now - self.began)

    async def policies(self) -> tuple[PolicyRow, ...]:
        """List the policies, without those that are hidden for so many lists."""
        every = await super().policies()
        gone = {name for name, left in self.hidden.items() if left > 0}
        self.hidden = {name: left - 1 for name, left in self.hidden.items() if left > 1}
        found = tuple(row for row in every if row.name not in gone)
        self.lists_given = [*self.lists_given[-40:], List(self.time.now, found)]
        return found

    async def apply_conntrack_node(
        self, name: str, spec: NodeSpec, *, current: ConntrackNodeRow | None
    ) -> ConntrackNodeRow:
        """Make the write, unless it or its answer goes astray."""
        with self._mortal():
            write = Write(name, spec, current)
            if self.lose_on_the_way:
                self.lose_on_the_way = False
                self.late.append(write)
                raise Unavailable("no answer within 30 s")
            row = await self.arrive(write)
        if self.lose_answer:
            self.lose_answer = False
            raise Unavailable("the answer was lost")
        return row

    async def arrive(self, write: Write) -> ConntrackNodeRow:
        """Make a write, and look what it does."""
        former = self.conntrack_nodes.truth.get(write.name)
        before = self._changing(write.spec.policy_ref.uid)
        if former is not None and self._busy(former):
            before = before | {write.name}  # another policy was changing it already
        row = await super().apply_conntrack_node(
            write.name, write.spec, current=write.current
        )
        self.last = write
        after = self._changing(write.spec.policy_ref.uid)
        most = self.budgets[write.spec.policy_ref.uid]
        assert after <= before or len(after) <= most, f"{after} change at once"
        if former is not None and former.spec is not None and former != row:
            self._check_news(former, former.spec, write.spec)
        return row

    async def delete_conntrack_node(self, row: ConntrackNodeRow) -> None:
        """Delete an object, if nobody governs its node as far as one can know."""
        with self._mortal():
            self._check_taken(row)
            await super().delete_conntrack_node(row)

    async def apply_policy_status(self, row: PolicyRow, status: PolicyStatus) -> None:
        """Replace what was said about a policy."""
        with self._mortal():
            await super().apply_policy_status(row, status)

    async def record_halt(self, row: PolicyRow) -> None:
        """Write a halt down."""
        with self._mortal():
            await super().record_halt(row)

    async def set_finalizers(self, row: PolicyRow, finalizers: tuple[str, ...]) -> None:
        """Replace a policy's finalizers."""
        with self._mortal():
            await super().set_finalizers(row, finalizers)

    async def post_event(self, event: Event, now: datetime) -> None:
        """Keep what people are told."""
        with self._mortal():
            await super().post_event(event, now)

    def store(self, row: ConntrackNodeRow) -> None:
        """Keep what an agent or a person has made of an object."""
        new = replace(row, resource_version=self._next())
        self.conntrack_nodes.truth[row.name] = new

    def _mortal(self) -> "Mortal":
        """Kill the operator before or after a write, if its time has come."""
        return Mortal(self)

    def step(self) -> None:
        """Count a boundary of a write; the operator dies at the one that was drawn."""
        if self.lives is not None:
            if self.lives <= 0:
                raise Killed
            self.lives -= 1

    def _check_news(
        self, former: ConntrackNodeRow, told: NodeSpec, spec: NodeSpec
    ) -> None:
        """Refuse to see what must not be told."""
        new = told.revision != spec.revision
        shown = self.conntrack_nodes.rows.get(former.name)
        if new and spec.mode is not NodeMode.OBSERVE:
            assert not (shown and shown.hold), f"{former.name} is on hold, and is told"
        asked = next((r for r in self.truth.values() if _ref(spec) == _id(r)), None)
        if asked and new and spec.mode is NodeMode.ENFORCE:
            halted = asked.status.halted_generation == spec.policy_ref.generation
            assert not halted, f"{former.name} is told what was halted"
        if told.policy_ref == spec.policy_ref and former.table:
            both = told.settings.get(MAX), spec.settings.get(MAX)
            less = both[0] and both[1] and both[1] < both[0]
            grown = former.table.grown_from is not None
            assert not (grown and less), f"{former.name} has grown, and is told less"
        if spec.mode is NodeMode.REVERT or told.policy_ref.uid != _ref(spec):
            self._check_taken(former)

    def _check_taken(self, row: ConntrackNodeRow) -> None:
        """Refuse to see a node taken from a policy that governs it as one can know."""
        known = self.nodes.truth.get(row.name)
        if known is None or row.spec is None or known.uid != row.spec.node_uid:
            return
        uid = row.spec.policy_ref.uid
        latest = self.lists_given[-1]
        seen_in = self.lists_given[-2:] if latest.lacks(uid) else [latest]
        holders = [_id(each.governing(known)) for each in seen_in]
        assert uid not in holders, f"{row.name} is taken from a policy that governs it"
        truth = List(latest.at, tuple(self.truth.values())).governing(known)
        if not any(each.rows for each in seen_in) and _id(truth) == uid:
            without = takewhile(
                lambda each: _id(each.governing(known)) != uid,
                reversed(self.lists_given),
            )
            since = min(each.at for each in without)
            assert latest.at - since >= CONFIRM_SECONDS, "one empty list is enough"

    def _changing(self, uid: str) -> set[str]:
        """Name the nodes that change under a policy, or have failed as is known."""
        return {
            row.name
            for row in self.conntrack_nodes.truth.values()
            if row.spec and row.spec.policy_ref.uid == uid
            if row.spec.mode is not NodeMode.OBSERVE
            if self._counts(row, uid) and self._busy(row)
        }

    def _counts(self, row: ConntrackNodeRow, uid: str) -> bool:
        """Tell whether a node is a policy's, in both of the last two lists."""
        known = self.nodes.rows.get(row.name)
        if known is None or row.spec is None:
            return False
        owners = {_id(each.governing(known)) for each in self.lists_given[-2:]}
        return owners == {uid} or (
            owners == {None} and row.spec.mode is NodeMode.REVERT
        )

    def _busy(self, row: ConntrackNodeRow) -> bool:
        """Tell whether a node within reach has not what it was told, or fails."""
        shown = self.conntrack_nodes.rows.get(row.name, row)
        if shown.hold or silent(shown, self.date):
            return False
        ready = shown.ready
        fails = (
            ready is not None
            and ready.status is ConditionStatus.FALSE
            and shown.observed_generation == shown.generation
        )
        return fails or lacks(row)


class Mortal:
    """Two boundaries: before a write, and after it."""

    def __init__(self, cluster: Watched) -> None:
        """Take the cluster."""
        self._cluster = cluster

    def __enter__(self) -> None:
        """Maybe die before."""
        self._cluster.step()

    def __exit__(self, *_: object) -> None:
        """Maybe die after."""
        self._cluster.step()


def _ref(spec: NodeSpec) -> str:
    """Name the policy that a spec was made for."""
    return spec.policy_ref.uid


def _id(row: PolicyRow | None) -> str | None:
    """Name a policy."""
    return row.uid if row else None


def lacks(row: ConntrackNodeRow) -> bool:
    """Tell whether a node was told what its kernel does not have yet."""
    spec = row.spec
    acts = spec is not None and spec.mode is not NodeMode.OBSERVE
    return acts and spec is not None and row.applied_revision != spec.revision


async def bury() -> None:
    """End what a dead operator has left running."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for each in left:
        each.cancel()
    await asyncio.gather(*left, return_exceptions=True)


class Model(RuleBasedStateMachine):
    """Persons, kubelets, agents, and an operator that has to live with them."""

    def __init__(self) -> None:
        """Start with an empty cluster."""
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.time = FakeTime()
        self.cluster = Watched(self.time)
        self.grown: dict[str, Grown] = {}
        self.behind_since = inf
        self.uids = 0
        self.epoch = 0
        self.start()

    def start(self) -> None:
        """Start an operator; it reads everything anew."""
        self.catch_up()
        self.cluster.lives = None
        self.epoch += 1
        epoch = self.epoch
        self.operator = Reconciler(
            self.cluster,
            nodes=self.cluster.nodes,
            conntrack_nodes=self.cluster.conntrack_nodes,
            bell=Doorbell(self.time.clock),
            backoff=Backoff(Random(0)),  # noqa: S311 - spreads nothing here
            clock=self.time.clock,
            sleep=self.time.sleep,
            now=lambda: self.cluster.date,
            epoch=lambda: epoch,
        )

    @initialize(count=st.integers(2, len(NAMES)), db=st.integers(0, len(NAMES)))
    def register(self, count: int, db: int) -> None:
        """Begin with some nodes that have what a policy asks, or one of two."""
        for number, name in enumerate(NAMES[:count]):
            self.add_node(name, role="db" if number < db else "web")
        self.edit("default", limit=65536, budget=1, canaries=0, passes=0)
        if db:
            self.edit("other", limit=131072, budget=1, canaries=0, passes=0)
        for _ in range(2 * len(NAMES)):
            self.run_pass(6)
            self.answer_all()

    @rule(name=names, role=st.sampled_from(["web", "db"]))
    def add_node(self, name: str, role: str = "web") -> None:
        """Register a node, or register it anew with another UID."""
        self.uids += 1
        self.cluster.put_node(node(name, uid=f"uid-{self.uids}", role=role))
        self.cluster.collect_garbage()

    @rule(name=names)
    def delete_node(self, name: str) -> None:
        """Delete a node, and what it owns."""
        if name in self.cluster.nodes.truth:
            self.cluster.delete_node(name)
            self.cluster.collect_garbage()

    @rule(name=names, role=st.sampled_from(["web", "db"]))
    def relabel(self, name: str, role: str) -> None:
        """Change a node's label."""
        known = self.cluster.nodes.truth.get(name)
        if known:
            self.cluster.put_node(node(name, uid=known.uid, role=role))

    @rule(
        name=policies,
        limit=st.sampled_from(LIMITS),
        grows=st.booleans(),
        sized=st.sampled_from([False, False, True]),
        budget=st.integers(1, 2),
        canaries=st.integers(0, 2),
        web=st.sampled_from([False, False, True]),
        passes=st.integers(0, 4),
        failures=st.integers(1, 3),
        on_removal=st.sampled_from(OnRemoval),
    )
    def edit(  # noqa: PLR0913 - one for each thing that people edit
        self,
        name: str,
        *,
        limit: int,
        budget: int,
        canaries: int,
        passes: int,
        web: bool = False,
        grows: bool = False,
        sized: bool = False,
        failures: int = 3,
        on_removal: OnRemoval = OnRemoval.KEEP,
    ) -> None:
        """Create or edit a policy; a budget that shrinks is not yet kept to."""
        labels = {"role": "db"} if name == "other" else {"role": "web"} if web else {}
        sizing = Sizing(per_core=limit // 4, floor=1024)
        there = self.cluster.truth.get(name)
        self.uids += 1
        wanted = replace(
            policy(
                name,
                labels=labels,
                priority=POLICIES.index(name),
                table=TableSize(
                    max_entries=None if sized else limit,
                    sizing=sizing if sized else None,
                    growth=Growth(at_percent=80, factor=2) if grows else None,
                ),
                rollout=Rollout(
                    max_unavailable=Share(budget),
                    canaries=canaries,
                    soak_seconds=0,
                    max_failures=failures,
                ),
                on_removal=on_removal,
            ),
            uid=there.uid if there else f"uid-{self.uids}",
        )
        if there and there.deleting:
            return
        self.cluster.put_policy(wanted)
        known = self.cluster.budgets.get(wanted.uid, 0)
        self.cluster.budgets[wanted.uid] = max(budget, known)
        for _ in range(passes):
            self.run_pass(1)

    @rule(name=policies)
    def touch(self, name: str) -> None:
        """Edit a policy without another number in it."""
        there = self.cluster.truth.get(name)
        if there and not there.deleting:
            self.cluster.put_policy(there)

    @rule(name=policies)
    def delete_policy(self, name: str) -> None:
        """Delete a policy."""
        if name in self.cluster.truth:
            self.cluster.delete_policy(name)

    @rule(name=policies, lists=st.integers(1, 6))
    def vanish(self, name: str, lists: int) -> None:
        """Leave a policy that is there out of so many lists."""
        self.cluster.hidden[name] = lists

    @rule(name=names, ready=st.booleans())
    def answer(self, name: str, ready: bool) -> None:  # noqa: FBT001 - drawn
        """Let an agent answer, well or badly; on hold it changes nothing."""
        row = self.cluster.conntrack_nodes.truth.get(name)
        if row is None or row.spec is None:
            return
        ours = kept(self.grown.get(name), row.spec)
        if ours is None:
            self.grown.pop(name, None)
        reason = "OnHold" if row.hold else None if ready else "WriteRefused"
        well = ready and not row.hold
        now = stamp(self.cluster.date)
        new = answered(row, ready=well, reason=reason, heartbeat=now)
        told = row.spec.settings.get(MAX, 100_000)
        assert new.table is not None
        table = replace(
            new.table,
            max_entries=ours.limit if ours else told,
            grown_from=told if ours else None,
        )
        self.put(replace(new, table=table))

    @rule()
    def answer_all(self) -> None:
        """Let all agents answer well."""
        for name in NAMES:
            self.answer(name, ready=True)

    def put(self, row: ConntrackNodeRow) -> None:
        """Store a new version of an object."""
        self.cluster.store(row)

    @rule(name=names)
    def grow(self, name: str) -> None:
        """Let a table that is full grow by itself, and the agent say so."""
        row = self.cluster.conntrack_nodes.truth.get(name)
        if row is None or row.spec is None or row.hold or lacks(row):
            return
        told, growth = row.spec.settings.get(MAX), row.spec.growth
        if row.spec.mode is NodeMode.ENFORCE and told and growth:
            has = self.grown[name].limit if name in self.grown else told
            larger = min(has * growth.factor, growth.ceiling)
            if larger > has:
                self.grown[name] = Grown(told=told, limit=larger)
            self.answer(name, ready=True)

    @rule(name=names, reason=st.booleans())
    def hold(self, name: str, reason: bool) -> None:  # noqa: FBT001 - drawn
        """Annotate a node's object, or take the annotation away."""
        row = self.cluster.conntrack_nodes.truth.get(name)
        if row:
            self.put(replace(row, hold=reason))

    @rule(reporting=st.sets(names))
    def fall_silent(self, reporting: set[str]) -> None:
        """Let a quarter of an hour pass in which only some nodes report."""
        self.time.now += QUIET
        for name in sorted(reporting):
            self.answer(name, ready=True)

    @rule(seconds=st.sampled_from([0, 1, 6]))
    def run_pass(self, seconds: int) -> None:
        """Let the operator run, at most some seconds after the last time."""
        self.time.now += seconds
        if self.time.now > self.behind_since + SILENCE_SECONDS + LIST_SECONDS:
            self.catch_up()
        self.operator.policies_changed()
        try:
            self.loop.run_until_complete(self.operator.run_pass())
        except Killed:
            self.loop.run_until_complete(bury())
            self.start()

    @rule(passes=st.integers(1, 4))
    def go_on(self, passes: int) -> None:
        """Let a rollout go on, with all agents at work."""
        for _ in range(passes):
            self.answer_all()
            self.run_pass(6)

    @rule(limit=st.sampled_from(LIMITS), failures=st.integers(1, 2))
    def fail(self, limit: int, failures: int) -> None:
        """Let the first nodes that are told an edit fail with it, and recover."""
        self.edit("default", limit=limit, budget=2, canaries=1, passes=2, failures=1)
        rows = list(self.cluster.conntrack_nodes.truth.values())
        for row in [each for each in rows if lacks(each)][:failures]:
            self.answer(row.name, ready=False)
        self.run_pass(1)
        self.go_on(2)

    @rule(limit=st.sampled_from(LIMITS))
    def edit_while_behind(self, limit: int) -> None:
        """Let a watch fall silent before an edit is rolled out."""
        self.fall_behind(nodes=False)
        self.edit("default", limit=limit, budget=1, canaries=0, passes=3)

    @rule(nodes=st.booleans())
    def fall_behind(self, nodes: bool) -> None:  # noqa: FBT001 - drawn
        """Let a watch fall silent; what happens now is in no event of it."""
        store = self.cluster.nodes if nodes else self.cluster.conntrack_nodes
        store.freeze()
        self.behind_since = min(self.behind_since, self.time.now)

    @rule()
    def catch_up(self) -> None:
        """List again after the gap, as after 410: what is gone is just not there."""
        self.cluster.nodes.thaw()
        self.cluster.conntrack_nodes.thaw()
        self.behind_since = inf

    @rule(
        verb=st.sampled_from(["apply", "delete", "halt", "status", "finalizers"]),
        error=st.sampled_from([Unavailable("503"), Conflict("409")]),
    )
    def lose_write(self, verb: str, error: ClusterError) -> None:
        """Let the next write of a kind fail."""
        self.cluster.answers[verb] = [error]

    @rule()
    def lose_answer(self) -> None:
        """Let the next write of a spec succeed, and its answer be lost."""
        self.cluster.lose_answer = True

    @rule()
    def delay_write(self) -> None:
        """Let the next write of a spec be under way for longer than anybody waits."""
        self.cluster.lose_on_the_way = True

    @rule()
    def late_write(self) -> None:
        """Let the writes that are under way arrive."""
        late, self.cluster.late = self.cluster.late, []
        for each in late:
            self._send(each)

    @rule()
    def repeat_write(self) -> None:
        """Let the last write arrive once more."""
        if self.cluster.last:
            self._send(self.cluster.last)

    def _send(self, write: Write) -> None:
        """Let a write arrive for which nobody waits."""
        with suppress(ClusterError):
            self.loop.run_until_complete(self.cluster.arrive(write))

    @rule()
    def lose_list(self) -> None:
        """Let the next list of the policies fail."""
        self.cluster.answers["policies"] = [Unavailable("503")]

    @precondition(lambda self: self.epoch < 5)
    @rule()
    def restart(self) -> None:
        """Kill the operator between two passes, and start another one."""
        self.start()

    @precondition(lambda self: self.epoch < 5)
    @rule(boundary=st.integers(0, 7))
    def kill(self, boundary: int) -> None:
        """Kill the operator before or after one of its next writes."""
        self.cluster.lives = boundary

    def teardown(self) -> None:
        """Let everything calm down: then all is as the policies ask, and stays so."""
        try:
            self._calm_down()
            self._check_the_end()
        finally:
            self.loop.close()

    def _calm_down(self) -> None:
        """End all that goes wrong, and let everybody work."""
        cluster = self.cluster
        cluster.answers.clear()
        cluster.hidden.clear()
        cluster.late.clear()
        cluster.lose_answer = cluster.lose_on_the_way = False
        cluster.lives = None
        self.catch_up()
        for name in list(cluster.conntrack_nodes.truth):
            self.hold(name, reason=False)
        cluster.collect_garbage()
        before = len(cluster.writes)
        self.answer_all()
        self.run_pass(11)
        for row in list(cluster.truth.values()):
            if row.status.halted_generation == row.generation:
                cluster.put_policy(row)  # the edit that a halt waits for
        for _ in range(40):
            self.run_pass(11)
            self.answer_all()
        # Facts first and numbers, an object replaced, and the policies' statuses.
        assert len(cluster.writes) - before <= 4 * len(NAMES) + 30

    def _check_the_end(self) -> None:
        """Compare with what the policies ask."""
        cluster = self.cluster
        asked = List(0, tuple(cluster.truth.values()))
        rows = cluster.conntrack_nodes.truth
        governed = {
            name: owner
            for name, each in cluster.nodes.truth.items()
            if (owner := asked.governing(each))
        }
        assert set(governed) == set(rows)
        for name, row in rows.items():
            asking = governed[name].policy
            assert row.spec is not None
            assert asking is not None
            table = asking.spec.table
            assert table is not None
            assert row.spec.policy_ref.generation == asking.generation
            assert row.spec.policy_ref.uid == asking.uid
            assert (row.spec.growth is None) == (table.growth is None)
            told, ours = row.spec.settings[MAX], self.grown.get(name)
            if table.sizing:
                least = table.sizing.per_core * 4
                assert least <= told <= max(least, 2 * LIMITS[-1])
            else:
                assert told == table.max_entries
            assert ours is None or (row.spec.growth and ours.limit > told)
            assert not lacks(row)
        calm = len(cluster.writes)
        self.start()
        for _ in range(3):
            self.run_pass(6)
        assert calm == len(cluster.writes)


def test_model() -> None:
    """
    Whatever happens in whatever order: once all is calm every node has what its policy
    asks, and on the way no budget is exceeded and nothing is taken for an absence.
    """
    few = settings(
        max_examples=60, derandomize=True, stateful_step_count=40, deadline=None
    )
    run_state_machine_as_test(Model, settings=few)


@pytest.mark.faults
def test_model_at_length() -> None:
    """The same for many more and longer stories, others each time."""
    many = settings(
        max_examples=2000, stateful_step_count=80, deadline=None, print_blob=True
    )
    run_state_machine_as_test(Model, settings=many)
