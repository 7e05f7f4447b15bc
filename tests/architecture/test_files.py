"""
What no file of the checkout may be or contain.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

LONGEST = 250
"""Lines of a module; past that it has more than one concept."""

HERE_ONLY = re.compile(
    r"/root/|/work/"  # paths of one machine
    r"|(?:files\.)?pythonhosted\.org|pypi\.org|proxy\.golang\.org"  # registries
    r"|registry\.npmjs|artifactory|jfrog|nexus\.|\bfind-links\s*=|\bindex-url\s*="
)
"""
What works on one machine or in one company only.

Which registry a client asks is a matter of its own configuration.
"""

DRAWERS = {"util", "utils", "helper", "helpers", "common", "misc", "base", "models"}
"""Names that say nothing about what is inside."""


@pytest.mark.parametrize("folder", ["operator", "node_agent", "crds"])
def test_modules_are_short(folder: str, root: Path) -> None:
    """
    No module is longer than a person reads in one go.
    """
    lengths = {
        str(path.relative_to(root)): path.read_text().count("\n")
        for path in (root / folder).rglob("*.py")
    }

    assert {} == {name: count for name, count in lengths.items() if count > LONGEST}


def test_modules_are_named_after_what_they_are_about(files: list[Path]) -> None:
    """
    There are no drawers that everything ends up in.
    """
    assert [] == [path for path in files if path.stem in DRAWERS]


def test_nothing_depends_on_the_machine_it_was_written_on(
    files: list[Path], root: Path
) -> None:
    """
    No paths of one machine, no names of package registries.
    """
    found = []
    for path in files:
        if path.name == "test_files.py" or "fixtures" in path.parts:
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(root)}: {match.group()}"
            for match in HERE_ONLY.finditer(text)
        ]

    assert [] == found
