"""
A lease in memory, with the API server's rule: only the version that was read.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from conntrack_operator.errors import ClusterError, Conflict
from conntrack_operator.lease_row import LeaseRow

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeLease:
    """Keeps at most one lease."""

    def __init__(self) -> None:
        """
        Start without one.
        """
        self.truth: LeaseRow | None = None
        self.answers: list[ClusterError] = []
        """Errors to answer next."""
        self.on_the_way: Callable[[], object] = lambda: None
        """Called while a lease is on its way to be stored."""
        self._version = 0

    async def lease(self) -> LeaseRow | None:
        """
        Read it.
        """
        self._fail()
        return self.truth

    async def put_lease(self, row: LeaseRow) -> LeaseRow:
        """
        Create it, or replace exactly the version that the row names.
        """
        self._fail()
        self.on_the_way()
        if row.version != (self.truth.version if self.truth else ""):
            raise Conflict("409")
        self._version += 1
        self.truth = replace(row, version=str(self._version))
        return self.truth

    def _fail(self) -> None:
        """
        Answer with the next error that a test ordered.
        """
        if self.answers:
            raise self.answers.pop(0)
