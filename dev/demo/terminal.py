"""
What the reader sees: a sentence, the command that proves it, and what it printed.

Colour on a terminal only, so that a log stays plain.
"""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from demo.errors import DemoFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """Prints, and runs what it prints."""

    environ: Mapping[str, str] = field(default_factory=dict)
    """The environment of every command; the reader is told what is special in it."""

    def say(self, text: str) -> None:
        """
        Print one sentence of the story.
        """
        print(f"\n{self._paint('1', '# ' + text)}", flush=True)

    def run(self, command: str, *, hide: bool = False) -> str:
        """
        Print a command as a reader would type it, run it, and print its output.

        Args:
            command: A line for ``sh``.
            hide: Keep the output to ourselves.

        Returns:
            What it wrote to standard output.

        Raises:
            DemoFailed: It ended with another code than 0; with what it wrote.
        """
        print(self._paint("36", f"$ {command}"), flush=True)
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env=dict(self.environ),
            capture_output=True,
            text=True,
            check=False,
        )
        if not hide:
            sys.stdout.write(done.stdout)
            sys.stdout.flush()
        if done.returncode:
            raise DemoFailed(f"`{command}` failed: {done.stderr.strip()}")
        return done.stdout

    @staticmethod
    def _paint(code: str, text: str) -> str:
        """
        Colour a line on a terminal.
        """
        return f"\x1b[{code}m{text}\x1b[0m" if sys.stdout.isatty() else text
