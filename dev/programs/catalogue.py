"""
Which programs there are, and what exactly is built for each.

A folder of `modules/` is built whole, since its programs share most of their work.
"""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from control_plane.pinned import required, version_flags
from control_plane.recipe import KUBERNETES, Step

MODULES: Final = Path(__file__).parent / "modules"
"""The pinned Go modules."""

CONTAINERD: Final = "github.com/containerd/containerd/v2"
HELM: Final = "helm.sh/helm/v4"
HELM_3: Final = "helm.sh/helm/v3"
KIND: Final = "sigs.k8s.io/kind"
KUBECONFORM: Final = "github.com/yannh/kubeconform"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Programs that are built together, out of one module."""

    name: str
    """Name of the folder in `modules/`."""
    module: str
    """Path of the module that the programs belong to."""
    packages: tuple[str, ...]
    """Import paths of the programs; the last part names each."""
    ldflags: str = "-s -w"
    """Linker flags; ``{release}`` stands for the pinned release."""
    tags: str = ""
    suffix: str = ""
    """Ends the programs' names where another family has programs of the same name."""

    @property
    def folder(self) -> Path:
        """
        Give the pinned module.
        """
        return MODULES / self.name

    @property
    def release(self) -> str:
        """
        Give the pinned release.
        """
        return required(self.folder, self.module)

    @property
    def steps(self) -> tuple[Step, ...]:
        """
        Give one build for each program.
        """
        flags = (
            version_flags(self.release)
            if self.module == KUBERNETES
            else self.ldflags.format(release=self.release)
        )
        return tuple(
            Step(
                program=package.rpartition("/")[2] + self.suffix,
                module=self.folder,
                package=package,
                ldflags=flags,
                tags=self.tags,
            )
            for package in self.packages
        )

    @property
    def key(self) -> str:
        """
        Name the folder of the cache, but for the Go version that ends it.
        """
        digest = hashlib.sha256(f"{platform.system()} {platform.machine()}".encode())
        for step in self.steps:
            digest.update(f"{step.package} {step.ldflags} {step.tags}".encode())
        for name in ("go.mod", "go.sum"):
            digest.update((self.folder / name).read_bytes())
        return f"{self.name}-{self.release}-{digest.hexdigest()[:12]}"


FAMILIES: Final = (
    Family(
        name="helm",
        module=HELM,
        packages=(f"{HELM}/cmd/helm",),
        # Which Kubernetes a chart rendered offline is for, and what helm calls itself.
        ldflags="-s -w -X helm.sh/helm/v4/internal/version.version={release}",
    ),
    Family(
        name="helm-3",
        module=HELM_3,
        packages=(f"{HELM_3}/cmd/helm",),
        # Without the last two it renders and lints for Kubernetes 1.20.
        ldflags=(
            "-s -w -X helm.sh/helm/v3/internal/version.version={release}"
            " -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=33"
            " -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=33"
        ),
        suffix="-3",
    ),
    Family(name="kind", module=KIND, packages=(KIND,)),
    Family(
        name="kubeconform",
        module=KUBECONFORM,
        packages=(f"{KUBECONFORM}/cmd/kubeconform",),
    ),
    Family(
        name="kubernetes",
        module=KUBERNETES,
        packages=(f"{KUBERNETES}/cmd/kubelet", f"{KUBERNETES}/cmd/kube-scheduler"),
    ),
    Family(
        name="containerd",
        module=CONTAINERD,
        packages=tuple(
            f"{CONTAINERD}/cmd/{name}"
            for name in ("containerd", "containerd-shim-runc-v2", "ctr")
        ),
        ldflags=f"-s -w -X {CONTAINERD}/version.Version={{release}}",
        tags="no_btrfs,no_devmapper,no_zfs",
    ),
)

PROGRAMS: Final = {step.program: family for family in FAMILIES for step in family.steps}
"""Name of a program to the family that it is built with."""
