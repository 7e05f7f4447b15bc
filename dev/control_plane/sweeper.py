"""
Sweep up after a process that was killed: end what it started, remove its folder.

Runs as a program of its own (`python sweeper.py FOLDER`), started by `Watch` in
`processes`, and imports nothing of this package. It reads lines from standard
input: `+PID` for a program that was started, `-PID` for one that has ended. The
input ends when the process at its other end is gone, in whatever way, `kill -9`
included: then everything still listed is killed and the folder is removed. After an
orderly stop there is nothing left to do.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

_DEADLINE_SECONDS = 10.0
_POLL_SECONDS = 0.05


def main() -> None:
    """
    Wait for the end of the input, then sweep.
    """
    folder = Path(sys.argv[1])
    running: set[int] = set()
    for line in sys.stdin:
        pid = int(line[1:])
        if line.startswith("+"):
            running.add(pid)
        else:
            running.discard(pid)
    for pid in running:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    # A killed program may still finish the write it was in: try again until the
    # folder stays away.
    give_up = time.monotonic() + _DEADLINE_SECONDS
    while folder.exists() and time.monotonic() < give_up:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(_POLL_SECONDS)


if __name__ == "__main__":
    main()
