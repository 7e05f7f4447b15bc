"""
The folder ``operator/`` carries the name of a standard library module.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_the_folder_is_no_package(root: Path) -> None:
    """
    With an ``__init__.py`` no Python would start in the checkout.
    """
    assert (root / "operator").is_dir()
    assert not (root / "operator" / "__init__.py").exists()


@pytest.mark.parametrize(
    "start",
    [["-S", "-c"], ["-c"], ["-I", "-c"]],
    ids=["without site-packages", "as usual", "isolated"],
)
def test_a_fresh_interpreter_finds_the_standard_library(
    start: list[str], root: Path
) -> None:
    """
    Started in the checkout, ``import operator`` is the standard library's.
    """
    look = "import operator, collections; print(operator.__file__)"

    done = subprocess.run(
        [sys.executable, *start, look],
        cwd=root,
        env={},
        capture_output=True,
        text=True,
        check=True,
    )

    assert Path(done.stdout.strip()).parent == Path(subprocess.__file__).parent
