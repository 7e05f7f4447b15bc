from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from conntrack_api.node import NodeMode, NodeSpec, PolicyRef
from conntrack_api.policy_status import AgentCounts
from conntrack_operator.agents import Agents
from conntrack_operator.coverage import NO_NODE
from conntrack_operator.daemon_set import RESTARTED, STRATEGY, covered
from conntrack_operator.decide import decide
from conntrack_operator.errors import Conflict, Forbidden, Unavailable
from conntrack_operator.pacing import Backoff
from conntrack_operator.patience import NARROW_SECONDS
from conntrack_operator.rows import ConntrackNodeRow, NodeRow, PolicyRow
from conntrack_operator.testing import (
    FakeDaemons,
    FakeTime,
    conntrack_node,
    node,
    pod_template,
    policy,
    policy_row,
)

WEB = policy_row(policy("web", labels={"pool": "web"}))
DB = policy_row(policy("db", labels={"pool": "db"}))


class World:
    """A namespace with the agents' keeper; time passes when somebody says so."""

    def __init__(self, daemons: FakeDaemons | None = None) -> None:
        """Start a keeper that has not looked."""
        self.daemons = daemons or FakeDaemons()
        self.time = FakeTime()
        self.policies: Sequence[PolicyRow] = (WEB,)
        self.fresh: Sequence[PolicyRow] | None = None
        self.nodes: dict[str, NodeRow] = {}
        self.objects: dict[str, ConntrackNodeRow] = {}
        self.epoch: int | None = 1
        self.rings = 0
        self.agents = Agents(
            self.daemons,
            policies=self._policies,
            ring=self._ring,
            epoch=lambda: self.epoch,
            backoff=Backoff(Random(0)),  # noqa: S311 - spreads nothing here
            clock=self.time.clock,
            sleep=self.time.sleep,
        )

    async def _policies(self) -> Sequence[PolicyRow]:
        """List freshly."""
        return self.policies if self.fresh is None else self.fresh

    def _ring(self) -> None:
        """Count the rings."""
        self.rings += 1

    async def run(self, passes: int = 3, *, seconds: float = 10) -> list[str]:
        """Look and keep; give what was written."""
        before = len(self.daemons.writes)
        for _ in range(passes):
            self.time.now += seconds
            await self.agents.look()
            decisions = decide(self.policies, self.nodes, self.objects)
            await self.agents.keep(self.policies, decisions)
        return self.daemons.writes[before:]

    def pools(self) -> set[str]:
        """Give the pools that are covered, and the names."""
        found = covered(self.daemons.live)
        return {value for term in found for need in term for value in need.values}

    def counts(self) -> AgentCounts:
        """Count the agents."""
        found = self.agents.counts(None)
        assert found is not None
        return found


@pytest.fixture
def world() -> World:
    """Give a namespace with a template, and one policy."""
    return World()


async def test_the_daemon_set_is_made_once(world: World) -> None:
    """It belongs to the template, selects by stable labels, and is left alone then."""
    assert ["create"] == await world.run(5)

    live = world.daemons.live
    assert live is not None
    assert [
        {"apiVersion": "v1", "kind": "PodTemplate", "name": "agent"}
        | {"uid": "uid-template"}
    ] == live["metadata"]["ownerReferences"]
    assert 3 == len(live["spec"]["selector"]["matchLabels"])
    assert {"web"} == world.pools()


async def test_a_restart_writes_nothing(world: World) -> None:
    """A new operator finds everything as it should be."""
    await world.run()

    assert [] == await World(world.daemons).run(20)


async def test_without_a_policy_it_runs_nowhere(world: World) -> None:
    """It is there nonetheless, so that what refuses it shows before it is needed."""
    world.policies = ()

    assert ["create"] == await world.run(20)
    assert NO_NODE == covered(world.daemons.live)


async def test_more_nodes_at_once_fewer_after_a_minute(world: World) -> None:
    """A policy that comes is served at once, one that goes is waited for."""
    await world.run()
    world.policies = (DB,)

    assert ["replace"] == await world.run(4)
    assert {"web", "db"} == world.pools()
    assert ["replace"] == await world.run(int(NARROW_SECONDS / 10) + 1)
    assert {"db"} == world.pools()


async def test_a_list_that_was_empty_by_mistake_takes_nothing_away(
    world: World,
) -> None:
    """Before agents are taken away the policies are listed once more."""
    await world.run()
    world.policies, world.fresh = (), (WEB,)

    assert [] == await world.run(30)
    assert {"web"} == world.pools()


async def test_the_last_policy_goes_and_its_nodes_keep_their_agents(
    world: World,
) -> None:
    """Not before the last object is released does any agent go, and then all do."""
    told = NodeSpec(
        policy_ref=PolicyRef(name="web", uid="uid-web", generation=1),
        node_uid="uid-n1",
        revision="r",
        mode=NodeMode.REVERT,
    )
    world.nodes = {name: node(name, pool="web") for name in ("n1", "n2")}
    world.objects = {name: conntrack_node(name, spec=told) for name in ("n1", "n2")}
    await world.run()
    world.policies = ()

    assert [] == await world.run(30)
    del world.objects["n1"]
    assert [] == await world.run(30)
    del world.objects["n2"]
    assert ["replace"] == await world.run(30)
    assert NO_NODE == covered(world.daemons.live)


@pytest.mark.parametrize("how", ["gone", "going", "unreadable", "unlabelled"])
async def test_without_a_template_nothing_is_written(world: World, how: str) -> None:
    """Agents stay as they are, and the reason is said."""
    await world.run()
    before, given = world.daemons.live, world.daemons.given
    assert given is not None
    match how:
        case "gone":
            world.daemons.given = None
        case "going":
            given["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        case "unreadable":
            given["metadata"]["annotations"] = {STRATEGY: "[]"}
        case _:
            del given["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
    world.policies = (WEB, DB)

    assert [] == await world.run(20)
    assert before == world.daemons.live
    assert "NoTemplate" == world.counts().reason
    assert world.counts().message


async def test_a_template_that_goes_before_the_write_stops_it(world: World) -> None:
    """Whoever uninstalls does not get a new DaemonSet."""
    await world.agents.look()
    world.daemons.given = None

    await world.agents.keep(world.policies, decide(world.policies, {}, {}))

    assert [] == world.daemons.writes


async def test_a_new_image_is_written(world: World) -> None:
    """So are another strategy and another owner; a person's restart stays."""
    await world.run()
    live = world.daemons.live
    assert live is not None
    live["spec"]["template"]["metadata"]["annotations"] = {RESTARTED: "now"}
    assert [] == await world.run()
    given = pod_template("agent:2")
    given["metadata"]["uid"] = "another"
    strategy = '{"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":"10%"}}'
    given["metadata"]["annotations"] = {STRATEGY: strategy}
    world.daemons.given = given

    assert ["replace"] == await world.run()
    live = world.daemons.live
    assert live is not None
    pods = live["spec"]["template"]
    assert "agent:2" == pods["spec"]["containers"][0]["image"]
    assert {RESTARTED: "now"} == pods["metadata"]["annotations"]
    assert ["another"] == [each["uid"] for each in live["metadata"]["ownerReferences"]]
    live["spec"]["updateStrategy"]["rollingUpdate"]["maxSurge"] = 0  # a default
    assert [] == await world.run()


async def test_what_somebody_changed_is_put_back(world: World) -> None:
    """Also what the template does not mention at all."""
    await world.run()
    live = world.daemons.live
    assert live is not None
    live["spec"]["template"]["spec"]["hostPID"] = True
    live["metadata"]["labels"]["team"] = "net"
    live["metadata"]["ownerReferences"].append({"kind": "Other", "uid": "u"})

    assert ["replace"] == await world.run()
    assert world.daemons.live is not None
    meta = world.daemons.live["metadata"]
    assert "net" == meta["labels"]["team"]
    assert {"u", "uid-template"} == {each["uid"] for each in meta["ownerReferences"]}
    assert world.daemons.live is not None
    assert "hostPID" not in world.daemons.live["spec"]["template"]["spec"]


async def test_what_is_changed_on_the_way_is_not_written_for_ever(
    world: World,
) -> None:
    """Somebody's webhook has its way after the second attempt."""
    world.daemons.webhook = {"schedulerName": "theirs"}

    assert ["create", "replace"] == await world.run(10)


async def test_who_has_not_the_lease_writes_nothing(world: World) -> None:
    """But looks, and can be asked."""
    world.epoch = None

    assert [] == await world.run()
    assert AgentCounts() == world.counts()


async def test_a_refusal_is_said_and_tried_again(world: World) -> None:
    """At a pace; and once it is accepted the reason goes."""
    refusal = Forbidden("403: these differ in volumes")
    world.daemons.answers["create"] = [refusal, refusal]

    await world.run(1)
    assert ("WriteRefused", str(refusal)) == (
        world.counts().reason,
        world.counts().message,
    )
    before = len(world.daemons.calls)
    await world.run(8, seconds=1)
    assert ["create"] == world.daemons.writes
    assert 2 * 8 == len(world.daemons.calls) - before
    await world.run(3)
    assert "" == world.counts().reason
    assert 3 == len(world.daemons.writes)


async def test_a_conflict_is_looked_into(world: World) -> None:
    """Somebody was faster: the next attempt starts from what is there now."""
    await world.run()
    world.policies = (WEB, DB)
    world.daemons.answers["replace"] = [Conflict("409")]

    assert ["replace", "replace"] == await world.run()
    assert {"web", "db"} == world.pools()
    assert "" == world.counts().reason


async def test_no_answer_keeps_what_was_known(world: World) -> None:
    """Pauses grow, and the counts stay."""
    await world.run()
    world.daemons.status(3, 3)
    await world.run(1)
    world.daemons.answers["daemon_set"] = [Unavailable("x")] * 3

    assert [True] * 3 == [await world.agents.look() >= 1 for _ in range(3)]
    assert 3 == world.counts().running


async def test_only_news_rings(world: World) -> None:
    """A look that finds nothing new leaves the operator asleep."""
    await world.run()
    rings = world.rings
    await world.run()
    assert rings == world.rings

    world.daemons.status(3, 2)
    await world.agents.look()

    assert rings + 1 == world.rings


WAITING: dict[str, Any] = {
    "spec": {"nodeName": "n1"},
    "status": {
        "containerStatuses": [
            {
                "image": "agent:1",
                "state": {"waiting": {"reason": "ErrImagePull", "message": "401"}},
            }
        ]
    },
}
CRASHED: dict[str, Any] = {
    "spec": {"nodeName": "n1"},
    "status": {
        "phase": "Running",
        "containerStatuses": [
            {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "5m"}}}
        ],
    },
}
SAID: dict[str, Any] = {
    "spec": {"nodeName": "n1"},
    "status": {
        "phase": "Running",
        "containerStatuses": [
            {
                "state": CRASHED["status"]["containerStatuses"][0]["state"],
                "lastState": {"terminated": {"message": "a log line\nits sentence\n"}},
            }
        ],
    },
}
ENDED: dict[str, Any] = {
    "spec": {"nodeName": "n1"},
    "status": {
        "phase": "Running",
        "containerStatuses": [
            {"state": {"terminated": {"exitCode": 2, "message": "its sentence"}}}
        ],
    },
}
KILLED: dict[str, Any] = {
    "spec": {"nodeName": "n1"},
    "status": {
        "phase": "Running",
        "containerStatuses": [
            {"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
        ],
    },
}
UNSCHEDULED: dict[str, Any] = {
    "status": {
        "conditions": [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "0/3 nodes are available: 1 Insufficient memory.",
            }
        ]
    }
}
EVICTED: dict[str, Any] = {
    "spec": {"nodeName": "n1"},
    "status": {"phase": "Failed", "reason": "Evicted", "message": "low on memory"},
}


@pytest.mark.parametrize(
    ("pods", "reason", "words"),
    [
        ([WAITING], "ImagePullBackOff", "node n1: the image agent:1 cannot be pulled"),
        ([UNSCHEDULED], "Unschedulable", "Insufficient memory"),
        ([CRASHED], "CrashLoopBackOff", "node n1: 5m"),
        ([SAID], "CrashLoopBackOff", "node n1: its sentence"),
        ([ENDED], "CrashLoopBackOff", "node n1: its sentence"),
        ([KILLED], "CrashLoopBackOff", "node n1: OOMKilled, exit code 137"),
        ([EVICTED], "Evicted", "node n1: low on memory"),
        ([{"status": {"phase": "Running"}}], "NotReady", "not ready yet"),
        ([], "NotReady", "not ready yet"),
    ],
)
async def test_why_agents_are_missing(
    world: World, pods: list[Any], reason: str, words: str
) -> None:
    """The reason is the one that a person would find, looking at the pods."""
    await world.run()
    world.daemons.status(3, 2)
    world.daemons.pending = pods
    await world.run(1)

    found = world.counts()
    assert (3, 2, 1, reason) == (
        found.expected,
        found.running,
        found.missing,
        found.reason,
    )
    assert words in found.message


async def test_pods_that_cannot_be_created_are_explained_by_events(
    world: World,
) -> None:
    """Pod Security refuses them, and nothing but an event says so."""
    await world.run()
    world.daemons.status(3, 0, scheduled=0)
    old = {"reason": "FailedCreate", "message": "quota", "lastTimestamp": "2026-01-01"}
    world.daemons.told = [
        old
        | {"message": 'violates PodSecurity "restricted"'}
        | {"lastTimestamp": "2027"},
        old,
    ]
    await world.run(1)

    assert 'violates PodSecurity "restricted"' == world.counts().message
    assert 3 == world.counts().missing


async def test_counts_of_a_former_version_are_no_news(world: World) -> None:
    """While Kubernetes has not counted anew, what was said last holds."""
    await world.run()
    world.daemons.status(3, 2)
    await world.run(1)
    before = world.counts()
    world.policies = (WEB, DB)

    await world.run()

    assert before == world.counts()


async def test_few_requests_when_all_is_well(world: World) -> None:
    """Two for each look, and nothing else."""
    await world.run()
    world.daemons.calls.clear()

    await world.run(10)

    assert ["template", "daemon_set"] * 10 == world.daemons.calls
