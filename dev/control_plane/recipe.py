"""
Know which releases can be built, and what exactly is built for each.

The pinned modules are the one source: a minor can be chosen because its folder
`modules/kubernetes-<minor>` exists, and its versions are those of its `go.mod`.
This file reads them and decides; it runs nothing.
"""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from control_plane.errors import ControlPlaneUnavailable
from control_plane.pinned import go_line, numbers, required, version_flags

if TYPE_CHECKING:
    from collections.abc import Mapping

MODULES = Path(__file__).parent / "modules"
"""
The pinned Go modules, one folder for each Kubernetes minor and one for etcd.
"""

VARIABLE = "CONNTRACK_KUBERNETES"
"""
The environment variable that picks the minor, such as ``1.37``.
"""

KUBERNETES = "k8s.io/kubernetes"
ETCD = "go.etcd.io/etcd/server/v3"

_PREFIX = "kubernetes-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    One `go build`: one program out of one module.
    """

    program: str
    """
    Name of the program, and of its file.
    """

    module: Path
    """
    Folder with the pinned `go.mod`.
    """

    package: str
    """
    Import path of the program's main package.
    """

    ldflags: str

    tags: str = ""
    """
    Build tags, separated by commas.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """
    Everything that decides what comes out of a build, except the Go version.
    """

    kubernetes: str
    """
    Kubernetes release, such as ``v1.37.1``.
    """

    etcd: str
    """
    etcd release, such as ``v3.7.2``.
    """

    oldest_go: tuple[int, ...]
    """
    Numbers of the oldest Go release that these modules accept.
    """

    steps: tuple[Step, ...]
    """
    What to build, in this order.
    """

    digest: str
    """
    Short hash over the pinned modules, the steps and the platform.
    """

    @property
    def title(self) -> str:
        """
        What is built, for people.
        """
        return f"etcd {self.etcd} and Kubernetes {self.kubernetes}"

    @property
    def key(self) -> str:
        """
        Name of the cache folder, but for the Go version that ends it.
        """
        return f"kubernetes-{self.kubernetes}-etcd-{self.etcd}-{self.digest}"


def minors(modules: Path = MODULES) -> tuple[str, ...]:
    """
    List the Kubernetes minors that can be built.

    Args:
        modules:
            Folder of the pinned modules.

    Returns:
        Minors such as ``1.33``, oldest first.
    """
    found = (
        folder.name.removeprefix(_PREFIX) for folder in modules.glob(f"{_PREFIX}*")
    )
    return tuple(sorted(found, key=numbers))


def choose_recipe(environ: Mapping[str, str], modules: Path = MODULES) -> Recipe:
    """
    Read the recipe that the environment asks for.

    Args:
        environ:
            Environment; ``CONNTRACK_KUBERNETES`` picks the minor. Unset or empty
            means the newest.
        modules:
            Folder of the pinned modules.

    Returns:
        The recipe of that minor.

    Raises:
        ControlPlaneUnavailable: The variable names a minor that is not pinned.
    """
    allowed = minors(modules)
    minor = environ.get(VARIABLE) or allowed[-1]
    if minor not in allowed:
        raise ControlPlaneUnavailable(
            f"`{VARIABLE}` must be one of {', '.join(allowed)}; it is {minor!r}."
        )
    kubernetes_module = modules / f"{_PREFIX}{minor}"
    etcd_module = modules / "etcd"
    kubernetes = required(kubernetes_module, KUBERNETES)
    steps = (
        Step(
            program="etcd",
            module=etcd_module,
            package=ETCD,
            ldflags="-s -w",
        ),
        *(
            Step(
                program=program,
                module=kubernetes_module,
                package=f"{KUBERNETES}/cmd/{program}",
                ldflags=version_flags(kubernetes),
            )
            for program in ("kube-apiserver", "kube-controller-manager", "kubectl")
        ),
    )
    return Recipe(
        kubernetes=kubernetes,
        etcd=required(etcd_module, ETCD),
        oldest_go=max(go_line(kubernetes_module), go_line(etcd_module)),
        steps=steps,
        digest=_digest(steps),
    )


def _digest(steps: tuple[Step, ...]) -> str:
    digest = hashlib.sha256(f"{platform.system()} {platform.machine()}".encode())
    for step in steps:
        digest.update(f"{step.program} {step.package} {step.ldflags}".encode())
        for name in ("go.mod", "go.sum"):
            digest.update((step.module / name).read_bytes())
    return digest.hexdigest()[:12]
