"""
What the node answers: one `NodeStatus` out of everything that a pass found.

Computes only; times come in as text. The status is small and says the numbers.
"""

import re
from dataclasses import replace
from typing import Final

from conntrack_agent import VERSION
from conntrack_agent.changes import Findings
from conntrack_agent.fit import BASELINE_LEAST, fitted
from conntrack_agent.observations import Observation
from conntrack_agent.verdicts import drifted, pressure, ready
from conntrack_api.conditions import with_transitions
from conntrack_api.node import (
    Capability,
    Failure,
    NodeFacts,
    NodeSpec,
    NodeStatus,
    TableStatus,
)
from conntrack_api.settings import NF_CONNTRACK_BUCKETS, NF_CONNTRACK_MAX

MOST_RELEASE: Final = 64
"""Characters of a kernel's release. Source: Linux, ``__NEW_UTS_LEN``."""

MOST_NAME: Final = 64
"""Characters of a setting's name that the API server takes."""

BAND: Final = 5
"""Points of fill that are worth a write of their own."""


def report(
    spec: NodeSpec,
    generation: int,
    seen: Observation,
    found: Findings,
    *,
    last: NodeStatus,
    now: str,
) -> NodeStatus:
    """
    Say what is.

    Args:
        spec: What the node was told.
        generation: The ``metadata.generation`` it was told with.
        seen: The kernel after the pass.
        found: What else the pass found out.
        last: The status as last written; gives transition times.
        now: RFC 3339.

    Returns:
        The whole status: whatever is not in it is taken to be gone.
    """
    plain = (
        ready(spec, generation, found),
        pressure(spec, generation, seen, found, last),
        drifted(generation, found),
    )
    limit = max(0, seen.values.get(NF_CONNTRACK_MAX.name, 0))
    peak = max(found.load.peak_entries, seen.entries or 0)
    lacking = (Capability.NO_KERNEL_LOG,) if found.load.no_log else ()
    status = NodeStatus(
        observed_generation=generation,
        applied_revision=found.applied_revision,
        heartbeat=now,
        table=None
        if seen.entries is None
        else TableStatus(
            entries=max(0, seen.entries),
            max_entries=limit,
            buckets=max(0, seen.values.get(NF_CONNTRACK_BUCKETS.name, 0)),
            used_percent=max(0, seen.used_percent),
            peak_entries=peak,
            peak_percent=peak * 100 // limit if limit else 0,
            grown_from=found.grown_from,
            memory_bytes=found.load.memory_bytes,
        ),
        drops=found.load.drops,
        facts=NodeFacts(
            kernel=seen.host.kernel[:MOST_RELEASE],
            cores=seen.host.cores,
            memory_bytes=seen.host.memory_bytes,
            buckets_path=seen.buckets_path,
            agent=VERSION,
            counters=found.load.counters,
            capabilities=seen.capabilities + lacking,
        ),
        baseline=found.baseline,
        existing_entries=found.existing,
        failures=_failures(found.failures),
        conditions=with_transitions(plain, last.conditions, now),
    )
    return fitted(status)


def _failures(found: tuple[Failure, ...]) -> tuple[Failure, ...]:
    """
    Name each setting once, as the API server demands.
    """
    named: dict[str, Failure] = {}
    for each in found:
        short = replace(each, setting=each.setting[:MOST_NAME])
        named.setdefault(short.setting, short)
    return tuple(named.values())


def worth_writing(new: NodeStatus, last: NodeStatus) -> bool:
    """
    Tell whether a status says something that the last one did not.

    Args:
        new: As just computed.
        last: As last written.

    Returns:
        False when only the clock moved, or the fill by less than `BAND` points, or
        the numbers within a message.
    """
    before, after = last.table, new.table
    if before and after and abs(after.used_percent - before.used_percent) >= BAND:
        return True
    return _gist(new) != _gist(last)


def _gist(status: NodeStatus) -> NodeStatus:
    """
    Reduce a status to what is worth a write, its fill left out.
    """

    def plain(text: str) -> str:
        whole = re.sub(r"[0-9]+", "#", text)
        # The end of a sentence that was cut moves when a number grows by a digit.
        return whole[: len(text) // 2] if text.endswith("...") else whole

    return replace(
        status,
        heartbeat=None,
        table=status.table
        and replace(
            status.table,
            entries=0,
            used_percent=0,
            peak_entries=0,
            peak_percent=0,
            memory_bytes=0,
        ),
        drops=None,
        existing_entries=status.existing_entries
        and replace(status.existing_entries, examined=0, shortened=0),
        # How much more of it fits is no news.
        baseline=dict(list(status.baseline.items())[:BASELINE_LEAST]),
        baseline_omitted=None,
        failures=tuple(
            replace(each, message=plain(each.message)) for each in status.failures
        ),
        conditions=tuple(
            replace(each, message=plain(each.message), last_transition_time="")
            for each in status.conditions
        ),
    )
