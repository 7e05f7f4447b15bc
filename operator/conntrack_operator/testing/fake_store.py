"""
An informer in memory: it shows the truth, or the truth of a while ago.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Row = TypeVar("Row")


@dataclass(slots=True)
class FakeStore(Generic[Row]):
    """What an informer shows: the truth, or the truth of a while ago."""

    truth: dict[str, Row] = field(default_factory=dict)
    synced: bool = True
    _frozen: dict[str, Row] | None = None

    @property
    def rows(self) -> Mapping[str, Row]:
        """
        Give the rows as the informer would.
        """
        return self.truth if self._frozen is None else self._frozen

    def freeze(self) -> None:
        """
        Fall behind: show no change from now on.
        """
        self._frozen = dict(self.truth)

    def thaw(self) -> None:
        """
        Catch up.
        """
        self._frozen = None
