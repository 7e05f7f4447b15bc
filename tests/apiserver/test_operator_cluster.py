"""
What the operator asks of a cluster: the same tests for the API server and its fake.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from conntrack_api import API_VERSION
from conntrack_api.conditions import Condition, ConditionStatus
from conntrack_api.policy_status import PolicyStatus
from conntrack_operator.access import Credentials
from conntrack_operator.cluster import ApiCluster
from conntrack_operator.errors import Conflict, Invalid, NotFound
from conntrack_operator.events import Event, EventReason
from conntrack_operator.lease_row import LeaseRow
from conntrack_operator.plan import wish
from conntrack_operator.rows import FINALIZER
from conntrack_operator.testing import FakeCluster, FakeLease, node, policy
from conntrack_operator.transport import Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conntrack_api.node import NodeSpec
    from conntrack_operator import lease, reconcile
    from conntrack_operator.rows import ConntrackNodeRow, PolicyRow
    from control_plane import ControlPlane

pytestmark = pytest.mark.apiserver

NAMESPACE = "contract"
READY = Condition(
    type="Ready",
    status=ConditionStatus.TRUE,
    reason="AllNodesUpToDate",
    message="1 of 1 node up to date.",
    observed_generation=1,
    last_transition_time="2026-01-01T00:00:00Z",
)


class World(Protocol):
    """A cluster, and the hands of everybody else in it."""

    @property
    def cluster(self) -> reconcile.Cluster:
        """
        Give what the operator asks.
        """

    @property
    def lease(self) -> lease.Cluster:
        """
        Give what keeps the lease.
        """

    def put_node(self, name: str) -> None:
        """
        Register a Node.
        """

    def put_policy(self, name: str, established: int) -> None:
        """
        Create or edit a policy.
        """

    def delete_policy(self, name: str) -> None:
        """
        Delete a policy.
        """


class Fake:
    """The one in memory."""

    def __init__(self) -> None:
        """Start empty."""
        self.cluster = FakeCluster()
        self.lease = FakeLease()

    def put_node(self, name: str) -> None:
        """Register a Node."""
        self.cluster.put_node(node(name))

    def put_policy(self, name: str, established: int) -> None:
        """Create or edit a policy."""
        self.cluster.put_policy(policy(name, timeouts={TIMEOUT: established}))

    def delete_policy(self, name: str) -> None:
        """Delete a policy."""
        self.cluster.delete_policy(name)


TIMEOUT = "nf_conntrack_tcp_timeout_established"


class Real:
    """The real thing."""

    def __init__(self, cluster: ApiCluster, api: Any) -> None:  # noqa: ANN401 - of conftest
        """Take both connections."""
        self.cluster, self.lease = cluster, cluster.lease()
        self._api = api

    def put_node(self, name: str) -> None:
        """Register a Node."""
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
        assert 201 == self._api.send("POST", "/api/v1/nodes", body).code

    def put_policy(self, name: str, established: int) -> None:
        """Create or edit a policy."""
        body = {
            "apiVersion": API_VERSION,
            "kind": "ConntrackPolicy",
            "metadata": {"name": name},
            "spec": {
                "nodeSelector": {},
                "timeouts": {"tcp": {"established": established}},
            },
        }
        answer = self._api.apply(f"conntrackpolicies/{name}", body, "person")
        assert answer.code in (200, 201), answer.message

    def delete_policy(self, name: str) -> None:
        """Delete a policy."""
        assert 200 == self._api.send("DELETE", f"conntrackpolicies/{name}").code

    def clean(self) -> None:
        """Leave nothing behind."""
        for answer in self._api.send("GET", "conntrackpolicies").body["items"]:
            meta = {"metadata": {"finalizers": None}}
            path = f"conntrackpolicies/{answer['metadata']['name']}"
            kind = "application/merge-patch+json"
            self._api.send("PATCH", path, meta, content=kind)
            self._api.send("DELETE", path)
        for path in ("conntracknodes", "/api/v1/nodes"):
            for item in self._api.send("GET", path).body["items"]:
                self._api.send("DELETE", f"{path}/{item['metadata']['name']}")
        self._api.send("DELETE", LEASES + "/conntrack-operator")


LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"


@pytest.fixture(params=["fake", "real"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Give an empty cluster: one in memory, then a real one."""
    if request.param == "fake":
        yield Fake()
        return
    plane: ControlPlane = request.getfixturevalue("control_plane")
    api = request.getfixturevalue("api")
    space = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE},
    }
    api.send("POST", "/api/v1/namespaces", space)
    credentials = Credentials(
        kubeconfig=str(plane.kubeconfig), context=None, clock=time.monotonic
    )
    async with Transport(credentials) as transport:
        real = Real(ApiCluster(transport, namespace=NAMESPACE), api)
        real.clean()
        yield real
        real.clean()


async def only(world: World) -> PolicyRow:
    """Give the one policy."""
    (row,) = await world.cluster.policies()
    return row


async def told(world: World, name: str = "n1") -> tuple[NodeSpec, ConntrackNodeRow]:
    """Register a node and tell it what a policy asks."""
    world.put_node(name)
    uid = (await world.cluster.node(name)).uid
    numbers = wish(policy(timeouts={TIMEOUT: 600})).numbers
    spec = replace(numbers, node_uid=uid, epoch=3)
    return spec, await world.cluster.apply_conntrack_node(name, spec, current=None)


async def test_policies(world: World) -> None:
    """An edit is a new generation and a new version of the same object."""
    assert () == await world.cluster.policies()

    world.put_policy("one", 600)
    first = await only(world)
    world.put_policy("one", 700)
    second = await only(world)

    assert ("one", 1, False) == (first.name, first.generation, first.deleting)
    assert (first.uid, 2) == (second.uid, second.generation)
    assert first.resource_version != second.resource_version
    assert second.policy is not None
    assert 700 == second.policy.spec.timeouts[TIMEOUT]


async def test_node(world: World) -> None:
    """A Node is read by its name; there may be none."""
    with pytest.raises(NotFound):
        await world.cluster.node("n1")

    world.put_node("n1")

    assert "n1" == (await world.cluster.node("n1")).name


async def test_apply(world: World) -> None:
    """What is applied is what is given back; the same once more is no write."""
    spec, row = await told(world)
    # The API server completes its own bookkeeping with the second of equal writes.
    first = await world.cluster.apply_conntrack_node("n1", spec, current=row)
    again = await world.cluster.apply_conntrack_node("n1", spec, current=first)
    other = replace(spec, revision="other")
    second = await world.cluster.apply_conntrack_node("n1", other, current=again)

    assert ("n1", 1, spec) == (first.name, first.generation, first.spec)
    assert (row.uid, row.generation) == (first.uid, first.generation)
    assert first == again
    assert (first.uid, 2, other) == (second.uid, second.generation, second.spec)
    assert int(first.resource_version) < int(second.resource_version)


async def test_apply_to_another_object(world: World) -> None:
    """Another object of the name, or none at all, is not the one that is meant."""
    spec, row = await told(world)

    with pytest.raises(Conflict):
        await world.cluster.apply_conntrack_node(
            "n1", spec, current=replace(row, uid="another", resource_version="1")
        )
    with pytest.raises(Conflict):
        await world.cluster.apply_conntrack_node("n2", spec, current=row)


async def test_late_apply(world: World) -> None:
    """A write that was given up, and arrives after its successor, undoes nothing."""
    spec, row = await told(world)
    newer = replace(spec, revision="newer")
    stored = await world.cluster.apply_conntrack_node("n1", newer, current=row)

    with pytest.raises(Conflict):
        await world.cluster.apply_conntrack_node("n1", spec, current=row)
    assert stored == await world.cluster.apply_conntrack_node(
        "n1", newer, current=stored
    )


async def test_late_creation(world: World) -> None:
    """
    What was to be created, and arrives when it is there, undoes nothing. A setting of
    later is gone when it is left out.
    """
    asked = wish(policy(timeouts={TIMEOUT: 600}))
    world.put_node("n1")
    uid = (await world.cluster.node("n1")).uid
    first, numbers = (
        replace(each, node_uid=uid) for each in (asked.facts_first, asked.numbers)
    )
    fewer = replace(numbers, settings={TIMEOUT: 600})
    row = await world.cluster.apply_conntrack_node("n1", first, current=None)
    row = await world.cluster.apply_conntrack_node("n1", numbers, current=row)
    row = await world.cluster.apply_conntrack_node("n1", fewer, current=row)

    with pytest.raises(Conflict):
        await world.cluster.apply_conntrack_node("n1", first, current=None)
    assert fewer == row.spec


@pytest.mark.parametrize("change", [{"epoch": 2}, {"node_uid": "another"}])
async def test_rules_between_old_and_new(world: World, change: dict[str, Any]) -> None:
    """An older epoch and another Node's UID are refused by what keeps the object."""
    spec, row = await told(world)

    with pytest.raises(Invalid):
        await world.cluster.apply_conntrack_node(
            "n1", replace(spec, **change), current=row
        )


async def test_delete(world: World) -> None:
    """Only the very version that was looked at is deleted, and only once."""
    spec, old = await told(world)
    other = replace(spec, revision="other")
    new = await world.cluster.apply_conntrack_node("n1", other, current=old)

    with pytest.raises(Conflict):
        await world.cluster.delete_conntrack_node(old)
    await world.cluster.delete_conntrack_node(new)
    with pytest.raises(NotFound):
        await world.cluster.delete_conntrack_node(new)


async def test_status(world: World) -> None:
    """A status is no new generation; without a policy it has no place."""
    world.put_policy("one", 600)
    row = await only(world)
    status = PolicyStatus(observed_generation=1, conditions=(READY,))

    await world.cluster.apply_policy_status(row, status)
    said = await only(world)

    assert (1, status) == (said.generation, said.status)
    assert row.resource_version != said.resource_version
    with pytest.raises(NotFound):
        await world.cluster.apply_policy_status(replace(row, name="none"), status)


async def test_halt(world: World) -> None:
    """No status takes a halt away, and no earlier one comes after a later one."""
    world.put_policy("one", 600)
    first = await only(world)
    world.put_policy("one", 700)
    second = await only(world)

    await world.cluster.record_halt(second)
    await world.cluster.apply_policy_status(second, PolicyStatus())
    with pytest.raises(Conflict):
        await world.cluster.record_halt(first)
    last = await only(world)
    with pytest.raises(Invalid):
        await world.cluster.record_halt(replace(last, generation=1))

    assert last == await only(world)
    assert 2 == last.status.halted_generation


async def test_halt_of_another_policy(world: World) -> None:
    """
    A policy that was made anew under the name inherits no halt, and gets its own.

    Nor does one that is not made anew get any.
    """
    world.put_policy("one", 600)
    world.put_policy("one", 700)
    former = await only(world)
    world.delete_policy("one")
    with pytest.raises(NotFound):
        await world.cluster.record_halt(former)
    world.put_policy("one", 800)
    made = await only(world)

    with pytest.raises(Conflict):
        await world.cluster.record_halt(former)

    assert made == await only(world)
    await world.cluster.record_halt(made)
    assert 1 == (await only(world)).status.halted_generation


async def test_finalizers(world: World) -> None:
    """A finalizer holds a deleted policy, and goes only from the version read."""
    world.put_policy("one", 600)
    row = await only(world)
    await world.cluster.set_finalizers(row, (FINALIZER,))
    with pytest.raises(Conflict):
        await world.cluster.set_finalizers(row, ())

    world.delete_policy("one")
    held = await only(world)
    assert (True, (FINALIZER,)) == (held.deleting, held.finalizers)

    await world.cluster.set_finalizers(held, ())
    assert () == await world.cluster.policies()
    with pytest.raises(NotFound):
        await world.cluster.set_finalizers(held, ())


async def test_event(world: World) -> None:
    """An event is taken without a question."""
    event = Event(
        kind="ConntrackPolicy",
        name="one",
        uid="u",
        reason=EventReason.ROLLOUT_STARTED,
        message="It began.",
    )
    await world.cluster.post_event(event, datetime.now(UTC))


async def test_lease(world: World) -> None:
    """Who writes must have read the last version; a second one cannot be made."""
    now = "2026-01-01T00:00:00.000000Z"
    new = LeaseRow(holder="one", transitions=1, seconds=15, renewed=now)
    assert None is await world.lease.lease()

    first = await world.lease.put_lease(new)
    with pytest.raises(Conflict):
        await world.lease.put_lease(new)
    second = await world.lease.put_lease(replace(first, holder="two", transitions=2))
    with pytest.raises(Conflict):
        await world.lease.put_lease(first)

    assert second == await world.lease.lease()
    assert ("two", 2) == (second.holder, second.transitions)
    assert first.version != second.version
