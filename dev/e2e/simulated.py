"""
Nodes that are nothing but objects, beside the real one, and their kubelets' answers.

A pod on such a node is ready a moment after it was bound, and gone a moment after its
deletion. The controllers that look at it are the real ones.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from conntrack_operator.collection import Collection
from conntrack_operator.errors import Conflict, NotFound
from conntrack_operator.transport import JSON, Request, Transport

Json = dict[str, Any]

NEVER: Final = "missing"
"""Part of an image's name that no simulated node can run."""

_NODES: Final = "/api/v1/nodes"
_LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_MERGE: Final = "application/merge-patch+json"
_STRATEGIC: Final = "application/strategic-merge-patch+json"
_BEAT_SECONDS: Final = 10.0
_MOMENT: Final = 0.6
"""Seconds that a start or an end takes at most."""


class Fleet:
    """Simulated nodes, and the pods of one namespace on these and all other nodes."""

    def __init__(
        self, transport: Transport, namespace: str, names: Iterable[str], chance: Random
    ) -> None:
        """
        Say which nodes there shall be.

        Args:
            transport: To the API server, as an administrator.
            namespace: Whose pods are answered for and looked at.
            names: Of the nodes.
            chance: Spreads starts and ends.
        """
        self.names = tuple(names)
        self.images: dict[str, str] = {}
        """Node to the image of the ready pod that was seen last there."""
        self.away: list[int] = []
        """How many nodes had no ready pod, after each event; to be emptied at will."""
        self._transport = transport
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._chance = chance
        self._ready: dict[str, dict[str, str]] = {}
        self._answered: set[tuple[str, str]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def pods(self) -> dict[str, str]:
        """
        Give node to the UID of its one ready pod; nothing of nodes that have none.
        """
        return {node: next(iter(ready)) for node, ready in self._ready.items() if ready}

    async def join(self) -> None:
        """
        Register the nodes.
        """
        for name in self.names:
            await self._send("POST", _NODES, _node(name))

    async def beat(self) -> None:
        """
        Keep the nodes alive in the eyes of their controller, for ever.
        """
        while True:
            now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            for name in self.names:
                lease = {"metadata": {"name": name}, "spec": {"renewTime": now}}
                lease["spec"] |= {"holderIdentity": name}
                try:
                    path = f"{_LEASES}/{name}"
                    await self._send("PATCH", path, lease, _MERGE)
                except NotFound:
                    await self._send("POST", _LEASES, lease)
            await asyncio.sleep(_BEAT_SECONDS)

    async def follow(self) -> None:
        """
        See every event of every pod in its order, and answer for those of ours.
        """
        source, version = Collection(self._transport, self._pods), ""
        async for pods, version in source.pages():  # noqa: B007 - the last one
            for pod in pods:
                self._see("ADDED", pod)
        async with aclosing(source.watch(version, 3600)) as events:
            async for kind, pod in events:
                if kind in ("ADDED", "MODIFIED", "DELETED"):
                    self._see(kind, pod)

    async def leave(self) -> None:
        """
        Remove the nodes, then their pods, which nobody makes anew.
        """
        for name in self.names:
            for path in (f"{_NODES}/{name}", f"{_LEASES}/{name}"):
                with suppress(NotFound):
                    await self._send("DELETE", path)
        found = await self._transport.call(Request(path=self._pods))
        for pod in found.get("items") or ():
            if pod["spec"].get("nodeName") in self.names:
                await self._end(pod["metadata"]["name"])

    def _see(self, kind: str, pod: Any) -> None:  # noqa: ANN401 - any pod
        node, uid = pod["spec"].get("nodeName", ""), pod["metadata"]["uid"]
        if not node:
            return
        leaving = "deletionTimestamp" in pod["metadata"]
        ready = any(
            (each["type"], each["status"]) == ("Ready", "True")
            for each in pod["status"].get("conditions") or ()
        )
        there = self._ready.setdefault(node, {})
        there.pop(uid, None)
        if ready and not leaving and kind != "DELETED":
            there[uid] = self.images[node] = pod["spec"]["containers"][0]["image"]
        self.away.append(sum(not each for each in self._ready.values()))
        if node in self.names and kind != "DELETED" and (leaving or not ready):
            self._answer(pod["metadata"]["name"], uid, pod, leaving=leaving)

    def _answer(
        self,
        name: str,
        uid: str,
        pod: Any,  # noqa: ANN401 - any pod
        *,
        leaving: bool,
    ) -> None:
        step = (uid, "end" if leaving else "start")
        if step in self._answered:
            return
        if not leaving and NEVER in pod["spec"]["containers"][0]["image"]:
            return
        self._answered.add(step)
        work = self._end(name) if leaving else self._start(name)
        task = asyncio.create_task(self._later(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _later(self, work: Any) -> None:  # noqa: ANN401 - a coroutine
        await asyncio.sleep(_MOMENT * self._chance.random())
        with suppress(NotFound, Conflict):
            await work

    async def _start(self, name: str) -> None:
        ready = {"type": "Ready", "status": "True"}
        status = {"phase": "Running", "conditions": [ready]}
        path = f"{self._pods}/{name}/status"
        await self._send("PATCH", path, {"status": status}, _STRATEGIC)

    async def _end(self, name: str) -> None:
        await self._send("DELETE", f"{self._pods}/{name}", {"gracePeriodSeconds": 0})

    async def _send(
        self, method: str, path: str, body: Json | None = None, content: str = JSON
    ) -> None:
        await self._transport.call(
            Request(method=method, path=path, body=body, content_type=content)
        )


@asynccontextmanager
async def fleet(
    transport: Transport, namespace: str, names: Iterable[str], seed: int
) -> AsyncIterator[Fleet]:
    """
    Have simulated nodes for a while.
    """
    found = Fleet(transport, namespace, names, Random(seed))  # noqa: S311 - spreads
    await found.join()
    tasks = [asyncio.create_task(each) for each in (found.beat(), found.follow())]
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await found.leave()


def _node(name: str) -> Json:
    """
    Make a node that has room and is ready.
    """
    room = {"cpu": "8", "memory": "16Gi", "pods": "110"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    labels = {"kubernetes.io/os": "linux", "kubernetes.io/hostname": name}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"capacity": room, "allocatable": room, "conditions": [ready]},
    }
