"""
Growth: a table that is about to be full becomes larger, without anybody being asked.

Computes only. What was grown to is a wish like the one that was told, and is written
down before it is carried out; it takes the place of the told size in what follows, so
that neither drift nor a restart brings the smaller one back.
"""

from dataclasses import dataclass, replace
from typing import Final

from conntrack_agent.observations import Observation
from conntrack_api.growth import NodeGrowth
from conntrack_api.node import NodeMode, NodeSpec
from conntrack_api.settings import (
    MAX_BUCKETS,
    NF_CONNTRACK_BUCKETS,
    NF_CONNTRACK_MAX,
    rounded_buckets,
)
from conntrack_api.table import Adjust

PER_HOUR: Final = 3
"""Growths in one hour: eight times the size by default, and no endless staircase."""

HOUR: Final = 3600.0

_MAX: Final = NF_CONNTRACK_MAX.name
_BUCKETS: Final = NF_CONNTRACK_BUCKETS.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """A size that the agent has chosen by itself."""

    told: int
    """The limit that was told at the time."""
    limit: int
    buckets: int | None = None
    """``None``: the policy leaves them alone, and so do we."""
    times: tuple[float, ...] = ()
    """When it grew in the last hour, monotonic seconds."""


def kept(grown: Grown | None, spec: NodeSpec) -> Grown | None:
    """
    Say what is left of a growth when the node is told something.

    Args:
        grown: As noted.
        spec: What the node is told now.

    Returns:
        ``None`` when growth is no longer allowed so far, when a person or the operator
        asks for less than before, or for as much as there is. Else the growth, as one
        from what is told now.
    """
    told, growth = spec.settings.get(_MAX), spec.growth
    if grown is None or growth is None or told is None or spec.mode == NodeMode.REVERT:
        return None
    stays = grown.told <= told < grown.limit <= growth.ceiling
    return replace(grown, told=told) if stays else None


def grown_spec(spec: NodeSpec, grown: Grown | None) -> NodeSpec:
    """
    Give what is to be enforced: what was told, but for the size that was grown to.

    Its revision is another one, so that the write of a growth is no drift.
    """
    if grown is None or spec.mode == NodeMode.REVERT:
        return spec
    size = {_MAX: grown.limit}
    if grown.buckets is not None:
        size[_BUCKETS] = grown.buckets
    return replace(
        spec,
        settings={**spec.settings, **size},
        revision=f"{spec.revision}+{grown.limit}",
    )


def told_revision(revision: str | None) -> str | None:
    """
    Give the revision that was told, of one that may have been grown.
    """
    return revision and revision.partition("+")[0]


def due(
    spec: NodeSpec, grown: Grown | None, seen: Observation, margin: int = 0
) -> bool:
    """
    Tell whether the table is as we left it, and full enough to grow.

    Args:
        spec: What the node was told.
        grown: What it has grown to before.
        seen: The kernel as it was found.
        margin: Points of fill below the threshold that are enough, too.
    """
    growth, limit = spec.growth, grown_spec(spec, grown).settings.get(_MAX, 0)
    if growth is None or spec.mode != NodeMode.ENFORCE or not limit:
        return False
    found = seen.values.get(_MAX, 0)
    left = found == limit or (spec.adjust == Adjust.RAISE_ONLY and found > limit)
    return left and seen.used_percent >= growth.at_percent - margin


def bound(
    growth: NodeGrowth, grown: Grown | None, seen: Observation, now: float
) -> str:
    """
    Say which bound of its own a growth has reached; empty when it has not.

    Args:
        growth: What the node was told of it.
        grown: What it has grown to before.
        seen: The kernel as it was found.
        now: Monotonic seconds.
    """
    if seen.values.get(_MAX, 0) >= growth.ceiling:
        return f"it may have {growth.ceiling} entries at most"
    recent = _recent(grown, now)
    if len(recent) < PER_HOUR:
        return ""
    wait = recent[-PER_HOUR] + HOUR - now
    return (
        f"it has grown {PER_HOUR} times within an hour, and may again in {wait:.0f} s"
    )


def wanted(
    spec: NodeSpec, grown: Grown | None, seen: Observation, now: float
) -> Grown | None:
    """
    Decide whether the table should grow now.

    Args:
        spec: What the node was told.
        grown: What it has grown to before.
        seen: The kernel as it was found.
        now: Monotonic seconds.

    Returns:
        The next size; ``None``: it is not due, or a bound is reached.
    """
    growth, target = spec.growth, grown_spec(spec, grown).settings
    if growth is None or not due(spec, grown, seen) or bound(growth, grown, seen, now):
        return None
    larger = min(seen.values[_MAX] * growth.factor, growth.ceiling)
    buckets = target.get(_BUCKETS)
    more = buckets and rounded_buckets(
        buckets * larger // target[_MAX], seen.host.page_bytes
    )
    return Grown(
        told=spec.settings[_MAX],
        limit=larger,
        buckets=more and min(MAX_BUCKETS, more),
        times=(*_recent(grown, now), now),
    )


def _recent(grown: Grown | None, now: float) -> tuple[float, ...]:
    """
    Give the times of this hour; later ones are of another clock.
    """
    times = grown.times if grown else ()
    return tuple(each for each in times if 0 <= now - each < HOUR)
