"""
Reconcile: the order of one pass, and when the next one is due.

Each pass starts from what is, not from what happened: look, match and plan, write
what differs, fold what was answered, say so. On an unchanged world a pass writes
nothing.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Never, Protocol

from conntrack_operator import finalizers, halts, policies, recorder, writer
from conntrack_operator.agents import Agents
from conntrack_operator.decide import Decisions, decide
from conntrack_operator.errors import ClusterError
from conntrack_operator.events import of_vanished
from conntrack_operator.figures import Figures
from conntrack_operator.finalizers import Finalizers
from conntrack_operator.governed import by_policy
from conntrack_operator.halts import Halts
from conntrack_operator.outcome import CHANGES
from conntrack_operator.pacing import Backoff, Clock, Doorbell, Sleep, TokenBucket
from conntrack_operator.policies import Policies
from conntrack_operator.recorder import Recorder
from conntrack_operator.rollout import Progress, Wave
from conntrack_operator.rows import ConntrackNodeRow, NodeRow, PolicyRow
from conntrack_operator.store import Store
from conntrack_operator.turns import Turns
from conntrack_operator.writer import Writer

logger = logging.getLogger(__name__)

REPORT_SECONDS: Final = 2.0
"""After so long the other policies hear in the next pass: nodes do not wait for it."""

PASS_SECONDS: Final = 60.0
"""Longest time between passes: a node that falls silent rings no bell."""


class Cluster(
    finalizers.Cluster,
    halts.Cluster,
    policies.Cluster,
    recorder.Cluster,
    writer.Cluster,
    Protocol,
):
    """What a pass asks of the cluster."""


class Reconciler:
    """Runs passes; `run` must be running."""

    def __init__(  # noqa: PLR0913 - the world, time and chance come in
        self,
        cluster: Cluster,
        *,
        nodes: Store[NodeRow],
        conntrack_nodes: Store[ConntrackNodeRow],
        bell: Doorbell,
        backoff: Backoff,
        clock: Clock,
        sleep: Sleep,
        now: Callable[[], datetime],
        epoch: Callable[[], int | None],
        agents: Agents | None = None,
    ) -> None:
        """
        Take the world in; nothing is read or written yet.

        Args:
            cluster: Answers and obeys.
            nodes: All Nodes.
            conntrack_nodes: All ConntrackNodes.
            bell: Rung when one of them changes.
            backoff: Pauses while the policies cannot be read.
            clock: Seconds that never go back, for pauses.
            sleep: Waits.
            now: The time of day with its zone, for statuses.
            epoch: What to write under; ``None``: somebody else has the lease.
            agents: Keeps the agents' DaemonSet; ``None``: not our business.
        """
        self._agents = agents
        self._nodes = nodes
        self._conntrack_nodes = conntrack_nodes
        self._bell = bell
        self._backoff = backoff
        self._clock = clock
        self._now = now
        bucket = TokenBucket(clock=clock, sleep=sleep)
        self._recorder = Recorder(cluster, bucket=bucket, clock=clock)
        counts = agents.counts if agents else lambda _: None
        self._policies = Policies(
            cluster, self._recorder, agents=counts, bucket=bucket, clock=clock
        )
        look_again = self._policies.changed
        self._finalizers = Finalizers(
            cluster, bucket=bucket, clock=clock, look_again=look_again
        )
        self._halts = Halts(cluster, bucket=bucket, look_again=look_again)
        self._writer = Writer(cluster, bucket=bucket, clock=clock, now=now, epoch=epoch)
        self._turns = Turns(halts=self._halts, writer=self._writer, clock=clock)
        self._epoch = epoch
        self.due_at = clock() + PASS_SECONDS
        """When the next pass is due, if nobody rings before."""
        self._in_step = False
        self.figures = Figures()
        """What is counted; always present."""
        self.last_progress = clock()
        """When the last pass ended."""

    def policies_changed(self) -> None:
        """
        Answer the watch of the policies: list them anew, soon.
        """
        self._policies.changed()
        self._bell.ring()

    async def run(self) -> Never:
        """
        Run a pass for each ring of the bell, and one a minute without.
        """
        while True:
            await self._bell.answer(within=self.due_at - self._clock())
            await self.run_pass()

    async def run_pass(self) -> None:
        """
        Look, decide, write, report; nothing at all before everything is known.
        """
        began, self.due_at = self._clock(), self._clock() + PASS_SECONDS
        rows = await self._look()
        if rows is not None:
            objects = self._conntrack_nodes.rows
            unshown = self._writer.settle(objects)
            self._come_again(unshown)
            held = await self._finalizers.hold(rows, objects, sure=unshown is None)
            self._come_again(held)
            # No pause between these: a budget is counted on one picture.
            decisions = decide(rows, self._nodes.rows, self._conntrack_nodes.rows)
            count = len(self._conntrack_nodes.rows)
            turn, again_in = self._turns.choose(
                rows,
                decisions,
                unkept=self._finalizers.missing,
                objects=count,
                now=self._now(),
            )
            self._come_again(again_in)
            counts = await self._write(turn)
            if self._agents:
                self._come_again(await self._agents.keep(rows, decisions))
            await self._report(rows, decisions, turn)
            vanished = of_vanished(decisions.nodes.values())
            await self._recorder.once(vanished, self._now())
            await self._recorder.nodes(self._conntrack_nodes.rows, self._now())
            self.figures.writes += counts
            self.figures.events = self._recorder.counts
            self.figures.policies = self._policies.counts(rows)
            if counts.keys() & CHANGES:
                facts = {**counts, "seconds": round(self._clock() - began, 3)}
                logger.info("nodes changed", extra=facts)
            elif not counts and not self._in_step:
                self._in_step = True
                known = {"policies": len(rows), "nodes": len(self._nodes.rows)}
                logger.info("in step", extra=known)
        self.figures.passes += 1
        self.figures.pass_seconds += self._clock() - began
        self.last_progress = self._clock()

    def current_figures(self) -> Figures:
        """
        Give the figures as they are now.
        """
        self.figures.epoch = self._epoch()
        known = self._nodes.synced and self._conntrack_nodes.synced
        self.figures.synced = known
        return self.figures

    async def _look(self) -> Sequence[PolicyRow] | None:
        """
        Give all policies; ``None`` while anything is unknown, or the lease not ours.
        """
        known = self._nodes.synced and self._conntrack_nodes.synced
        if not known or self._epoch() is None:
            return None
        try:
            rows = await self._policies.current()
        except ClusterError as error:
            logger.warning("cannot list the policies, nothing is decided: %s", error)
            self._come_again(self._backoff.next())
            return None
        self._backoff.reset()
        return rows

    async def _write(self, turn: Wave) -> Counter[str]:
        """
        Carry out what differs and may be written.
        """
        written = await self._writer.write(turn.released)
        self._turns.written(written)
        if written.unconfirmed:
            self._policies.changed()
        self._come_again(written.retry_in)
        return written.counts

    async def _report(
        self, rows: Sequence[PolicyRow], decisions: Decisions, turn: Wave
    ) -> None:
        """
        Tell people how it stands, policy by policy.
        """
        now, until = self._now(), self._policies.saying_seconds + REPORT_SECONDS
        if self._epoch() is not None:
            self._come_again(await self._halts.record(rows, turn.progress))
        every = decisions.nodes.values()
        governed = by_policy(every, rows, self._writer.refusal)
        for row in self._policies.in_turn(rows):
            if self._epoch() is None:
                return
            if self._policies.saying_seconds >= until:
                self._come_again(0)
                return
            losses = decisions.matching.losses.get(row.uid, ())
            so_far = turn.progress.get(row.uid, Progress())
            self._come_again(
                await self._policies.say(
                    row, governed.get(row.uid, ()), losses, so_far, now
                )
            )

    def _come_again(self, seconds: float | None) -> None:
        """
        Have the next pass no later than this; ``None`` is no wish.
        """
        if seconds is not None:
            self.due_at = min(self.due_at, self._clock() + seconds)
