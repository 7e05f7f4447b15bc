"""
The table of kernels that can be booted.

A release is not pinned to the last digit: distributions drop old builds from their
archives within weeks. The pattern names the series, and the newest build of it that
the suite holds is taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """
    One series of kernels in one suite of the distribution.
    """

    name: str
    """The series as people say it, and the name on the command line: ``6.1``."""

    suite: str
    """The suite of the Debian archive whose package list is searched."""

    attempts: int = 2
    """
    How often to boot before a guest that dies early counts as a failure.

    Emulation loses a boot now and then; a script that was started is never repeated.
    """

    @property
    def pattern(self) -> re.Pattern[str]:
        """
        Match the names of its image packages; the group ``release`` is ``uname -r``.

        The cloud flavour is a quarter of the size of the full one and has every
        module that connection tracking needs.
        """
        series = re.escape(self.name)
        return re.compile(rf"linux-image-(?P<release>{series}[.+-]\S*cloud-amd64)")


KERNELS: Mapping[str, Kernel] = {
    kernel.name: kernel
    for kernel in (
        Kernel(name="5.10", suite="bullseye"),
        Kernel(name="6.1", suite="bookworm"),
        # Under the emulator of Debian 12 this series dies in most early boots, in
        # code that has nothing to do with networking: hence the many attempts.
        Kernel(name="6.12", suite="trixie", attempts=12),
        Kernel(name="7.2", suite="sid"),
    )
}
"""Every kernel by its name, oldest first."""
