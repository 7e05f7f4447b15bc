"""
Show how far a long piece of work is.

On a terminal the current step is one line that is rewritten; anywhere else each
step gets a line at its start and its end, and one in between every half minute, so
that a log shows that something is going on. Knows nothing about what the steps do.
"""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CLEAR_LINE = "\r\x1b[2K"

QUIET_SECONDS = 30.0
"""
Longest silence in a log while a step runs.
"""


class Progress:
    """
    Tell a person which step runs, and for how long already.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        live: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Choose where and how to write.

        Args:
            stream:
                Where to write; ``None`` means standard error.
            live:
                Whether a line may be rewritten; ``None`` means if the stream is a
                terminal.
            clock:
                Seconds from any fixed point.
        """
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty() if live is None else live
        self._clock = clock

    def say(self, text: str) -> None:
        """
        Write one line that stays.

        Args:
            text:
                The line, without its end.
        """
        self._stream.write(f"{text}\n")
        self._stream.flush()

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """
        Show one step, from its start to its end.

        Args:
            name:
                What is done, for people.

        Yields:
            A function to call every second or so with a few words on the detail;
            the words are shown on a terminal only.
        """
        started = self._clock()
        last_line = started

        def elapsed() -> str:
            return f"{self._clock() - started:.0f} s"

        def tick(detail: str) -> None:
            nonlocal last_line
            if self._live:
                self._rewrite(f"  {name}  {elapsed()}  {detail}")
            elif self._clock() - last_line >= QUIET_SECONDS:
                last_line = self._clock()
                self.say(f"  {name}: {elapsed()}")

        if self._live:
            tick("")
        else:
            self.say(f"  {name}: started")
        try:
            yield tick
        except BaseException:
            self._close(f"  {name}: failed after {elapsed()}")
            raise
        self._close(f"  {name}: done in {elapsed()}")

    def _rewrite(self, text: str) -> None:
        width = shutil.get_terminal_size().columns
        self._stream.write(_CLEAR_LINE + text[: width - 1])
        self._stream.flush()

    def _close(self, text: str) -> None:
        self.say(_CLEAR_LINE + text if self._live else text)
