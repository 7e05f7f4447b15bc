"""
Pin the Go modules that the control plane is built from.

This file writes `modules/*/go.mod`, `go.sum` and `tools.go`; nothing else does. It
is for the maintainer who moves to another version, needs the network, and is never
part of a test run. Builds read what it wrote and change nothing.

Kubernetes cannot be installed by version alone, because its own `go.mod` replaces
each staging module by a folder of its source tree. Here each of them is replaced by
its published twin. The list differs by minor, so it is read from the very `go.mod`
that is pinned.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

from control_plane.errors import ControlPlaneFailed
from control_plane.recipe import ETCD, KUBERNETES
from control_plane.toolchain import go_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

KUBERNETES_COMMANDS = (
    f"{KUBERNETES}/cmd/kube-apiserver",
    f"{KUBERNETES}/cmd/kube-controller-manager",
    f"{KUBERNETES}/cmd/kubectl",
)
"""
The programs whose dependencies `go mod tidy` has to keep.
"""

_STAGING = "./staging/src/"


def pin_kubernetes(
    version: str,
    go: Path,
    folder: Path,
    commands: Sequence[str] = KUBERNETES_COMMANDS,
) -> None:
    """
    Write the module that builds one Kubernetes release.

    Args:
        version:
            Release tag, such as ``v1.37.1``.
        go:
            The ``go`` program to use.
        folder:
            Where the three files go; made if missing, overwritten if not.
        commands:
            Import paths of the programs to be built from it.

    Raises:
        ControlPlaneFailed: A ``go`` command failed; the text holds what it said.
    """
    upstream = _upstream_go_mod(go, f"{KUBERNETES}@{version}")
    twin = "v0." + version.removeprefix("v1.")
    staging = sorted(
        replace["Old"]["Path"]
        for replace in upstream.get("Replace") or ()
        if replace["New"]["Path"].startswith(_STAGING)
    )
    lines = [
        f"module {_module_name(folder)}",
        "",
        f"go {upstream['Go']}",
        "",
        f"require {KUBERNETES} {version}",
        "",
        "replace (",
        *(f"\t{module} => {module} {twin}" for module in staging),
        ")",
    ]
    _write_module(go, folder, lines, commands)


def pin_etcd(version: str, go: Path, folder: Path) -> None:
    """
    Write the module that builds one etcd release.

    Args:
        version:
            Release tag, such as ``v3.7.2``.
        go:
            The ``go`` program to use.
        folder:
            Where the three files go; made if missing, overwritten if not.

    Raises:
        ControlPlaneFailed: A ``go`` command failed; the text holds what it said.
    """
    upstream = _upstream_go_mod(go, f"{ETCD}@{version}")
    # The siblings that etcd replaces by folders are required at their published
    # version of the same number anyway, so no replacement is needed.
    lines = [
        f"module {_module_name(folder)}",
        "",
        f"go {upstream['Go']}",
        "",
        f"require {ETCD} {version}",
    ]
    _write_module(go, folder, lines, (ETCD,))


def pin_module(
    module: str, version: str, go: Path, folder: Path, commands: Sequence[str]
) -> None:
    """
    Write the module that builds programs out of one that replaces nothing.

    Args:
        module:
            Its path, such as ``helm.sh/helm/v4``.
        version:
            Release tag.
        go:
            The ``go`` program to use.
        folder:
            Where the three files go; made if missing, overwritten if not.
        commands:
            Import paths of the programs.

    Raises:
        ControlPlaneFailed: A ``go`` command failed; the text holds what it said.
    """
    upstream = _upstream_go_mod(go, f"{module}@{version}")
    lines = [
        f"module {_module_name(folder)}",
        "",
        f"go {upstream['Go']}",
        "",
        f"require {module} {version}",
    ]
    _write_module(go, folder, lines, commands)


def _module_name(folder: Path) -> str:
    return f"conntrack-operator/control-plane/{folder.name}"


def _upstream_go_mod(go: Path, query: str) -> Mapping[str, Any]:
    download = json.loads(_go(go, ["mod", "download", "-json", query]))
    parsed: Mapping[str, Any] = json.loads(
        _go(go, ["mod", "edit", "-json", download["GoMod"]])
    )
    return parsed


def _write_module(
    go: Path, folder: Path, go_mod: Sequence[str], commands: Sequence[str]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    imports = "".join(f'\t_ "{command}"\n' for command in commands)
    (folder / "tools.go").write_text(
        "//go:build tools\n\n"
        "// Package tools names the programs built from this module, so that\n"
        "// `go mod tidy` keeps what they need.\n"
        f"package tools\n\nimport (\n{imports})\n"
    )
    (folder / "go.mod").write_text("\n".join(go_mod) + "\n")
    (folder / "go.sum").unlink(missing_ok=True)
    _go(go, ["mod", "tidy"], cwd=folder)


def _go(go: Path, arguments: Sequence[str], cwd: Path | None = None) -> str:
    done = subprocess.run(
        [str(go), *arguments],
        cwd=cwd,
        env=go_environment(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise ControlPlaneFailed(f"`go {' '.join(arguments)}` failed:\n{said}")
    return done.stdout
