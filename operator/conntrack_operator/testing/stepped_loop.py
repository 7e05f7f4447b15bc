"""
An event loop whose time passes only when nothing else is left to do.

Waits of minutes take no time, and a busy machine makes none of them longer. It is for
code that waits for itself alone: time does not stop for an answer from elsewhere.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any


class SteppedLoop(asyncio.SelectorEventLoop):
    """Goes from one moment at which something is due to the next."""

    def __init__(self) -> None:
        """
        Start at zero.
        """
        self._now = 0.0
        super().__init__(_Selector(self._pass))

    def time(self) -> float:
        """
        Give the seconds since the start.
        """
        return self._now

    def _pass(self, seconds: float) -> None:
        """
        Let time pass.
        """
        self._now += seconds


class _Selector(selectors.SelectSelector):
    """Skips the time that it would wait."""

    def __init__(self, skip: Callable[[float], None]) -> None:
        """
        Watch nothing yet.
        """
        super().__init__()
        self._skip = skip

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """
        Give what is ready; where nothing is due ever, wait for it.
        """
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            self._skip(timeout)
        return ready


def stepped(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """
    Have a test run on a loop of that kind.
    """

    @wraps(test)
    def run() -> None:
        with asyncio.Runner(loop_factory=SteppedLoop) as runner:
            runner.run(test())

    return run
