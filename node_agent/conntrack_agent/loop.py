"""
The loop around the pass.

Takes news from the follower's thread, runs a pass when there are any or when it is
time, and writes the status when it says something new. No path is without a pause.
"""

import logging
import random
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Final, Protocol

from conntrack_agent.agent import Agent
from conntrack_agent.backoff import Allowance, Backoff
from conntrack_agent.errors import ClusterError, KernelError, Unavailable
from conntrack_agent.follow import News
from conntrack_agent.report import worth_writing
from conntrack_api.node import NodeStatus

log = logging.getLogger("conntrack_agent")

HEARTBEAT: Final = 300.0
"""Seconds between two reports that say nothing new, give or take a fifth."""

RETURN: Final = 30.0
"""Seconds over which the reports of a fleet that were held up are spread."""

SAMPLE: Final = 1.0
"""Seconds between two looks at the fill alone."""

_LOOK: Final = "look"
_STOP: Final = "stop"


class Mailbox(Protocol):
    """What the loop wants of the API server."""

    def apply_status(self, uid: str, status: NodeStatus) -> None:
        """
        Write this node's status.
        """


class Loop:
    """Runs passes, and writes what they find."""

    def __init__(
        self,
        agent: Agent,
        cluster: Mailbox,
        *,
        observe_seconds: float,
        sample_seconds: float = SAMPLE,
        clock: Callable[[], float],
        chance: Callable[[], float] = random.random,
    ) -> None:
        """
        Put the parts together.

        Args:
            agent: Runs the pass.
            cluster: Takes the status.
            observe_seconds: Pause between two passes when nothing rings.
            sample_seconds: Pause between two looks at the fill alone.
            clock: Monotonic seconds.
            chance: Random numbers in [0, 1).
        """
        self._agent = agent
        self._cluster = cluster
        self._observe_seconds = observe_seconds
        self._sample_seconds = sample_seconds
        self._clock = clock
        self._chance = chance
        self._news: deque[News] = deque(maxlen=1)
        self._bell: SimpleQueue[str] = SimpleQueue()
        self.reporting = False
        """A pass is over, and the API server has its status or is about to."""
        self._written = NodeStatus()
        self._written_uid = ""
        self._heard = False
        self._greeted = False
        self._heartbeat_at = 0.0
        self._retry_at = 0.0
        self._asked_until = 0.0
        """Before that the server has asked for no other try."""
        self._hurry_at = 0.0
        self._backoff = Backoff()
        self._allowance = Allowance()
        self._complaint = ""

    def tell(self, news: News) -> None:
        """
        Take news from another thread; only the latest counts.
        """
        self._news.append(news)
        if self._bell.empty():
            self._bell.put(_LOOK)

    def stop(self) -> None:
        """
        End `run` after the pass under way; may be called from a signal handler.
        """
        self._bell.put(_STOP)

    def run(self, alive: Callable[[], object]) -> None:
        """
        Run passes until `stop`.

        Args:
            alive: Called before each turn; whoever waits for it in vain knows that the
                turn before hangs.
        """
        alive()
        while self.turn(self._observe_seconds):
            alive()

    def turn(self, seconds: float) -> bool:
        """
        Wait for news that matter, at most some seconds, then run a pass.

        Args:
            seconds: 0 takes what is there already.

        Returns:
            False, without a pass, when it is time to stop.
        """
        until = self._clock() + seconds
        while True:
            left = max(0.0, until - self._clock())
            try:
                ring = self._bell.get(timeout=min(self._sample_seconds, left))
            except Empty:
                if left <= self._sample_seconds or self._agent.sample():
                    break
                continue
            if ring == _STOP:
                return False
            if self._take_news() or self._clock() >= until:
                break
        self.step()
        return True

    def step(self) -> None:
        """
        Run one pass and report if there is something to say.
        """
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            status = self._agent.pass_once(now)
        except KernelError as error:
            if str(error) != self._complaint:
                log.error("kernel cannot be read", extra={"error": str(error)})  # noqa: TRY400
            self._complaint = str(error)
            return
        self._complaint = ""
        accepted = self._agent.accepted
        if status is None or accepted is None or self._clock() < self._retry_at:
            return
        if self._due(accepted.object_uid, status):
            self._write(accepted.object_uid, status)
        if self._heard and not self._greeted:
            self._greeted = True
            log.info("in step", extra={"generation": accepted.generation})

    def _due(self, uid: str, status: NodeStatus) -> bool:
        """
        Tell whether a status is to be written now.
        """
        if not self._heard:
            # What an agent before us reported may be all there is to say.
            return False
        if uid != self._written_uid or self._clock() >= self._heartbeat_at:
            return True
        if not worth_writing(status, self._written):
            return False
        self._allowance, allowed = self._allowance.take(self._clock())
        return allowed

    def _write(self, uid: str, status: NodeStatus) -> None:
        """
        Write a status; on a failure, wait before the next try.
        """
        self.reporting = True
        try:
            self._cluster.apply_status(uid, status)
        except ClusterError as error:
            if self._backoff.failures == 0:
                log.warning("status not written", extra={"error": str(error)})
            at_least = error.retry_after if isinstance(error, Unavailable) else None
            self._backoff, pause = self._backoff.pause(
                self._chance(), at_least=at_least
            )
            self._retry_at = self._clock() + pause
            self._asked_until = self._clock() + (at_least or 0.0)
            return
        finally:
            self.reporting = False
        self._backoff = Backoff()
        self._agent.reported()
        self._written, self._written_uid = status, uid
        jitter = 0.8 + 0.4 * self._chance()
        self._heartbeat_at = self._clock() + HEARTBEAT * jitter

    def _take_news(self) -> bool:
        """
        Pass the latest news on; tell whether they call for a pass.
        """
        try:
            news = self._news.popleft()
        except IndexError:
            return False
        self._heard = True
        if self._clock() >= self._hurry_at and self._clock() < self._retry_at:
            # Whatever it is, the API server is there again; but not everybody at once,
            # and not for each echo of a write that was taken and not answered.
            self._hurry_at = self._clock() + HEARTBEAT
            self._retry_early(RETURN * self._chance())
        if news is None:
            self._agent.gone()
            return False
        if not self._agent.accept(news):
            return False
        if news.uid != self._written_uid and news.status.heartbeat:
            # An agent before us has reported; what it said need not be said again.
            self._written, self._written_uid = news.status, news.uid
            self._heartbeat_at = self._clock() + HEARTBEAT * self._chance()
        # The API server is there and somebody waits for the answer.
        self._retry_early(0.0)
        self._allowance = Allowance()
        return True

    def _retry_early(self, seconds: float) -> None:
        """
        Write the status that was held up in so many seconds, or as it was asked for.
        """
        soon = max(self._asked_until, self._clock() + seconds)
        self._retry_at = min(self._retry_at, soon)
