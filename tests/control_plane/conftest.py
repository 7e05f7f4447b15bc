"""
Stand-ins for Go and for the programs, and a real control plane where it is needed.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from control_plane.testing import control_plane_or_skip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from control_plane import ControlPlane


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str, str], Path]:
    """
    Write stand-ins for programs: file name and shell text in, path out.
    """

    def write(name: str, body: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return write


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """
    Run one control plane with controllers for all tests of a file.
    """
    with control_plane_or_skip(controller_manager=True) as running:
        yield running
