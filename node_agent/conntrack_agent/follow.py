"""
Follow this node's object for ever: GET, watch, pause, and again.

Runs in a thread of its own. Whatever goes wrong, what comes next is a pause: no
failure makes it stop, and none makes it hurry.
"""

import logging
import random
import re
import threading
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from conntrack_agent.backoff import LONGEST, Backoff
from conntrack_agent.errors import ClusterError, Expired, NotFound, Unavailable
from conntrack_api.node import ConntrackNode

log = logging.getLogger("conntrack_agent")

MOST_SAID: Final = 8
"""Causes of one outage that are worth a line each."""

News = ConntrackNode | None
"""This node's object; ``None``: there is none."""


class Source(Protocol):
    """What the follower wants of the API server."""

    def get(self) -> ConntrackNode:
        """
        Read this node's object.
        """

    def watch(self, resource_version: str) -> Iterator[News]:
        """
        Follow it from a version on; without one, from its present state on.
        """


class Follower:
    """Tells of every version of the object, and of its absence."""

    def __init__(
        self,
        cluster: Source,
        tell: Callable[[News], None],
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], object],
        chance: Callable[[], float] = random.random,
    ) -> None:
        """
        Put the parts together.

        Args:
            cluster: The API server.
            tell: Takes each version of the object, and ``None`` for its absence.
            clock: Monotonic seconds.
            sleep: Waits some seconds.
            chance: Random numbers in [0, 1).
        """
        self._cluster = cluster
        self._tell = tell
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._backoff = Backoff()
        self._said: set[str] = set()

    def run(self, spread: float) -> None:
        """
        Follow until the process ends.

        Args:
            spread: Seconds within which the first request comes, at random: agents
                that start together shall not ask together.
        """
        self._sleep(spread * self._chance())
        while True:
            self.follow_once()

    def follow_once(self) -> None:
        """
        Read, watch until the stream ends for whatever reason, then pause.
        """
        began, at_least, longest = self._clock(), None, LONGEST
        try:
            self._read_and_watch()
        except Expired:
            pass  # The next round reads the object and watches from there.
        except ClusterError as error:
            at_least = error.retry_after if isinstance(error, Unavailable) else None
            longest = error.longest_pause
            self._complain(str(error))
        except Exception as error:
            # A thread that dies leaves an agent that looks alive and hears nothing.
            if self._is_news(repr(error)):
                log.exception("following failed")
        self._backoff, seconds = self._backoff.pause(
            self._chance(),
            lasted=self._clock() - began,
            at_least=at_least,
            longest=longest,
        )
        self._sleep(seconds)

    def _read_and_watch(self) -> None:
        """
        Tell the present state, then every later one.
        """
        version = ""
        try:
            node = self._cluster.get()
        except NotFound:
            # A watch without a version tells of the object as soon as it is made.
            self._tell(None)
        else:
            version = node.resource_version
            self._tell(node)
        for news in self._cluster.watch(version):
            self._said.clear()
            self._tell(news)

    def _complain(self, text: str) -> None:
        """
        Say what is wrong.
        """
        if self._is_news(text):
            log.warning("cluster unavailable", extra={"error": text})

    def _is_news(self, text: str) -> bool:
        """
        Tell whether this was not said since all was well, whatever came in between.
        """
        gist = re.sub(r"[0-9]+", "#", text)
        new = gist not in self._said and len(self._said) < MOST_SAID
        if new:
            self._said.add(gist)
        return new


def start_following(follower: Follower, spread: float) -> threading.Thread:
    """
    Run a follower beside the loop; it dies with the process.

    Args:
        follower: Is run.
        spread: Seconds within which its first request comes.
    """
    thread = threading.Thread(
        target=follower.run, args=(spread,), name="follower", daemon=True
    )
    thread.start()
    return thread
