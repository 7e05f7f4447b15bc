"""
A clock that moves only when somebody sleeps on it.
"""

import asyncio


class FakeTime:
    """Time for tests: sleeping takes no time, and is remembered."""

    def __init__(self) -> None:
        """
        Start long after zero.
        """
        self.now = 1_000_000.0
        self.pauses: list[float] = []
        """Every sleep, in seconds."""

    def clock(self) -> float:
        """
        Tell the time.
        """
        return self.now

    async def sleep(self, seconds: float) -> None:
        """
        Let the time pass, and others have their turn.
        """
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)
