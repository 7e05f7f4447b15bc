"""
When something may happen next: the doorbell, the token bucket, the back-off.

Time and chance come in as arguments, so that tests own both.
"""

import asyncio
from collections.abc import Awaitable, Callable, Container
from random import Random
from typing import Final

Clock = Callable[[], float]
"""Seconds on a clock that never goes back."""

Sleep = Callable[[float], Awaitable[None]]
"""Waits so many seconds."""

QUIET: Final = 0.2
"""Seconds without another ring after which a burst counts as over."""

LONGEST_BURST: Final = 2.0
"""Seconds after its first ring that a burst is answered even though it goes on."""

REPLAN_SECONDS: Final = 1.0
"""Pause after a conflict: the next look will show what came between."""

WRITES_PER_SECOND: Final = 50
"""Of one operator, to objects of all kinds but its lease."""

RETRY_SECONDS: Final = 10.0
"""Pause after a write that failed otherwise, unless the server names one."""

UNHURRIED: Final = 10.0
"""Seconds until mere numbers are looked at; statuses are not written more often."""


class Doorbell:
    """Says that something changed; not what. A thousand rings are answered once."""

    def __init__(self, clock: Clock) -> None:
        """
        Make a bell that has not rung.
        """
        self._clock = clock
        self._rung = asyncio.Event()
        self._began: float | None = None

    def ring(self) -> None:
        """
        Ring; never waits.
        """
        if self._began is None:
            self._began = self._clock()
        self._rung.set()

    async def answer(self, *, within: float) -> None:
        """
        Wait for a ring and for the end of its burst.

        A burst that began while nobody listened has had its time already: who writes
        for two seconds, and is rung for meanwhile, goes on at once.

        Args:
            within: Seconds after which to return even without a ring.
        """
        if await self._rings(within) and self._began is not None:
            end = self._began + LONGEST_BURST
            while (left := end - self._clock()) > 0:
                self._rung.clear()
                if not await self._rings(min(QUIET, left)):
                    break
        self._rung.clear()
        self._began = None

    async def _rings(self, seconds: float) -> bool:
        """
        Tell whether it rings within so many seconds.
        """
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._rung.wait()
        except TimeoutError:
            return False
        return True


class SlowBell:
    """Rings another bell some time later, once for all that happened until then."""

    def __init__(
        self, bell: Doorbell, later: Callable[[float, Callable[[], None]], object]
    ) -> None:
        """
        Take the other bell.

        Args:
            bell: Is rung `UNHURRIED` seconds after the first ring.
            later: Calls a function after so many seconds; never waits.
        """
        self._bell = bell
        self._later = later
        self._rung = False

    def ring(self) -> None:
        """
        Ring; never waits.
        """
        if not self._rung:
            self._rung = True
            self._later(UNHURRIED, self._pass_on)

    def _pass_on(self) -> None:
        """
        Ring the other bell.
        """
        self._rung = False
        self._bell.ring()


class TokenBucket:
    """
    Lets through so many a second, evenly; those that write share one.

    It saves nothing up: a burst after a quiet time would be twice the rate in its first
    second.
    """

    def __init__(
        self, rate: float = WRITES_PER_SECOND, *, clock: Clock, sleep: Sleep
    ) -> None:
        """
        Make a bucket with one token in it, the most that it holds.

        Args:
            rate: Tokens a second.
            clock: Tells the time.
            sleep: Waits.
        """
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._tokens = 1.0
        self._filled = clock()

    async def take(self) -> None:
        """
        Take one token; wait for it if there is none.
        """
        now = self._clock()
        grown = self._tokens + (now - self._filled) * self._rate
        self._filled = now
        # May go below zero: whoever comes next waits for those before it.
        self._tokens = min(1.0, grown) - 1
        if self._tokens < 0:
            await self._sleep(-self._tokens / self._rate)


class Rests:
    """Leaves alone for a while what failed, and everything where a server asks it."""

    def __init__(self, clock: Clock) -> None:
        """
        Start with nothing that failed.
        """
        self._clock = clock
        self._until: dict[str, float] = {}
        self._all_until = clock()
        self._why: dict[str, str] = {}

    def begin(self, name: str, asked: float | None = None, *, why: str = "") -> float:
        """
        Let something rest that failed.

        Args:
            name: What.
            asked: Seconds that the server asks for; then the others rest, too.
            why: What went wrong.

        Returns:
            Seconds until the next attempt.
        """
        now = self._clock()
        pause = asked or RETRY_SECONDS
        self._until = {key: each for key, each in self._until.items() if each > now}
        self._until[name] = now + pause
        if why:
            self._why[name] = why
        if asked:
            self._all_until = now + pause
        return pause

    def why(self, name: str) -> str:
        """
        Say what went wrong the last time; empty when nothing did.
        """
        return self._why.get(name, "")

    def forget_all_but(self, names: Container[str]) -> None:
        """
        Forget what went wrong with all that nobody tries any more.
        """
        self._why = {name: why for name, why in self._why.items() if name in names}

    def tried(self, name: str) -> None:
        """
        Forget what went wrong the last time, since there is another one.
        """
        self._why.pop(name, None)

    def left(self, name: str) -> float:
        """
        Give the seconds that something must still rest; 0: it may be tried.
        """
        until = max(self._all_until, self._until.get(name, 0.0))
        return max(0.0, until - self._clock())


class Backoff:
    """Pauses that double, each a random share of its bound: full jitter."""

    def __init__(
        self, random: Random, *, shortest: float = 1.0, longest: float = 15.0
    ) -> None:
        """
        Start at the shortest pause.

        The longest is short, since there is one operator and not a herd: after an
        outage of the API server people wait for it.
        """
        self._random = random
        self._shortest = shortest
        self._longest = longest
        self._bound = shortest

    def next(self) -> float:
        """
        Give the seconds to wait now, never less than the shortest pause.
        """
        self._bound = min(self._longest, self._bound * 2)
        return self._random.uniform(self._shortest, self._bound)

    def reset(self) -> None:
        """
        Start again at the shortest pause.
        """
        self._bound = self._shortest
