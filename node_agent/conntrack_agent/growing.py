"""
What it takes to grow: the decision, a table that can, and a journal that knows.

Stands between `growth`, which computes, and the notes, which outlive the process. The
write itself is the enforcer's, like any other.
"""

import logging
from dataclasses import replace
from typing import Final

from conntrack_agent.diff import diff
from conntrack_agent.growth import Grown, bound, due, grown_spec, wanted
from conntrack_agent.notes import Notes
from conntrack_agent.observations import Observation
from conntrack_api.node import NodeSpec
from conntrack_api.settings import NF_CONNTRACK_BUCKETS, NF_CONNTRACK_MAX

log = logging.getLogger("conntrack_agent")

HYSTERESIS: Final = 5
"""Points of fill below the threshold at which a growth that was refused is past."""

_SIZE = (NF_CONNTRACK_MAX.name, NF_CONNTRACK_BUCKETS.name)


class Growing:
    """The growth of one table, and why it did not happen."""

    def __init__(self, notes: Notes) -> None:
        """
        Grow nothing yet.

        Args:
            notes: What is known, and is to be told of a growth.
        """
        self._notes = notes
        self._refusal = ""

    def grow(self, told: NodeSpec, seen: Observation, now: float) -> str:
        """
        Note that the table shall be larger, if it shall be and can be.

        Args:
            told: What the node was told.
            seen: The kernel as it was found.
            now: Monotonic seconds.

        Returns:
            Why it does not grow though it is full enough, for a message; empty when it
            is not, or grows. A refusal is said until the fill is well below the
            threshold, so that one that swings does not make the message swing.
        """
        memory = self._notes.memory
        if not due(told, memory.grown, seen, margin=HYSTERESIS if self._refusal else 0):
            self._refusal = ""
        elif due(told, memory.grown, seen):
            larger = wanted(told, memory.grown, seen, now)
            self._refusal = self._against(told, larger, seen, now)
            if larger and not self._refusal and not self._notes.complaint:
                log.info(
                    "the table grows",
                    extra={"limit": larger.limit, "buckets": larger.buckets},
                )
                if not self._notes.save(replace(memory, grown=larger)):
                    self._notes.memory = memory
        return self._refusal

    def _against(
        self, told: NodeSpec, larger: Grown | None, seen: Observation, now: float
    ) -> str:
        """
        Say what speaks against a growth that is due; empty when nothing does.

        Nothing grows while a change is on trial, since its way back leads to what was
        before; nor while memory or the stall of a resize are against it.
        """
        memory = self._notes.memory
        if larger is None:
            return bound(told.growth, memory.grown, seen, now) if told.growth else ""
        if memory.trial:
            return "a change is on trial, or was taken back"
        stall = memory.stall(told.max_stall_milliseconds, now)
        refusals = diff(grown_spec(told, larger), seen, stall).refusals
        return next((each.message for each in refusals if each.setting in _SIZE), "")
