"""
Build programs into a folder, once.

Promises, and where they are kept: the folder appears complete or not at all (one
rename at the end of `build`); two processes that build the same wait for each other
(`_locked`), also when one of them was killed and left its `go` running (the lock is
handed down to it); nothing changes the pinned modules (`-mod=readonly`).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from control_plane.errors import ControlPlaneUnavailable
from control_plane.toolchain import go_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from control_plane.progress import Progress
    from control_plane.recipe import Step
    from control_plane.toolchain import Go

_TAIL_LINES = 15
_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """
    Whatever a build needs, apart from what is built.
    """

    go: Go

    environ: Mapping[str, str]
    """
    Environment of the caller, for Go's caches and proxies.
    """

    progress: Progress

    def build(self, title: str, steps: Sequence[Step], folder: Path) -> None:
        """
        Build every program, unless the folder is there already.

        Args:
            title:
                What is built, for people.
            steps:
                The programs, in this order.
            folder:
                Where the programs go. Its neighbours ``<folder>.lock`` and
                ``<folder>.partial`` are used meanwhile; ``<folder>.log`` stays.

        Raises:
            ControlPlaneUnavailable: Go could not build one of them; the text has
                the last lines it wrote, and where the rest is.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = folder.with_name(folder.name + ".partial")
        log = folder.with_name(folder.name + ".log")
        lock_file = folder.with_name(folder.name + ".lock")
        with _locked(lock_file, self.progress) as lock:
            if folder.is_dir():
                return
            self.progress.say(
                f"Building {title} with {self.go.version}; this takes minutes, once."
                f" Kept in {folder}"
            )
            # A build that was killed may have left one.
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            log.write_bytes(b"")
            try:
                for step in steps:
                    with self.progress.step(step.program) as tick:
                        self._go_build(step, partial, log, lock, tick)
                partial.rename(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)

    def _go_build(
        self,
        step: Step,
        folder: Path,
        log: Path,
        lock: IO[str],
        tick: Callable[[str], None],
    ) -> None:
        begin = log.stat().st_size
        with (
            log.open("ab") as output,
            subprocess.Popen(
                [
                    str(self.go.path),
                    "build",
                    "-mod=readonly",
                    "-trimpath",
                    "-v",
                    f"-tags={step.tags}",
                    f"-ldflags={step.ldflags}",
                    f"-o={folder / step.program}",
                    step.package,
                ],
                cwd=step.module,
                env=go_environment(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[lock.fileno()],
            ) as process,
        ):
            try:
                while process.poll() is None:
                    tick(_last_line(log))
                    time.sleep(_POLL_SECONDS)
            except BaseException:
                process.terminate()
                raise
        if process.returncode:
            raise ControlPlaneUnavailable(
                f"Building {step.program} failed; Go ended with:\n"
                f"{_complaint(log, begin)}\n"
                f"All of its output is in {log}"
            )


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[IO[str]]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.step("waiting for another build of the same") as tick:
                _wait_for(lock, tick)
        yield lock


def _wait_for(lock: IO[str], tick: Callable[[str], None]) -> None:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tick("")
            time.sleep(_POLL_SECONDS)
        else:
            return


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 300))
        lines = file.read().decode(errors="replace").splitlines()
    return lines[-1] if lines else ""


def _complaint(log: Path, begin: int) -> str:
    with log.open(errors="replace") as file:
        file.seek(begin)
        lines = file.read().splitlines()
    # `-v` names each package on a line of its own; what went wrong has more words.
    told = [line for line in lines if " " in line] or lines
    return "\n".join(told[-_TAIL_LINES:])
