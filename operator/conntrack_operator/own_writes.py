"""
Own writes: what we have written and the informer has not shown yet.

A node is not decided about on a picture that lacks our last write to it: the decision
would be made twice, or undo itself. Computes only; `writer` tells and asks.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Final

from conntrack_operator.rows import ConntrackNodeRow, is_older

PATIENCE_SECONDS: Final = 180.0
"""
Longest wait for the informer; the object may have been deleted in between.

Longer than a watch can be dead unnoticed (90 s) and the list after it takes.
"""

LATEST_SECONDS: Final = 60.0
"""
Longest time that a request may take to arrive after it was given up.

Source: kube-apiserver, ``--request-timeout``, one minute by default.
"""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doubt:
    """One write that nobody has answered: it may have come to nothing, or be late."""

    uid: str
    version: str
    """That it was to replace: as long as this is the present one it may arrive."""
    until: float

    def open(self, current: ConntrackNodeRow | None) -> bool:
        """
        Tell whether the informer still shows what the write was to replace.
        """
        this = (self.uid, self.version)
        return current is not None and (current.uid, current.resource_version) == this


class OwnWrites:
    """Remembers at most one write for each name: the last one."""

    def __init__(self) -> None:
        """
        Start with nothing written.
        """
        self._writes: dict[str, _OwnWrite] = {}
        self._doubts: dict[str, _Doubt] = {}

    @property
    def doubtful(self) -> Container[str]:
        """
        Give the names to which a write may still be under way that was given up.
        """
        return self._doubts.keys()

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
        self._doubts.pop(row.name, None)

    def gave_up(self, row: ConntrackNodeRow, now: float) -> None:
        """
        Remember that a write to this version of an object was not answered.
        """
        self._doubts[row.name] = _Doubt(
            uid=row.uid, version=row.resource_version, until=now + LATEST_SECONDS
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
        self._doubts = {
            name: doubt
            for name, doubt in self._doubts.items()
            if now < doubt.until and doubt.open(rows.get(name))
        }
        return min((own.until - now for own in self._writes.values()), default=None)
