"""
Start programs, watch them, and end them: by process id, and all of them.

Each program gets a session of its own, so that Ctrl-C in a terminal reaches only
the one who stops them in order, and a small environment, so that variables meant
for other things do not reach them. `Watch` covers the ways to die that leave no
time for order, see `sweeper`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from control_plane.errors import ControlPlaneFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SWEEPER = Path(__file__).with_name("sweeper.py")
_TAIL_LINES = 12
_TAIL_BYTES = 8192


class Watch:
    """
    The process that outlives ours for a moment, to sweep up.

    It is told of each program right after the start. A death of our process
    exactly between the two would leave that one program running; parent-death
    signals of the kernel would not, but follow the thread that started the
    program and not the process, which is worse in a threaded test run.
    """

    def __init__(self, folder: Path) -> None:
        """
        Start it.

        Args:
            folder:
                The folder to remove when our process is gone.
        """
        self._sweeper = subprocess.Popen(
            # Neither the environment nor site-packages have a say, and it starts
            # in 20 ms.
            [sys.executable, "-I", "-S", str(_SWEEPER), str(folder)],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )

    def started(self, pid: int) -> None:
        """
        Add a program to what is killed when our process is gone.

        Args:
            pid:
                Its process id.
        """
        self._tell(f"+{pid}\n")

    def ended(self, pid: int) -> None:
        """
        Take a program off again, since its id may soon be somebody else's.

        Args:
            pid:
                Its process id.
        """
        self._tell(f"-{pid}\n")

    def close(self) -> None:
        """
        Let it sweep and wait for it. More than once is fine.
        """
        with suppress(BrokenPipeError):
            if self._sweeper.stdin:
                self._sweeper.stdin.close()
        self._sweeper.wait()

    def _tell(self, line: str) -> None:
        # Whoever killed the sweeper gave up its service, not the control plane.
        with suppress(BrokenPipeError):
            if self._sweeper.stdin:
                self._sweeper.stdin.write(line)
                self._sweeper.stdin.flush()


class Program:
    """
    One running program and its log.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environ: Mapping[str, str],
        watch: Watch,
    ) -> None:
        """
        Start it.

        Args:
            name:
                What to call it in messages.
            command:
                Its arguments, program first.
            log:
                File that its output is added to.
            environ:
                The whole of its environment.
            watch:
                Whom to tell.

        Raises:
            ControlPlaneFailed: It cannot be run at all.
        """
        self.name = name
        self.log = log
        self._watch: Watch | None = watch
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    command,
                    cwd=log.parent,
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise ControlPlaneFailed(f"{command[0]} cannot be run: {error}") from error
        watch.started(self._process.pid)

    @property
    def pid(self) -> int:
        """
        Its process id.
        """
        return self._process.pid

    def check(self) -> None:
        """
        Make sure that it runs.

        Raises:
            ControlPlaneFailed: It has ended; the text has the end of its log.
        """
        code = self._process.poll()
        if code is not None:
            self._ended()
            raise ControlPlaneFailed(
                f"{self.name} ended by itself ({_how(code)}):\n{self.tail()}"
            )

    def terminate(self, seconds: float) -> None:
        """
        Ask it to end, and kill it if it has not after a while.

        Args:
            seconds:
                How long it may take.
        """
        self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._ended()

    def kill(self) -> None:
        """
        End it at once. One that has ended already is fine.
        """
        self._process.kill()
        self._process.wait()
        self._ended()

    def tail(self) -> str:
        """
        Read the end of its log.

        Returns:
            The last lines.
        """
        with self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])

    def _ended(self) -> None:
        if self._watch is not None:
            self._watch.ended(self.pid)
            self._watch = None


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return f"signal {signal.Signals(-code).name}"
