"""
A store: all objects of one kind, as an informer keeps them.
"""

from collections.abc import Mapping
from typing import Protocol, TypeVar

from conntrack_operator.rows import ConntrackNodeRow

Row_co = TypeVar("Row_co", covariant=True)


class Store(Protocol[Row_co]):
    """All objects of one kind, as an informer keeps them."""

    @property
    def synced(self) -> bool:
        """
        Tell whether the rows are complete.
        """

    @property
    def rows(self) -> Mapping[str, Row_co]:
        """
        Give the present rows by name.
        """


def highest_epoch(store: Store[ConntrackNodeRow]) -> int | None:
    """
    Give the highest epoch that any node was told; ``None`` while that is unknown.
    """
    if not store.synced:
        return None
    specs = (row.spec for row in store.rows.values())
    return max((spec.epoch for spec in specs if spec), default=0)
