"""
Changes to outcomes: write one, read it back, go on to the next.

One failed setting does not hide the rest. Only a change that would do harm alone, and
says so in ``requires``, is left out when the other one failed.
"""

from collections.abc import Iterable
from typing import Protocol

from conntrack_agent.changes import Change, Outcome
from conntrack_agent.errors import KernelError
from conntrack_agent.observations import COUNT, LEGACY_COUNT
from conntrack_api.conditions import NodeReason
from conntrack_api.node import Failure
from conntrack_api.settings import NF_CONNTRACK_MAX


class Writer(Protocol):
    """What this stage wants of a kernel."""

    def read(self, file: str) -> str | None:
        """
        Read a whole file; ``None`` when there is none.
        """

    def write(self, file: str, value: int) -> None:
        """
        Write one number; `KernelError` when the kernel does not take it.
        """


def apply(changes: Iterable[Change], kernel: Writer) -> tuple[Outcome, ...]:
    """
    Write changes in their order.

    Args:
        changes: As `diff` ordered them.
        kernel: Where to write and read back.

    Returns:
        One outcome for each change, in the same order.
    """
    outcomes: list[Outcome] = []
    for change in changes:
        failed = {each.change.setting for each in outcomes if each.failure}
        if change.requires in failed:
            message = f"left at {change.before}, since {change.requires} failed"
            outcomes.append(_outcome(change, message))
        else:
            outcomes.append(_write(change, kernel))
    return tuple(outcomes)


def _write(change: Change, kernel: Writer) -> Outcome:
    """
    Make one change and look whether the kernel shows the new value.
    """
    try:
        kernel.write(change.file, change.after)
        shown = (kernel.read(change.file) or "").strip()
    except KernelError as error:
        hint = f"; {change.hint}" if change.hint else ""
        return _outcome(change, f"{error}{hint}", error)
    if shown != str(change.after):
        message = f"wrote {change.after}, but the kernel shows {shown or 'nothing'}"
        return _outcome(change, message)
    return _undone(change, kernel) or Outcome(change=change)


def _undone(change: Change, kernel: Writer) -> Outcome | None:
    """
    Put a lower limit back at once when the table filled up while it was written.

    `size` left headroom, but counted before. What cannot be read or written here shows
    in the next pass.

    Returns:
        ``None`` when there is room.
    """
    if change.setting != NF_CONNTRACK_MAX.name or not change.after < change.before:
        return None
    try:
        entries = kernel.read(COUNT) or kernel.read(LEGACY_COUNT) or ""
        if not entries.strip().isdecimal() or int(entries) < change.after:
            return None
        kernel.write(change.file, change.before)
    except KernelError:
        return None
    return _outcome(
        change,
        f"a limit of {change.after} was put back to {change.before} at once, since "
        f"there were {int(entries)} entries by then",
        reason=NodeReason.WOULD_DROP,
    )


def _outcome(
    change: Change,
    message: str,
    error: KernelError | None = None,
    reason: NodeReason = NodeReason.WRITE_REFUSED,
) -> Outcome:
    """
    Say why a change was not made.
    """
    failure = Failure(setting=change.setting, reason=reason, message=message)
    return Outcome(change=change, failure=failure, error=error)
