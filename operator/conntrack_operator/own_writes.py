"""
Own writes: what we have written and the informer has not shown yet.

A node is not decided about on a picture that lacks our last write to it: the decision
would be made twice, or undo itself. Computes only; `writer` tells and asks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from conntrack_operator.rows import ConntrackNodeRow, is_older

PATIENCE_SECONDS: Final = 30.0
"""Longest wait for the informer; the object may have been deleted in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _OwnWrite:
    """One write."""

    uid: str
    version: str | None
    """The version it made; ``None``: a deletion."""
    until: float

    def shown(self, current: ConntrackNodeRow | None) -> bool:
        """
        Tell whether the informer has seen this write, or something later.
        """
        if current is None or current.uid != self.uid:
            return self.version is None or current is not None
        if self.version is None:
            return False
        return not is_older(current.resource_version, self.version)


class OwnWrites:
    """Remembers at most one write for each name: the last one."""

    def __init__(self) -> None:
        """
        Start with nothing written.
        """
        self._writes: dict[str, _OwnWrite] = {}

    def __contains__(self, name: object) -> bool:
        """
        Tell whether a write to this name has not been shown yet.
        """
        return name in self._writes

    def wrote(self, row: ConntrackNodeRow, now: float) -> None:
        """
        Remember what an object was made.
        """
        self._writes[row.name] = _OwnWrite(
            uid=row.uid, version=row.resource_version, until=now + PATIENCE_SECONDS
        )

    def deleted(self, row: ConntrackNodeRow, now: float) -> None:
        """
        Remember that an object was deleted.
        """
        until = now + PATIENCE_SECONDS
        self._writes[row.name] = _OwnWrite(uid=row.uid, version=None, until=until)

    def settle(self, rows: Mapping[str, ConntrackNodeRow], now: float) -> float | None:
        """
        Forget the writes that the informer shows by now, or will never show.

        Args:
            rows: All ConntrackNodes, by name.
            now: Seconds on a clock that never goes back.

        Returns:
            Seconds after which to come again for the rest; ``None``: all are settled.
        """
        self._writes = {
            name: own
            for name, own in self._writes.items()
            if now < own.until and not own.shown(rows.get(name))
        }
        return min((own.until - now for own in self._writes.values()), default=None)
