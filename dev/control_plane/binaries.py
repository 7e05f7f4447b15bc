"""
Hand out the programs of a control plane: given, cached, or built now.

Looked at in this order: the folder in `KUBEBUILDER_ASSETS`, the convention of the
test environment of controller-runtime; the cache; a build from the pinned modules,
which fills the cache. The cache is outside the checkout, so that a fresh clone
starts warm.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from control_plane.build import Builder
from control_plane.errors import ControlPlaneUnavailable
from control_plane.pinned import numbers
from control_plane.progress import Progress
from control_plane.recipe import MODULES, choose_recipe
from control_plane.toolchain import find_go

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
CACHE_VARIABLE = "CONNTRACK_CACHE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """
    The programs, as paths that exist.
    """

    folder: Path
    etcd: Path
    kube_apiserver: Path
    kubectl: Path

    kube_controller_manager: Path | None
    """
    ``None`` where the archive that was given has none.
    """


def find_binaries(
    environ: Mapping[str, str] | None = None,
    *,
    progress: Progress | None = None,
    packages: Sequence[str] | None = None,
    modules: Path = MODULES,
) -> Binaries:
    """
    Find the programs, and build them if they are nowhere yet.

    Args:
        environ:
            Environment; ``None`` means that of this process. Read are
            ``KUBEBUILDER_ASSETS``, ``CONNTRACK_KUBERNETES``, ``CONNTRACK_CACHE``,
            ``XDG_CACHE_HOME``, ``HOME`` and ``PATH``.
        progress:
            Where to show a build; ``None`` means standard error.
        packages:
            Folders to look for the Go wheel in; ``None`` means where this Python
            imports from.
        modules:
            Folder of the pinned modules.

    Returns:
        The programs.

    Raises:
        ControlPlaneUnavailable: There are none and none can be built, or the
            environment asks for something that does not exist.
    """
    environ = os.environ if environ is None else environ
    given = environ.get(ASSETS_VARIABLE)
    if given:
        return _given(Path(given))
    recipe = choose_recipe(environ, modules)
    cache = cache_folder(environ)
    try:
        go = find_go(environ, recipe.oldest_go, packages)
    except ControlPlaneUnavailable:
        # Whoever has no Go is glad of what any Go built before.
        cached = _newest(cache, recipe.key)
        if cached is None:
            raise
        return cached
    folder = cache / f"{recipe.key}-{go.version}"
    found = _complete(folder)
    if found is None:
        builder = Builder(go=go, environ=environ, progress=progress or Progress())
        builder.build(recipe.title, recipe.steps, folder)
        found = _complete(folder)
    if found is None:
        raise ControlPlaneUnavailable(
            f"{folder} is incomplete; remove it and build again."
        )
    return found


def cache_folder(environ: Mapping[str, str]) -> Path:
    """
    Say where built programs are kept.

    Args:
        environ:
            Environment. ``CONNTRACK_CACHE`` is the cache of the project,
            ``XDG_CACHE_HOME`` that of the person; ``~/.cache`` without either.

    Returns:
        A folder, which may not exist yet.
    """
    own = environ.get(CACHE_VARIABLE)
    if own:
        return Path(own).absolute() / "control-plane"
    home = Path(environ.get("HOME") or Path.home())
    user = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    return user.absolute() / "conntrack-operator" / "control-plane"


def _given(folder: Path) -> Binaries:
    binaries = _in(folder)
    for program in (binaries.etcd, binaries.kube_apiserver, binaries.kubectl):
        if not program.is_file():
            raise ControlPlaneUnavailable(
                f"`{ASSETS_VARIABLE}` names {folder}, and there is no"
                f" {program.name} in it."
            )
    return binaries


def _in(folder: Path) -> Binaries:
    folder = folder.absolute()
    controller_manager = folder / "kube-controller-manager"
    return Binaries(
        folder=folder,
        etcd=folder / "etcd",
        kube_apiserver=folder / "kube-apiserver",
        kubectl=folder / "kubectl",
        kube_controller_manager=(
            controller_manager if controller_manager.is_file() else None
        ),
    )


def _complete(folder: Path) -> Binaries | None:
    found = _in(folder)
    programs = (found.etcd, found.kube_apiserver, found.kubectl)
    if found.kube_controller_manager and all(map(Path.is_file, programs)):
        return found
    return None


def _newest(cache: Path, key: str) -> Binaries | None:
    start = f"{key}-go"
    folders = [
        folder for folder in cache.glob(f"{start}*") if _complete(folder) is not None
    ]
    if not folders:
        return None
    return _in(max(folders, key=lambda folder: numbers(folder.name[len(start) :])))
