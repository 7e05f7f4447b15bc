"""
The house: a control plane with everything installed, and thirty Nodes.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from control_plane import ControlPlane
from control_plane.processes import Watch
from demo.cast import ROOT, Cast

NODES: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """A control plane with everything installed, and thirty Nodes."""

    plane: ControlPlane
    cast: Cast
    folder: Path


@contextmanager
def house(plane: ControlPlane, folder: Path) -> Iterator[House]:
    """
    Install everything in a control plane, and register the Nodes.
    """
    with ExitStack() as stack:
        watch = Watch(folder / "swept")
        stack.callback(watch.close)
        cast = Cast(plane, folder, watch)
        stack.callback(cast.end)
        for path in ("crds", "dev/demo/rbac.yaml"):
            plane.kubectl_run("apply", "-f", str(ROOT / path))
        plane.kubectl_run("wait", "--for=condition=Established", "crd", "--all")
        nodes = [
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": f"n{number:02}", "labels": {"fleet": "yes"}},
            }
            for number in range(NODES)
        ]
        plane.kubectl_run("apply", "-f", "-", input=yaml.safe_dump_all(nodes))
        yield House(plane=plane, cast=cast, folder=folder)
