"""
Read what a pinned Go module says about itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from control_plane.errors import ControlPlaneUnavailable

if TYPE_CHECKING:
    from pathlib import Path

_VERSION_PACKAGES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")


def numbers(version: str) -> tuple[int, ...]:
    """
    Take the numbers out of a version, for comparing.

    Args:
        version:
            Any spelling with dots, such as ``1.37``, ``go1.26.8``, ``v3.7.2``.

    Returns:
        The first run of dotted numbers; empty when there is none.
    """
    match = re.search(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def required(module: Path, path: str) -> str:
    """
    Read which release of a module is pinned.

    Args:
        module:
            Folder with the pinned `go.mod`.
        path:
            Path of the module that it requires.

    Returns:
        Release tag, such as ``v1.37.1``.

    Raises:
        ControlPlaneUnavailable: It does not require that module.
    """
    text = (module / "go.mod").read_text()
    match = re.search(rf"^require {re.escape(path)} (v\S+)$", text, re.MULTILINE)
    if match is None:
        raise ControlPlaneUnavailable(f"{module / 'go.mod'} must require {path}.")
    return match.group(1)


def go_line(module: Path) -> tuple[int, ...]:
    """
    Read the oldest Go that a pinned module accepts.

    Args:
        module:
            Folder with the pinned `go.mod`.

    Returns:
        Numbers of that release; empty when it names none.
    """
    text = (module / "go.mod").read_text()
    match = re.search(r"^go (\S+)$", text, re.MULTILINE)
    return numbers(match.group(1)) if match else ()


def version_flags(release: str) -> str:
    """
    Spell the linker flags that tell a Kubernetes program its own version.

    Args:
        release:
            Release tag.

    Returns:
        Value of ``-ldflags``.
    """
    # Without these the server calls itself `v0.0.0-master`, and clients compare
    # against that. Commit and date stay constants, so that equal input gives equal
    # programs.
    major, minor, *_ = numbers(release)
    values = {
        "gitVersion": release,
        "gitMajor": str(major),
        "gitMinor": str(minor),
        "gitTreeState": "clean",
        "gitCommit": "0" * 40,
        "buildDate": "1970-01-01T00:00:00Z",
    }
    flags = [
        f"-X {package}.{key}={value}"
        for package in _VERSION_PACKAGES
        for key, value in values.items()
    ]
    return " ".join(["-s", "-w", *flags])
