import asyncio
from datetime import timedelta
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from conntrack_api.conditions import ConditionStatus
from conntrack_api.node import NodeMode, NodeSpec
from conntrack_api.policy import OnRemoval
from conntrack_api.rollout import Rollout, Share
from conntrack_api.table import TableSize
from conntrack_operator.errors import ClusterError, Conflict, Unavailable
from conntrack_operator.pacing import Backoff, Doorbell
from conntrack_operator.reconcile import Reconciler
from conntrack_operator.rows import ConntrackNodeRow
from conntrack_operator.testing import NOW, FakeCluster, FakeTime, node, policy

NAMES = ("n1", "n2", "n3", "n4", "n5", "n6")
names = st.sampled_from(NAMES)


def changing(row: ConntrackNodeRow) -> bool:
    """
    Tell whether a node is failed, or was told what its kernel does not have yet.
    """
    spec = row.spec
    if spec is None or spec.mode is NodeMode.OBSERVE:
        return False
    failed = row.ready is not None and row.ready.status is ConditionStatus.FALSE
    return failed or row.applied_revision != spec.revision


class Watched(FakeCluster):
    """A cluster that checks every write, and may lose the answer to one."""

    def __init__(self) -> None:
        """Allow nothing yet."""
        super().__init__()
        self.budget = 0
        self.lose_answer = False

    async def apply_conntrack_node(
        self, name: str, spec: NodeSpec, *, current: ConntrackNodeRow | None
    ) -> ConntrackNodeRow:
        """Make the write, and count the nodes that change because of us."""
        before = self._changing()
        self._check_halt(name, spec)
        row = await super().apply_conntrack_node(name, spec, current=current)
        after = self._changing()
        if after > before:
            said = f"{after} nodes change at once, {self.budget} may"
            assert len(after) <= self.budget, said
        if self.lose_answer:
            self.lose_answer = False
            raise Unavailable("the answer was lost")
        return row

    def _check_halt(self, name: str, spec: NodeSpec) -> None:
        """Refuse to see a change of a generation that was halted."""
        asked = self.truth.get("default")
        row = self.conntrack_nodes.truth.get(name)
        if asked is None or spec.mode is not NodeMode.ENFORCE:
            return
        halted = asked.status.halted_generation
        told = row.spec.revision if row and row.spec else ""
        news = spec.policy_ref.generation == halted and spec.revision != told
        assert not news, f"{name} is told what was halted at generation {halted}"

    def _changing(self) -> set[str]:
        """Name the nodes that are changing in truth, of those that are governed."""
        asked = self.truth.get("default")
        selector = asked.policy.spec.node_selector if asked and asked.policy else None
        wanted = dict(selector.match_labels).items() if selector else {}.items()
        return {
            row.name
            for row in self.conntrack_nodes.truth.values()
            if changing(row) and row.name in self.nodes.truth
            if (row.spec and row.spec.mode is NodeMode.REVERT)
            or wanted <= dict(self.nodes.truth[row.name].labels).items()
        }


class Model(RuleBasedStateMachine):
    """Persons, kubelets, agents, and an operator that has to live with them."""

    def __init__(self) -> None:
        """Start with an empty cluster."""
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.cluster = Watched()
        self.time = FakeTime()
        self.began = self.time.now
        self.uids = 0
        self.epoch = 0
        self.edits = 0
        self.start()

    def start(self) -> None:
        """Start an operator; it reads everything anew."""
        self.cluster.nodes.thaw()
        self.cluster.conntrack_nodes.thaw()
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
            now=lambda: NOW + timedelta(seconds=self.time.now - self.began),
            epoch=lambda: epoch,
        )

    @initialize(count=st.integers(2, len(NAMES)))
    def register(self, count: int) -> None:
        """Begin with some nodes that have what a policy asks."""
        for name in NAMES[:count]:
            self.add_node(name)
        self.edit(limit=65536, budget=1, canaries=0, web=False, passes=0)
        for _ in range(2 * len(NAMES)):
            self.run_pass(6)
            self.cluster.report()

    @rule(name=names)
    def add_node(self, name: str) -> None:
        """Register a node, or register it anew with another UID."""
        self.uids += 1
        self.cluster.put_node(node(name, uid=f"uid-{self.uids}", role="web"))
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
        limit=st.sampled_from([65536, 131072, 262144]),
        budget=st.integers(1, 2),
        canaries=st.integers(0, 2),
        web=st.sampled_from([False, False, True]),
        passes=st.integers(0, 4),
        failures=st.integers(1, 3),
        on_removal=st.sampled_from(OnRemoval),
    )
    def edit(  # noqa: PLR0913 - one for each thing that people edit
        self,
        *,
        limit: int,
        budget: int,
        canaries: int,
        web: bool,
        passes: int,
        failures: int = 3,
        on_removal: OnRemoval = OnRemoval.KEEP,
    ) -> None:
        """Create or edit the policy; a budget that shrinks is not yet kept to."""
        rollout = Rollout(
            max_unavailable=Share(budget),
            canaries=canaries,
            soak_seconds=0,
            max_failures=failures,
        )
        self.cluster.budget = max(self.cluster.budget, budget)
        self.edits += 1
        self.cluster.put_policy(
            policy(
                labels={"role": "web"} if web else {},
                table=TableSize(max_entries=limit),
                rollout=rollout,
                on_removal=on_removal,
            )
        )
        for _ in range(passes):
            self.run_pass(1)

    @rule()
    def delete_policy(self) -> None:
        """Delete the policy."""
        if "default" in self.cluster.truth:
            self.cluster.delete_policy("default")

    @rule(name=names, ready=st.booleans())
    def answer(self, name: str, ready: bool) -> None:  # noqa: FBT001 - drawn
        """Let an agent answer, well or badly."""
        if name in self.cluster.conntrack_nodes.truth:
            reason = None if ready else "WriteRefused"
            self.cluster.report(name, ready=ready, reason=reason)

    @rule(seconds=st.sampled_from([0, 1, 6]))
    def run_pass(self, seconds: int) -> None:
        """Let the operator run, at most some seconds after the last time."""
        self.time.now += seconds
        self.operator.policies_changed()
        self.loop.run_until_complete(self.operator.run_pass())

    @rule()
    def fall_behind(self) -> None:
        """Let the watch of the objects fall silent."""
        self.cluster.conntrack_nodes.freeze()

    @rule()
    def catch_up(self) -> None:
        """Let the watch deliver everything."""
        self.cluster.conntrack_nodes.thaw()

    @rule(error=st.sampled_from([Unavailable("503"), Conflict("409")]))
    def lose_write(self, error: ClusterError) -> None:
        """Let the next write fail."""
        self.cluster.answers["apply"] = [error]

    @rule(error=st.sampled_from([Unavailable("503"), Conflict("409")]))
    def lose_halt(self, error: ClusterError) -> None:
        """Let the next halt not be written down."""
        self.cluster.answers["halt"] = [error]

    @rule()
    def lose_answer(self) -> None:
        """Let the next write succeed, and its answer be lost."""
        self.cluster.lose_answer = True

    @rule()
    def lose_list(self) -> None:
        """Let the next list of the policies fail."""
        self.cluster.answers["policies"] = [Unavailable("503")]

    @precondition(lambda self: self.epoch < 5)
    @rule()
    def restart(self) -> None:
        """Kill the operator and start another one."""
        self.start()

    @invariant()
    def objects_belong_to_nodes_that_were_there(self) -> None:
        """No object was made for a name that never was a node."""
        assert set(self.cluster.conntrack_nodes.truth) <= set(NAMES)

    def teardown(self) -> None:
        """Let everything calm down: then all is as the policy asks, and stays so."""
        self.cluster.answers.clear()
        self.cluster.lose_answer = False
        self.catch_up()
        self.cluster.collect_garbage()
        before = len(self.cluster.writes)
        self.run_pass(11)
        last = self.cluster.truth.get("default")
        if last and last.status.halted_generation == last.generation:
            self.cluster.put_policy(last)  # the edit that a halt waits for
        for _ in range(40):
            self.run_pass(11)
            self.cluster.report()
        spent = len(self.cluster.writes) - before
        rows = self.cluster.conntrack_nodes.truth
        asked = self.cluster.truth.get("default")
        wanted = (
            asked.policy.spec.node_selector.match_labels
            if asked and asked.policy
            else None
        )
        governed = {
            name
            for name, each in self.cluster.nodes.truth.items()
            if wanted is not None and dict(wanted).items() <= dict(each.labels).items()
        }
        try:
            assert governed == set(rows)
            for row in rows.values():
                assert row.spec is not None
                assert asked is not None
                assert asked.policy is not None
                assert asked.policy.spec.table is not None
                limit = asked.policy.spec.table.max_entries
                assert limit == row.spec.settings["nf_conntrack_max"]
                assert not changing(row)
            # Facts first and numbers, an object replaced, and the policy's status.
            assert spent <= 4 * len(NAMES) + 20
            calm = len(self.cluster.writes)
            self.start()
            for _ in range(3):
                self.run_pass(6)
            assert calm == len(self.cluster.writes)
        finally:
            self.loop.close()


TestModel = Model.TestCase
TestModel.settings = settings(
    max_examples=100, derandomize=True, stateful_step_count=30, deadline=None
)
