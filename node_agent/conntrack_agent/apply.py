"""
Changes to outcomes: write one, read it back, go on to the next.

One failed setting does not hide the rest. Only a change that would do harm alone, and
says so in ``requires``, is left out when the other one failed.
"""

from collections.abc import Iterable
from typing import Protocol

from conntrack_agent.changes import Change, Outcome
from conntrack_agent.errors import KernelError
from conntrack_api.conditions import NodeReason
from conntrack_api.node import Failure


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
        else:
            message = _write(change, kernel)
        failure = Failure(
            setting=change.setting, reason=NodeReason.WRITE_REFUSED, message=message
        )
        outcomes.append(Outcome(change=change, failure=failure if message else None))
    return tuple(outcomes)


def _write(change: Change, kernel: Writer) -> str:
    """
    Make one change; give the complaint, empty when the kernel shows the new value.
    """
    try:
        kernel.write(change.file, change.after)
        shown = (kernel.read(change.file) or "").strip()
    except KernelError as error:
        return f"{error}{change.hint and '; '}{change.hint}"
    if shown != str(change.after):
        return f"wrote {change.after}, but the kernel shows {shown or 'nothing'}"
    return ""
