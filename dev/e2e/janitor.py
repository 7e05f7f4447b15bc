"""
Remove what a node leaves outside of its own namespaces, whatever happens to the run.

Runs as a program of its own: ``python -m e2e.janitor`` reads the process ids of the
node, one a line. Its input ends when the run is over or was killed: then it ends those
processes, and removes addresses, bridge and control groups.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from demo.guard import end
from e2e.errors import NodeUnavailable
from e2e.layout import ADDRESSES, BRIDGE, CGROUP

CGROUPS: Final = Path("/sys/fs/cgroup")
LOCK: Final = Path("/run/lock/conntrack-e2e.lock")
"""Held while there is a node, and until what it left is removed."""

_TRIES: Final = 50


class Janitor:
    """Cleans up when the context is left, or our process dies."""

    def __enter__(self) -> Self:
        """
        Clean up after a run before ours, and start the process that does so after us.

        Raises:
            NodeUnavailable: There is a node; what it has has the names of what we have.
        """
        with LOCK.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise NodeUnavailable(
                    "this machine is the node of another run, or is being cleaned up "
                    "after one; try again when it has ended"
                ) from error
            sweep()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "e2e.janitor"],
                stdin=subprocess.PIPE,
                start_new_session=True,
                text=True,
                pass_fds=[lock.fileno()],
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        Let it clean up, and wait until it has.
        """
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()

    def ends(self, pid: int) -> None:
        """
        Name a process that must be gone first.
        """
        if self._process.stdin:
            self._process.stdin.write(f"{pid}\n")
            self._process.stdin.flush()


def cgroup_folders() -> list[Path]:
    """
    Name our control group in each hierarchy that there is.
    """
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS / CGROUP]
    return [each / CGROUP for each in CGROUPS.iterdir() if each.is_dir()]


def sweep() -> None:
    """
    Remove everything of ours that is there; nothing is fine.
    """
    for address in ADDRESSES:
        _ip("address", "del", f"{address}/32", "dev", "lo")
    _ip("link", "del", BRIDGE)
    for folder in cgroup_folders():
        _remove(folder)


def _remove(folder: Path) -> None:
    """
    Remove a control group and those below; what is in them dies a moment later.
    """
    if not folder.is_dir():
        return
    inside = sorted((each for each in folder.rglob("*") if each.is_dir()), reverse=True)
    for each in (*inside, folder):
        for _ in range(_TRIES):
            try:
                each.rmdir()
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.1)
            else:
                break


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], capture_output=True, check=False)


def main() -> int:
    """
    Wait for the end of the input, then clean up.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pids = [int(line) for line in sys.stdin]
    for pid in pids:
        end(pid)
    with suppress(OSError):
        os.chdir("/")
    sweep()
    return 0


if __name__ == "__main__":
    sys.exit(main())
