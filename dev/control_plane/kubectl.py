"""
Run kubectl against one control plane, unaffected by the caller's own settings.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - dataclass field
from typing import TYPE_CHECKING

from control_plane.errors import ControlPlaneFailed

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """
    One kubectl, and whom it speaks as.
    """

    program: Path

    kubeconfig: Path
    """
    Whom to speak as, unless the arguments say otherwise.
    """

    home: Path
    """
    Where it keeps what it caches.
    """

    def run(
        self, arguments: Sequence[str], *, given: str | None, check: bool
    ) -> subprocess.CompletedProcess[str]:
        """
        Run one command to its end.

        Args:
            arguments:
                Arguments of kubectl.
            given:
                Its standard input; ``None`` means nothing to read.
            check:
                Whether a failure is an error here.

        Returns:
            Exit code, output and error output.

        Raises:
            ControlPlaneFailed: The command failed and `check` is set; the text
                has what kubectl said.
        """
        done = subprocess.run(
            [str(self.program), *arguments],
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(self.home),
                "KUBECONFIG": str(self.kubeconfig),
            },
            input=given or "",
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise ControlPlaneFailed(f"`kubectl {' '.join(arguments)}` failed: {said}")
        return done
