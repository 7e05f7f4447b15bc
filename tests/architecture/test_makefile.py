"""
The targets of the Makefile.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def test_help_lists_every_target(root: Path) -> None:
    """
    Whatever can be made is listed with a sentence, and none of it is a file.
    """
    text = (root / "Makefile").read_text()
    targets = re.findall(r"(?m)^([a-z][a-z0-9-]*):", text)
    phony = " ".join(re.findall(r"(?m)^\.PHONY: (.*)", text)).split()

    done = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )

    listed = re.findall(r"(?m)^\s*make ([a-z0-9-]+) +\S", done.stdout)
    assert targets == listed
    assert sorted(targets) == sorted(phony)
