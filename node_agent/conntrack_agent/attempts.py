"""
What became of the writes of one goal, and which of them are worth another try.

Computes only. A value that the kernel does not take will not be taken a minute later,
either; memory that is short may be there in a while. Everything else, such as a mount
that is read-only, is tried again as seldom as drift is put back.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from conntrack_agent.changes import Change, Difference, Outcome
from conntrack_agent.errors import OutOfMemory, ValueRefused
from conntrack_api.conditions import NodeReason
from conntrack_api.node import Failure

REFUSED_PAUSE: Final = 12 * 3600.0
"""Seconds before a value that was not taken is tried again; a module may be newer."""

FIRST_PAUSE: Final = 600.0
"""Seconds before a write for which memory was short is tried again; then doubled."""

LONGEST_PAUSE: Final = 6 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A write that failed for a reason that lasts."""

    value: int
    message: str
    times: int
    """How often it failed in a row."""
    until: float
    """Not before, monotonic seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """What this process tried for one goal; another goal, or a restart, begins anew."""

    key: tuple[str, str] = ("", "")
    """What is being written, and the boot."""
    held: frozenset[str] = frozenset()
    """Settings that the kernel was shown to have as asked."""
    failed: tuple[Failure, ...] = ()
    """Of the last write."""
    waiting: Mapping[str, Waiting] = field(default_factory=dict)

    def settled(self, asked: Collection[str], wanted: Difference) -> "Attempts":
        """
        Take note that nothing is to be changed now.
        """
        refused = {each.setting for each in wanted.refusals}
        return replace(self, held=frozenset(asked) - refused, failed=())

    def after(self, outcomes: Iterable[Outcome], now: float) -> "Attempts":
        """
        Take note of what came of a write.

        Args:
            outcomes: As `apply` gave them.
            now: Monotonic seconds.
        """
        done = tuple(outcomes)
        waiting = dict(self.waiting)
        for each in done:
            before = waiting.pop(each.change.setting, None)
            if each.failure and (pause := _pause(each, before)):
                waiting[each.change.setting] = replace(pause, until=now + pause.until)
        return replace(
            self,
            failed=tuple(each.failure for each in done if each.failure),
            held=self.held | {each.change.setting for each in done if not each.failure},
            waiting=waiting,
        )

    def without(self, wanted: Difference, now: float) -> Difference:
        """
        Leave out what is not worth a try yet, and say so.

        Args:
            wanted: What separates the kernel from the spec.
            now: Monotonic seconds.

        Returns:
            The same, with those changes refused by name.
        """
        left_out: dict[str, Failure] = {}
        for change in wanted.changes:
            if message := self._why(change, left_out, now):
                left_out[change.setting] = _refusal(change.setting, message)
        return replace(
            wanted,
            changes=tuple(c for c in wanted.changes if c.setting not in left_out),
            held_back=tuple(c for c in wanted.changes if c.setting in left_out),
            refusals=(*left_out.values(), *wanted.refusals),
        )

    def named(self, left: Difference) -> Difference:
        """
        Name the writes that failed and are still to be made.
        """
        failed = {each.setting: each for each in self.failed}
        for name, each in self.waiting.items():
            failed[name] = _refusal(name, each.message)
        still = tuple(
            failed[each.setting] for each in left.changes if each.setting in failed
        )
        return replace(left, refusals=(*still, *left.refusals))

    def _why(self, change: Change, left_out: Collection[str], now: float) -> str:
        """
        Say why a change is left out; empty when it is not.
        """
        if change.requires in left_out:
            return f"left at {change.before}, since {change.requires} failed"
        found = self.waiting.get(change.setting)
        if found is None or found.value != change.after or now >= found.until:
            return ""
        minutes = max(1, round((found.until - now) / 60))
        return f"{found.message}; tried again in {minutes} min or with another spec"


def _refusal(setting: str, message: str) -> Failure:
    """
    Say that a setting is not as asked since its write failed.
    """
    return Failure(setting=setting, reason=NodeReason.WRITE_REFUSED, message=message)


def _pause(outcome: Outcome, before: Waiting | None) -> Waiting | None:
    """
    Choose how long a failed write waits, in `Waiting.until`; ``None``: not especially.
    """
    same = before is not None and before.value == outcome.change.after
    times = before.times + 1 if before and same else 1
    if isinstance(outcome.error, ValueRefused):
        seconds = REFUSED_PAUSE
    elif isinstance(outcome.error, OutOfMemory):
        seconds = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(times - 1, 30))
    else:
        return None
    return Waiting(
        value=outcome.change.after,
        message=outcome.failure.message if outcome.failure else "",
        times=times,
        until=seconds,
    )
