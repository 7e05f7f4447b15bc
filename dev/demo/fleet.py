"""
A fleet of simulated agents on a real API server, for tests of the operator.

They answer what they are told, a moment later, and change no kernel. The fleet follows
one watch, so it sees every state that the API server has had, in order, and remembers
the most nodes that were changing at one instant.
"""

import asyncio
from contextlib import aclosing, suppress
from typing import Any

from conntrack_api import API_VERSION
from conntrack_api.codec import to_object
from conntrack_api.conditions import Condition, ConditionStatus, NodeReason
from conntrack_api.node import (
    KIND,
    BucketsPath,
    NodeFacts,
    NodeMode,
    NodeStatus,
    TableStatus,
)
from conntrack_operator.cluster import CONNTRACK_NODES
from conntrack_operator.collection import Collection
from conntrack_operator.errors import ClusterError
from conntrack_operator.rows import ConntrackNodeRow, Json, conntrack_node_row
from conntrack_operator.transport import Request, Transport

ANSWER_SECONDS = 0.3
"""From what a node is told to its answer."""

FACTS = NodeFacts(
    kernel="6.12.0",
    cores=4,
    memory_bytes=8 * 2**30,
    buckets_path=BucketsPath.SYSCTL,
    agent="0.0.0",
)


class Fleet:
    """All agents of a cluster; `run` must be running."""

    def __init__(self, transport: Transport) -> None:
        """
        Start knowing no node.
        """
        self._transport = transport
        self._answers: dict[str, asyncio.Task[None]] = {}
        self._generations: dict[str, int] = {}
        self.rows: dict[str, ConntrackNodeRow] = {}
        self.most = 0
        """Most nodes that were changing at one instant since `forget`."""
        self.failing: set[str] = set()
        """Names of the nodes that answer that they cannot."""

    def forget(self) -> None:
        """
        Count the most anew.
        """
        self.most = 0

    @property
    def specs_written(self) -> int:
        """
        Give how often a spec was ever created or changed: the generations know.
        """
        return sum(self._generations.values())

    @property
    def changing(self) -> int:
        """
        Count the nodes that were told what they have not applied.
        """
        return sum(map(_changing, self.rows.values()))

    @property
    def failed(self) -> int:
        """
        Count the nodes that have answered that they cannot.
        """
        return sum(
            row.observed_generation == row.generation and _changing(row)
            for row in self.rows.values()
        )

    def at(self, limit: int) -> int:
        """
        Count the nodes that have applied a limit.
        """
        rows = self.rows.values()
        return sum(_limit(row) == limit and not _changing(row) for row in rows)

    async def recover(self, name: str) -> None:
        """
        Let a node that failed say that it is well.
        """
        self.failing.discard(name)
        await self._send(self.rows[name])

    async def run(self) -> None:
        """
        Follow the objects and answer, until cancelled; no answer outlives it.
        """
        try:
            await self._follow()
        finally:
            for answer in self._answers.values():
                answer.cancel()
            await asyncio.gather(*self._answers.values(), return_exceptions=True)

    async def _follow(self) -> None:
        """
        List, watch, and list again, for ever.
        """
        every = Collection(self._transport, CONNTRACK_NODES)
        while True:
            with suppress(ClusterError):
                found: dict[str, ConntrackNodeRow] = {}
                version = ""
                async for items, version in every.pages():  # noqa: B007 - the last one
                    found |= {row.name: row for row in map(conntrack_node_row, items)}
                self.rows = found
                for row in found.values():
                    self._generations[row.uid] = row.generation
                    self._look(row)
                async with aclosing(every.watch(version, 600)) as events:
                    async for kind, obj in events:
                        self._take(kind, obj)
            await asyncio.sleep(0.2)

    def _take(self, kind: str, obj: Json) -> None:
        """
        Take over one event.
        """
        if kind == "BOOKMARK":
            return
        row = conntrack_node_row(obj)
        if kind == "DELETED":
            self.rows.pop(row.name, None)
            return
        self.rows[row.name] = row
        self._generations[row.uid] = row.generation
        self.most = max(self.most, self.changing)
        self._look(row)

    def _look(self, row: ConntrackNodeRow) -> None:
        """
        Answer a node that has been told something, unless an answer is on its way.
        """
        running = self._answers.get(row.name)
        told = row.observed_generation != row.generation
        if told and (running is None or running.done()):
            self._answers[row.name] = asyncio.create_task(self._answer(row.name))

    async def _answer(self, name: str) -> None:
        """
        Report until the report is in.
        """
        while True:
            await asyncio.sleep(ANSWER_SECONDS)
            row = self.rows.get(name)
            if row is None or row.observed_generation == row.generation:
                return
            with suppress(ClusterError):
                await self._send(row)

    async def _send(self, row: ConntrackNodeRow) -> None:
        """
        Report once.

        Raises:
            ClusterError: The report may not be in.
        """
        request = Request(
            method="PATCH",
            path=f"{CONNTRACK_NODES}/{row.name}/status",
            params={"fieldManager": "conntrack-agent", "force": "true"},
            body=_report(row, failing=row.name in self.failing),
            content_type="application/apply-patch+yaml",
        )
        self.rows[row.name] = conntrack_node_row(await self._transport.call(request))


def _limit(row: ConntrackNodeRow) -> int:
    """
    Give the limit that a node was told.
    """
    return row.spec.settings.get("nf_conntrack_max", 0) if row.spec else 0


def _changing(row: ConntrackNodeRow) -> bool:
    """
    Tell whether a node was told to change its kernel, and has not.
    """
    told = row.spec is not None and row.spec.mode is not NodeMode.OBSERVE
    return told and row.spec is not None and row.applied_revision != row.spec.revision


def _report(row: ConntrackNodeRow, *, failing: bool) -> dict[str, Any]:
    """
    Make the status that says: as told, or that the node cannot.
    """
    spec = row.spec
    observing = spec is None or spec.mode is NodeMode.OBSERVE
    good = {
        NodeMode.OBSERVE: NodeReason.OBSERVING,
        NodeMode.ENFORCE: NodeReason.APPLIED,
        NodeMode.REVERT: NodeReason.REVERTED,
    }
    reason = good[spec.mode] if spec else NodeReason.OBSERVING
    reason = NodeReason.WRITE_REFUSED if failing else reason
    limit = max(1024, _limit(row))
    status = NodeStatus(
        observed_generation=row.generation,
        applied_revision=None
        if observing or failing or spec is None
        else spec.revision,
        facts=FACTS,
        table=TableStatus(
            entries=100, max_entries=limit, buckets=limit // 4, used_percent=0
        ),
        conditions=(
            Condition(
                type="Ready",
                status=ConditionStatus.FALSE if failing else ConditionStatus.TRUE,
                reason=reason,
                message="cannot be written" if failing else "as told",
                observed_generation=row.generation,
                last_transition_time="2026-01-01T00:00:00Z",
            ),
        ),
    )
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": row.name, "uid": row.uid},
        "status": to_object(status),
    }
