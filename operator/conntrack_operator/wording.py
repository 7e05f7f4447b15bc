"""
Wording: counts and names as parts of a sentence for people.

Computes only; `verdict` makes conditions of it.
"""

from collections.abc import Iterable
from typing import Final

from conntrack_api.policy_status import NodeCounts
from conntrack_operator.rollout import Progress
from conntrack_operator.rows import FINALIZER

MAX_NAMES: Final = 3
"""Names in one sentence; more do not help anybody."""


def clean(text: str) -> str:
    """
    Make one line of what a node or a server said, without codes for terminals.
    """
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def listed(names: Iterable[str]) -> str:
    """
    Name a few things, and count the rest.
    """
    every = list(names)
    shown = ", ".join(every[:MAX_NAMES])
    more = len(every) - MAX_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def of_nodes(count: int) -> str:
    """
    Say "1 node" or "5 nodes".
    """
    return f"{count} node" if count == 1 else f"{count} nodes"


def counted(counts: NodeCounts, so_far: Progress) -> str:
    """
    Say all counts that are not zero, the good one first.
    """
    parts = [f"{counts.updated} of {of_nodes(counts.matched)} up to date"]
    held = so_far.unproved + so_far.unkept
    changing = counts.progressing - so_far.waiting - held
    if changing > 0:
        parts.append(f"{changing} changing")
    if so_far.waiting:
        parts.append(f"{so_far.waiting} waiting")
    if so_far.unproved:
        parts.append(f"{so_far.unproved} held until their former policy is surely gone")
    if so_far.unkept:
        parts.append(f"{so_far.unkept} held until the finalizer {FINALIZER} is set")
    if so_far.leaving:
        parts.append(f"{so_far.leaving} waiting to be let go")
    if counts.failed:
        parts.append(f"{counts.failed} failed")
    if counts.on_hold:
        parts.append(f"{counts.on_hold} on hold")
    if counts.unreachable:
        parts.append(f"{counts.unreachable} not reporting")
    if counts.grown:
        parts.append(f"{counts.grown} grown past what was told")
    return ", ".join(parts) + "."


def held_back(so_far: Progress, generation: int) -> str:
    """
    Say why failed nodes keep others waiting, and what ends that.

    A halt outlives the failures that caused it, so there may be none any more.
    """
    until = "the spec of this policy is edited"
    if so_far.stuck:
        until = f"they recover or {until}"
    why = _why_held(so_far, generation)
    return f"{why}; the others keep what they have until {until}"


def held_going_back(so_far: Progress, generation: int) -> str:
    """
    Say why a policy that is being deleted brings back no more, and what ends that.
    """
    return (
        f"{_why_held(so_far, generation)}; the others keep what they have until "
        "maxFailures or maxUnavailable is raised, or spec.onRemoval is set to Keep."
    )


def _why_held(so_far: Progress, generation: int) -> str:
    """
    Say what keeps the others waiting.
    """
    count = of_nodes(so_far.failures) if so_far.failures else "nodes"
    if so_far.stuck:
        return f"Held back, since {count} failed and fill maxUnavailable"
    return f"Halted after {count} failed with generation {generation}"
