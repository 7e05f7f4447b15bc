"""
Hand out a program: given, cached, or built now.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from control_plane.binaries import cache_folder
from control_plane.build import Builder
from control_plane.errors import ControlPlaneUnavailable
from control_plane.pinned import go_line
from control_plane.progress import Progress
from control_plane.toolchain import find_go
from programs.catalogue import PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Mapping


def find_program(
    name: str,
    environ: Mapping[str, str] | None = None,
    *,
    progress: Progress | None = None,
) -> Path:
    """
    Find a program, and build it if it is nowhere yet.

    Args:
        name:
            One of `PROGRAMS`.
        environ:
            Environment; ``None`` means that of this process. A variable such as
            ``CONNTRACK_HELM`` or ``CONNTRACK_KUBE_SCHEDULER`` names a program to take
            instead; the rest is as for the control plane.
        progress:
            Where to show a build; ``None`` means standard error.

    Returns:
        The program.

    Raises:
        ControlPlaneUnavailable: There is none and none can be built.
    """
    environ = os.environ if environ is None else environ
    variable = f"CONNTRACK_{name.upper().replace('-', '_')}"
    given = environ.get(variable)
    if given:
        if not Path(given).is_file():
            raise ControlPlaneUnavailable(f"`{variable}` names {given}: no such file.")
        return Path(given)
    family = PROGRAMS[name]
    go = find_go(environ, go_line(family.folder))
    cache = cache_folder(environ).with_name("programs")
    folder = cache / f"{family.key}-{go.version}"
    if not (folder / name).is_file():
        builder = Builder(go=go, environ=environ, progress=progress or Progress())
        title = f"{family.name} {family.release}"
        builder.build(title, family.steps, folder)
    return folder / name
