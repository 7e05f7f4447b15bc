"""
Finalizers: ours on the policies that ask for Revert, so that they can keep their word.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from conntrack_api.policy import OnRemoval
from conntrack_operator.errors import ClusterError, Conflict, NotFound, Unavailable
from conntrack_operator.pacing import REPLAN_SECONDS, Clock, Rests, TokenBucket
from conntrack_operator.rows import FINALIZER, ConntrackNodeRow, PolicyRow

logger = logging.getLogger(__name__)


class Cluster(Protocol):
    """What the finalizers need of the cluster."""

    async def set_finalizers(self, row: PolicyRow, finalizers: tuple[str, ...]) -> None:
        """
        Replace a policy's finalizers, if nobody has changed it meanwhile.
        """


class Finalizers:
    """Puts them on, and takes them off."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        bucket: TokenBucket,
        clock: Clock,
        look_again: Callable[[], None],
    ) -> None:
        """
        Start with what the policies have.

        Args:
            cluster: Keeps the policies.
            bucket: Sets the pace.
            clock: Seconds that never go back.
            look_again: Has the policies listed anew for the next pass.
        """
        self._cluster = cluster
        self._bucket = bucket
        self._look_again = look_again
        self._rests = Rests(clock)
        self.missing: frozenset[str] = frozenset()
        """UIDs of policies that ask for Revert and could be deleted without it."""

    async def hold(
        self,
        rows: Sequence[PolicyRow],
        objects: Mapping[str, ConntrackNodeRow],
        *,
        sure: bool,
    ) -> float | None:
        """
        Put our finalizer where it must be, and take it off where it must not.

        A policy holds on to it while it asks for Revert and, once deleted, until no
        ConntrackNode refers to it any more.

        Args:
            rows: All policies.
            objects: All ConntrackNodes, by name.
            sure: They show all that we have written.

        Returns:
            Seconds after which to try again what failed, if anything did.
        """
        in_use = {row.spec.policy_ref.uid for row in objects.values() if row.spec}
        retry: float | None = None
        missing: set[str] = set()
        for row in rows:
            wanted = _finalizers(row, in_use=row.uid in in_use or not sure)
            if wanted == row.finalizers:
                continue
            again = self._rests.left(row.uid)
            if not again:
                await self._bucket.take()
                try:
                    await self._cluster.set_finalizers(row, wanted)
                except ClusterError as error:
                    again = self._failed(row.uid, error)
                self._look_again()
            if again:
                retry = again if retry is None else min(retry, again)
                if FINALIZER in wanted and FINALIZER not in row.finalizers:
                    missing.add(row.uid)
        self.missing = frozenset(missing)
        return retry

    def _failed(self, uid: str, error: ClusterError) -> float:
        """
        Log a failure; say when to try again.
        """
        if isinstance(error, Conflict | NotFound):
            return REPLAN_SECONDS
        logger.warning("cannot set a finalizer: %s", error)
        asked = error.retry_after if isinstance(error, Unavailable) else None
        return self._rests.begin(uid, asked)


def _finalizers(row: PolicyRow, *, in_use: bool) -> tuple[str, ...]:
    """
    Give the finalizers that a policy should have; those of others are kept.
    """
    ours = FINALIZER in row.finalizers
    if row.deleting:
        wanted = ours and in_use  # a deleted object gets no new finalizer
    elif row.policy is None:
        wanted = ours
    else:
        wanted = row.on_removal is OnRemoval.REVERT
    if wanted == ours:
        return row.finalizers
    others = tuple(each for each in row.finalizers if each != FINALIZER)
    return (*others, FINALIZER) if wanted else others
