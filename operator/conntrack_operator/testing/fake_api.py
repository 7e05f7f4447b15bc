"""
An API server in memory.

`FakeApi` fits the protocol that `reconcile` asks of a cluster, and keeps the API
server's rules that matter there: generations, versions, preconditions, finalizers, and
which part of a status belongs to whom.
"""

from dataclasses import replace
from datetime import datetime

from conntrack_api.node import NodeSpec
from conntrack_api.policy_status import PolicyStatus
from conntrack_operator.errors import ClusterError, Conflict, Invalid, NotFound
from conntrack_operator.events import Event
from conntrack_operator.rows import ConntrackNodeRow, NodeRow, PolicyRow
from conntrack_operator.testing.builders import (
    NOW,
    conntrack_node,
    stamp,
)
from conntrack_operator.testing.fake_store import FakeStore


class FakeApi:
    """What the operator asks of a cluster, answered from memory."""

    def __init__(self) -> None:
        """
        Start empty.
        """
        self.nodes: FakeStore[NodeRow] = FakeStore()
        self.conntrack_nodes: FakeStore[ConntrackNodeRow] = FakeStore()
        self.truth: dict[str, PolicyRow] = {}
        self.calls: list[str] = []
        """Every request of the operator, by verb."""
        self.writes: list[str] = []
        """Every write that was accepted, as verb and name."""
        self.answers: dict[str, list[ClusterError | None]] = {}
        """Errors to answer next, by verb; ``None`` is a good answer between them."""
        self.lists: list[tuple[PolicyRow, ...]] = []
        """Lists of policies to answer next instead of the truth."""
        self.events: list[tuple[str, str]] = []
        """Reason and object of every event."""
        self._version = 0

    async def policies(self) -> tuple[PolicyRow, ...]:
        """
        List all policies.
        """
        self._fail("policies")
        return self.lists.pop(0) if self.lists else tuple(self.truth.values())

    async def node(self, name: str) -> NodeRow:
        """
        Read one Node.
        """
        self._fail("node")
        if name not in self.nodes.truth:
            raise NotFound(name)
        return self.nodes.truth[name]

    async def apply_conntrack_node(
        self, name: str, spec: NodeSpec, *, current: ConntrackNodeRow | None
    ) -> ConntrackNodeRow:
        """
        Make a node's object have this spec.
        """
        self._fail("apply")
        stored = self.conntrack_nodes.truth.get(name)
        if (current and _version(current)) != (stored and _version(stored)):
            raise Conflict(name)
        told = stored.spec if stored else None
        if told and told.node_uid != spec.node_uid:
            raise Invalid("spec.nodeUID never changes")
        if told and told.epoch > spec.epoch:
            raise Invalid("spec.epoch never goes down")
        if stored and told == spec:
            return stored
        version = self._next()
        if stored is None:
            made = conntrack_node(name, spec=spec)
            row = replace(made, uid=f"object-{version}", created=stamp(NOW))
        else:
            row = replace(stored, spec=spec, generation=stored.generation + 1)
        row = replace(row, resource_version=version)
        self.writes.append(f"apply {name}")
        self.conntrack_nodes.truth[name] = row
        return row

    async def delete_conntrack_node(self, row: ConntrackNodeRow) -> None:
        """
        Delete exactly this object in exactly this version.
        """
        self._fail("delete")
        current = self.conntrack_nodes.truth.get(row.name)
        if current is None:
            raise NotFound(row.name)
        if _version(current) != _version(row):
            raise Conflict(row.name)
        self.writes.append(f"delete {row.name}")
        del self.conntrack_nodes.truth[row.name]

    async def apply_policy_status(self, row: PolicyRow, status: PolicyStatus) -> None:
        """
        Replace what was said about a policy.
        """
        self._fail("status")
        current = self._policy(row)  # whatever has the name now
        self.writes.append(f"status {row.name}")
        halted = current.status.halted_generation
        self.truth[row.name] = replace(
            current,
            status=replace(status, halted_generation=halted),
            resource_version=self._next(),
        )

    async def record_halt(self, row: PolicyRow) -> None:
        """
        Write down that the rollout of a policy's present generation has halted.
        """
        self._fail("halt")
        current = self._policy(row)
        if current.resource_version != row.resource_version:
            raise Conflict(row.name)
        if row.generation < (current.status.halted_generation or 0):
            raise Invalid("status.haltedGeneration never goes down")
        self.writes.append(f"halt {row.name}")
        status = replace(current.status, halted_generation=row.generation)
        self.truth[row.name] = replace(
            current, status=status, resource_version=self._next()
        )

    async def post_event(self, event: Event, now: datetime) -> None:
        """
        Keep what people are told.
        """
        self._fail("event")
        self.events.append((event.reason.value, event.name))
        assert now.tzinfo is not None  # noqa: S101 - a time without a zone is a bug

    async def set_finalizers(self, row: PolicyRow, finalizers: tuple[str, ...]) -> None:
        """
        Replace a policy's finalizers, if nobody has changed it meanwhile.
        """
        self._fail("finalizers")
        current = self._policy(row)
        if _version(current) != _version(row):
            raise Conflict(row.name)
        self.writes.append(f"finalizers {row.name}")
        if current.deleting and not finalizers:
            del self.truth[row.name]
            return
        self.truth[row.name] = replace(
            current, finalizers=finalizers, resource_version=self._next()
        )

    def _policy(self, row: PolicyRow) -> PolicyRow:
        """
        Find the policy of this name.
        """
        if row.name not in self.truth:
            raise NotFound(row.name)
        return self.truth[row.name]

    def _fail(self, verb: str) -> None:
        """
        Note a call, and answer with the next error that a test ordered for its verb.
        """
        self.calls.append(verb)
        error = self.answers[verb].pop(0) if self.answers.get(verb) else None
        if error is not None:
            raise error

    def _next(self) -> str:
        """
        Give the next version.
        """
        self._version += 1
        return str(self._version)


def _version(row: ConntrackNodeRow | PolicyRow) -> tuple[str, str]:
    """
    Give what two rows share that are the same version of the same object.
    """
    return row.uid, row.resource_version
