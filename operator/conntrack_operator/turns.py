"""
Turns: which of the decisions of a pass may be written in it.

What a rollout lets go may still have to wait for something else; here all of that
comes together.
"""

import logging
from collections.abc import Container, Sequence
from dataclasses import replace
from datetime import datetime

from conntrack_operator.brake import Brake
from conntrack_operator.decide import Decisions
from conntrack_operator.halts import Halts
from conntrack_operator.outcome import Written
from conntrack_operator.pacing import Clock
from conntrack_operator.plan import Delete
from conntrack_operator.rollout import Wave, wave, without
from conntrack_operator.rows import PolicyRow
from conntrack_operator.writer import Writer

logger = logging.getLogger(__name__)


class Turns:
    """Chooses, pass by pass."""

    def __init__(self, *, halts: Halts, writer: Writer, clock: Clock) -> None:
        """
        Start with nothing held.

        Args:
            halts: Knows which rollouts have halted.
            writer: Knows what is under way and what was refused.
            clock: Seconds that never go back.
        """
        self._halts = halts
        self._writer = writer
        self._clock = clock
        self._brake = Brake()
        self._holding = False

    def choose(
        self,
        rows: Sequence[PolicyRow],
        decisions: Decisions,
        *,
        unkept: Container[str],
        objects: int,
        now: datetime,
    ) -> tuple[Wave, float | None]:
        """
        Choose the changes whose turn it is.

        Args:
            rows: All policies.
            decisions: All that were made.
            unkept: UIDs of the policies that lack their finalizer.
            objects: How many ConntrackNodes there are.
            now: The time of day, with a time zone.

        Returns:
            The changes, and the seconds after which held ones may go.
        """
        every = decisions.nodes.values()
        turn = wave(
            every,
            halted=self._halts.among(rows),
            unshown=self._writer.unshown,
            unsure=self._writer.unsure,
            refused={each.node.name for each in every if self._writer.refusal(each)},
            now=now,
        )
        doubtful = {k: each for k, each in decisions.nodes.items() if each.doubtful}
        released, held_for = self._brake.release(
            doubtful.values(), rows, objects=objects, now=self._clock()
        )
        held = doubtful.keys() - {each.node.name for each in released}
        many = sum(doubtful[name].plan != Delete(stale=True) for name in held)
        if many and not self._holding:
            facts = {"nodes": many, "of": objects, "seconds": held_for}
            logger.warning("held: policies vanished, are listed anew", extra=facts)
        self._holding = bool(many)
        waits = (each for each in (turn.again_in, held_for) if each is not None)
        turn = self._explained(without(turn, unproved=held, unkept=unkept))
        return turn, min(waits, default=None)

    def _explained(self, turn: Wave) -> Wave:
        """
        Say of each policy why the first node that cannot be told cannot be.
        """
        progress = dict(turn.progress)
        for each in sorted(turn.released, key=lambda each: each.node.name):
            whose = each.policy or each.former
            so_far = progress.get(whose.uid) if whose else None
            why = self._writer.failure(each.node.name)
            if whose and so_far and why and not so_far.unwritten:
                text = f"Cannot write to {each.node.name}: {why}"
                progress[whose.uid] = replace(so_far, unwritten=text)
        return replace(turn, progress=progress)

    def written(self, outcome: Written) -> None:
        """
        Take in what came of a batch: an absence that was not confirmed begins anew.
        """
        self._brake.forget(outcome.unconfirmed)
