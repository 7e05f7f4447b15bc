"""
What it takes to grow: the decision, a table that can, and a journal that knows.

Stands between `growth`, which computes, and the notes, which outlive the process. The
write itself is the enforcer's, like any other.
"""

import logging
from dataclasses import asdict, replace

from conntrack_agent.diff import diff
from conntrack_agent.growth import grown_spec, wanted
from conntrack_agent.notes import Notes
from conntrack_agent.observations import Observation
from conntrack_api.node import NodeSpec
from conntrack_api.settings import NF_CONNTRACK_BUCKETS, NF_CONNTRACK_MAX

log = logging.getLogger("conntrack_agent")

_SIZE = (NF_CONNTRACK_MAX.name, NF_CONNTRACK_BUCKETS.name)


def grow(told: NodeSpec, seen: Observation, notes: Notes, now: float) -> None:
    """
    Note that the table shall be larger, if it shall be and can be.

    Nothing grows while a change is on trial, since its way back leads to what was
    before; nor while memory or the stall of a resize are against it.

    Args:
        told: What the node was told.
        seen: The kernel as it was found.
        notes: What is known.
        now: Monotonic seconds.
    """
    memory = notes.memory
    larger = wanted(told, memory.grown, seen, now)
    if larger is None or memory.trial or notes.complaint:
        return
    spec = grown_spec(told, larger)
    stall = memory.stall(spec.max_stall_milliseconds, now)
    if any(each.setting in _SIZE for each in diff(spec, seen, stall).refusals):
        return
    log.info("the table grows", extra=asdict(larger))
    if not notes.save(replace(memory, grown=larger)):
        notes.memory = memory
