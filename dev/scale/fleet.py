"""
A fleet on a real API server: its Nodes, its objects, and what can be seen of them.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import aclosing, suppress
from typing import Any, Final

from conntrack_api import API_VERSION, node
from conntrack_api.codec import to_object
from conntrack_api.node import NodeMode
from conntrack_api.policy import ConntrackPolicy
from conntrack_operator.cluster import CONNTRACK_NODES, NODES, POLICIES
from conntrack_operator.collection import Collection
from conntrack_operator.errors import ClusterError
from conntrack_operator.plan import wish
from conntrack_operator.rows import ConntrackNodeRow, Json, conntrack_node_row
from conntrack_operator.testing import FACTS
from conntrack_operator.transport import Request, Transport
from demo.errors import DemoFailed
from scale.planner import POOL

AT_ONCE: Final = 16
"""Requests under way together while a fleet is made."""

_MERGE: Final = "application/merge-patch+json"


class Seen:
    """What a watch shows of the objects; `run` must be running."""

    def __init__(self, transport: Transport) -> None:
        """
        Start having seen nothing.
        """
        self._transport = transport
        self._rows: dict[str, ConntrackNodeRow] = {}
        self._changing: set[str] = set()
        self.most_changing = 0
        """Most nodes at one instant that had not applied what they were told."""

    async def run(self) -> None:
        """
        Follow the objects, for ever.
        """
        every = Collection(self._transport, CONNTRACK_NODES)
        while True:
            with suppress(ClusterError):
                version = ""
                async for items, version in every.pages():  # noqa: B007 - the last one
                    for obj in items:
                        self._take(conntrack_node_row(obj))
                async with aclosing(every.watch(version, 3000)) as events:
                    async for kind, obj in events:
                        if kind in ("ADDED", "MODIFIED"):
                            self._take(conntrack_node_row(obj))
            await asyncio.sleep(0.2)

    def _take(self, row: ConntrackNodeRow) -> None:
        """
        Take over one object.
        """
        self._rows[row.name] = row
        spec = row.spec
        observes = spec is None or spec.mode is NodeMode.OBSERVE
        if observes or (spec and row.applied_revision == spec.revision):
            self._changing.discard(row.name)
        else:
            self._changing.add(row.name)
            self.most_changing = max(self.most_changing, len(self._changing))

    def have(self, setting: str, value: int) -> int:
        """
        Count the nodes that have applied a value.
        """
        return sum(
            row.spec is not None
            and row.spec.settings.get(setting) == value
            and name not in self._changing
            for name, row in self._rows.items()
        )

    async def until(self, check: Callable[[], bool], what: str, within: float) -> None:
        """
        Wait until something can be seen.

        Raises:
            DemoFailed: It was not within so many seconds.
        """
        try:
            async with asyncio.timeout(within):
                # What is waited for happens in other processes.
                while not check():  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        except TimeoutError as error:
            raise DemoFailed(f"not within {within:.0f} s: {what}") from error


async def register(transport: Transport, names: list[str], pools: int) -> None:
    """
    Make Nodes, labelled as a cloud labels them.
    """
    await _all(
        transport.call(
            Request(method="POST", path=NODES, body=_node(name, index % pools))
        )
        for index, name in enumerate(names)
    )


async def converge(
    transport: Transport, names: list[str], policies: dict[str, ConntrackPolicy]
) -> None:
    """
    Make the objects of a fleet that has been told everything and has applied it.

    Args:
        transport: Of the administrator.
        names: Of the Nodes, which are there.
        policies: Pool to the policy that governs it, as the API server gave it.
    """
    wishes = {pool: wish(each).numbers for pool, each in policies.items()}

    async def make(obj: Json) -> None:
        name, pool = obj["metadata"]["name"], obj["metadata"]["labels"][POOL]
        spec = to_object(wishes[pool]) | {"nodeUID": obj["metadata"]["uid"], "epoch": 1}
        owner = {"apiVersion": "v1", "kind": "Node", "name": name}
        owner["uid"] = obj["metadata"]["uid"]
        body = {
            "apiVersion": API_VERSION,
            "kind": node.KIND,
            "metadata": {"name": name, "ownerReferences": [owner]},
            "spec": spec,
        }
        await transport.call(Request(method="POST", path=CONNTRACK_NODES, body=body))
        status = {"status": _applied(spec)}
        path = f"{CONNTRACK_NODES}/{name}/status"
        request = Request(method="PATCH", path=path, body=status, content_type=_MERGE)
        await transport.call(request)

    found: list[Json] = []
    async for items, _ in Collection(transport, NODES, metadata=True).pages():
        found += items
    await _all(make(obj) for obj in found if obj["metadata"]["name"] in set(names))


async def apply_policy(transport: Transport, name: str, spec: Json) -> None:
    """
    Create or edit a policy.
    """
    body = {
        "apiVersion": API_VERSION,
        "kind": "ConntrackPolicy",
        "metadata": {"name": name},
        "spec": spec,
    }
    request = Request(
        method="PATCH",
        path=f"{POLICIES}/{name}",
        params={"fieldManager": "scale", "force": "true"},
        body=body,
        content_type="application/apply-patch+yaml",
    )
    await transport.call(request)


async def _all(requests: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """
    Send many requests, a few at a time.
    """
    waiting: set[asyncio.Task[Any]] = set()
    for each in requests:
        if len(waiting) >= AT_ONCE:
            done, waiting = await asyncio.wait(
                waiting, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
        waiting.add(asyncio.create_task(each))
    await asyncio.gather(*waiting)


def _node(name: str, pool: int) -> Json:
    """
    Write a Node with the labels that one has in a cloud.
    """
    labels = {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "m6i.2xlarge",
        "topology.kubernetes.io/region": "eu-central-1",
        "topology.kubernetes.io/zone": f"eu-central-1{'abc'[len(name) % 3]}",
        POOL: f"p{pool}",
    }
    meta = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta}


def _applied(spec: Json) -> Json:
    """
    Write the status of a node that has what it was told.
    """
    said = {"status": "True", "observedGeneration": 1}
    return {
        "observedGeneration": 1,
        "appliedRevision": spec["revision"],
        "heartbeat": "2099-01-01T00:00:00Z",  # nobody renews it while this is measured
        "facts": to_object(FACTS),
        "conditions": [
            {
                "type": "Ready",
                "reason": "Applied",
                "message": "All 2 settings have the values asked for.",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
                **said,
            }
        ],
    }
