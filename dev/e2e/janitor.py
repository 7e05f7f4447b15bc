"""
Remove what a node leaves outside of its own namespaces, whatever happens to the run.

Runs as a program of its own, see `heir`: it reads the process ids of the node, one a
line. These it ends first, and then removes addresses, bridge and control groups.
"""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from demo.heir import Heir, end_all, inherit
from e2e.errors import NodeUnavailable
from e2e.layout import ADDRESSES, BRIDGE, CGROUP

CGROUPS: Final = Path("/sys/fs/cgroup")
LOCK: Final = Path("/run/lock/conntrack-e2e.lock")
"""Held while there is a node, and until what it left is removed."""

_TRIES: Final = 50


class Janitor:
    """Cleans up when the context is left, or our process dies."""

    _heir: Heir

    def __enter__(self) -> Self:
        """
        Start the process that cleans up after us, and do so after a run before ours.

        Raises:
            NodeUnavailable: There is a node; what it has has the names of what we have.
        """
        try:
            self._heir = Heir("e2e.janitor", LOCK)
        except BlockingIOError as error:
            raise NodeUnavailable(
                "this machine is the node of another run, or is being cleaned up "
                "after one; try again when it has ended"
            ) from error
        sweep()
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
        self._heir.end()

    def ends(self, pid: int) -> None:
        """
        Name a process that must be gone first.
        """
        self._heir.tell(pid)


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
    inherit()
    end_all(sys.stdin)
    with suppress(OSError):
        os.chdir("/")
    sweep()
    return 0


if __name__ == "__main__":
    sys.exit(main())
