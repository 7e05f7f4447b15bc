"""
Halts: a rollout that nodes have failed stays halted until a person edits the policy.

The halted generation stands in the policy's own status, written before anything is said
about it and read by whoever holds the lease next. What is only known here counts at
once: neither a write that fails nor a list that is late lifts a halt.
"""

import logging
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Protocol

from conntrack_operator.errors import ClusterError, Conflict, Invalid, NotFound
from conntrack_operator.pacing import REPLAN_SECONDS, RETRY_SECONDS, TokenBucket
from conntrack_operator.rollout import Progress
from conntrack_operator.rows import PolicyRow

logger = logging.getLogger(__name__)


class Cluster(Protocol):
    """What the halts need of the cluster."""

    async def record_halt(self, row: PolicyRow) -> None:
        """
        Write down that the rollout of a policy's present generation has halted.

        Raises:
            Conflict: The policy is not, or no longer, the one that was looked at.
        """


class Halts:
    """Remembers the halts of this process until the policies show them."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        bucket: TokenBucket,
        look_again: Callable[[], None],
    ) -> None:
        """
        Start with what the policies say.

        Args:
            cluster: Keeps the policies.
            bucket: Sets the pace.
            look_again: Has them listed anew for the next pass.
        """
        self._cluster = cluster
        self._bucket = bucket
        self._look_again = look_again
        self._seen: dict[str, int] = {}
        self._recorded: dict[str, int] = {}

    def among(self, rows: Iterable[PolicyRow]) -> Container[str]:
        """
        Give the UIDs of the policies whose present generation was halted.
        """
        return {
            row.uid
            for row in rows
            if row.generation in (row.status.halted_generation, self._seen.get(row.uid))
        }

    async def record(
        self, rows: Iterable[PolicyRow], progress: Mapping[str, Progress]
    ) -> float | None:
        """
        Write the halts down that are not yet.

        Args:
            rows: All policies.
            progress: UID of the policy to how its rollout stands.

        Returns:
            Seconds after which to try again what failed, if anything did.
        """
        retry: float | None = None
        for row in rows:
            so_far = progress.get(row.uid)
            if so_far is None or not so_far.lasting:
                continue
            self._seen[row.uid] = row.generation
            written = (row.status.halted_generation, self._recorded.get(row.uid))
            if row.generation in written:
                continue
            await self._bucket.take()
            try:
                await self._cluster.record_halt(row)
            except Invalid:
                pass  # that of a later generation: ours is history
            except (Conflict, NotFound):
                self._look_again()
                retry = REPLAN_SECONDS
                continue
            except ClusterError as error:
                logger.warning("a halt is not written down yet: %s", error)
                retry = retry or RETRY_SECONDS
                continue
            self._recorded[row.uid] = row.generation
        return retry
