"""
A program that outlives ours, and puts right what we leave behind.

It is started with a lock, and has it until it ends: whoever comes next begins when all
is as it was. Its input ends when ours is over or was killed, ``kill -9`` included.
"""

import fcntl
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_WAIT_MILLISECONDS = 5000


class Heir:
    """The program, seen from ours."""

    def __init__(self, module: str, lock: Path) -> None:
        """
        Take the lock, and start it.

        Args:
            module: What it runs; its ``main`` calls `inherit` first.
            lock: Made if missing.

        Raises:
            BlockingIOError: Somebody has the lock.
        """
        with lock.open("a") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                start_new_session=True,
                text=True,
                pass_fds=[held.fileno()],
            )

    def tell(self, line: object) -> None:
        """
        Send one line.
        """
        if self._process.stdin:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()

    def end(self) -> int:
        """
        Let it begin, and wait for its exit code.
        """
        if self._process.stdin:
            self._process.stdin.close()
        return self._process.wait()


def inherit() -> None:
    """
    Leave the signals of a terminal to the program before: its end is ours to wait for.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def end_all(lines: Iterable[str]) -> None:
    """
    Wait for the end of the input, then kill the processes in it, one a line.
    """
    for line in list(lines):
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(int(line))
            try:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                gone = select.poll()
                gone.register(descriptor, select.POLLIN)
                gone.poll(_WAIT_MILLISECONDS)
            finally:
                os.close(descriptor)
