"""
Keep a change, or go back: what a node must show for a while after it was changed.

Computes only. The way back is noted before the first write and lives in the journal,
so neither the API server nor a process that stays alive is needed to walk it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from conntrack_agent.changes import Change
from conntrack_agent.observations import Observation
from conntrack_api.settings import NF_CONNTRACK_MAX

MOST_NAMED: Final = 3
"""Values that a sentence lists before it counts the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A revision that was written and is not kept yet."""

    revision: str
    previous: Mapping[str, int] = field(default_factory=dict)
    """Kernel name to the value of the last state that was kept: the way back."""
    full: bool = False
    """The table had no room already before."""
    drops: int | None = None
    """Connections dropped before; ``None``: not known, or already going on."""
    began: float | None = None
    """When the last value was written, monotonic seconds; ``None``: not yet."""
    failed: str = ""
    """Why it goes back; empty while that is open."""
    back: bool = False
    """The previous values are there again; nothing more is written."""


def judge(
    trial: Trial, changes: Iterable[Change], seen: Observation, drops: int | None
) -> str:
    """
    Look for what speaks against a change that has been written.

    Args:
        trial: The change.
        changes: What separates the kernel from the spec now.
        seen: The kernel now.
        drops: Connections dropped until now; ``None``: not known.

    Returns:
        What failed, with the numbers; empty when nothing did.
    """
    gone = [each.found for each in changes if each.setting in trial.previous]
    if gone:
        more = f" and {len(gone) - MOST_NAMED} more" if gone[MOST_NAMED:] else ""
        return f"values did not stay: {', '.join(gone[:MOST_NAMED])}{more}"
    limit = seen.values.get(NF_CONNTRACK_MAX.name, 0)
    if is_full(seen) and not trial.full:
        return f"the table is full: {seen.entries} of {limit} entries"
    if drops is not None and trial.drops is not None and drops > trial.drops:
        return f"{drops - trial.drops} connections were dropped, none before"
    return ""


def left(trial: Trial, soak_seconds: int, now: float) -> float:
    """
    Give the seconds that a change must still be watched; 0 when it may be kept.
    """
    if trial.began is None:
        return float(soak_seconds)
    return max(0.0, trial.began + soak_seconds - now)


def is_full(seen: Observation) -> bool:
    """
    Tell whether the table has no room for another entry.
    """
    limit = seen.values.get(NF_CONNTRACK_MAX.name, 0)
    return limit > 0 and (seen.entries or 0) >= limit


def opened(
    old: Trial | None,
    revision: str,
    found: Mapping[str, int],
    *,
    full: bool,
    drops: int | None,
) -> Trial:
    """
    Begin to try a revision, or go on with it.

    Args:
        old: The last trial.
        revision: What is about to be written.
        found: Kernel name to value, of what will be overwritten.
        full: The table has no room now.
        drops: Connections dropped until now; ``None``: not to be judged.

    Returns:
        The trial. Its way back leads over one that was never kept to what was before.
    """
    open_ = old is not None and not old.back
    before = old.previous if old and open_ else {}
    return Trial(
        revision=revision, previous={**found, **before}, full=full, drops=drops
    )
