"""
A cluster of kind: its node is a container, and the table's size belongs to the host.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from control_plane import find_binaries
from e2e.cluster import Cluster
from e2e.errors import NodeFailed, NodeUnavailable
from image.build import build
from image.engine import Engine
from programs import find_program

IMAGE_VARIABLE: Final = "KIND_NODE_IMAGE"
NAME: Final = "conntrack-e2e"
CONFIG: Final = Path(__file__).with_name("kind.yaml")
DEFAULT_IMAGE: Final = (
    "kindest/node:v1.37.0"
    "@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
)
"""What the pinned kind takes by itself."""


@contextmanager
def nested_node() -> Iterator[Cluster]:
    """
    Make a cluster, load both images, and remove the cluster afterwards.

    Yields:
        The cluster, its node ready.

    Raises:
        NodeUnavailable: Here is no node image to be had, or no usual engine.
        NodeFailed: The cluster did not get ready.
    """
    with ExitStack() as stack:
        engine = stack.enter_context(Engine())
        image = node_image(engine, os.environ.get(IMAGE_VARIABLE, ""))
        if engine.ours:
            raise NodeUnavailable(
                "kind needs a Docker engine with networks, and none answers: start it"
            )
        images = build(engine)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kind-")))
        kubeconfig = folder / "kubeconfig"

        def kind(*arguments: str) -> None:
            done = subprocess.run(
                [str(find_program("kind")), *arguments, "--name", NAME],
                env={**engine.environ, "KUBECONFIG": str(kubeconfig)},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                said = done.stderr.strip()[-2000:]
                raise NodeFailed(f"`kind {arguments[0]} {arguments[1]}`: {said}")

        stack.callback(kind, "delete", "cluster")
        config = ("--config", str(CONFIG), "--image", image, "--wait", "180s")
        kind("create", "cluster", *config)
        kind("load", "docker-image", *images.values())
        yield Cluster(
            kubeconfig=kubeconfig,
            kubectl_program=find_binaries().kubectl,
            helm_program=find_program("helm"),
            images=images,
            nested=True,
        )


def node_image(engine: Engine, wanted: str) -> str:
    """
    Find the image that a node runs from.

    Args:
        engine: Where it has to be, or be fetched to.
        wanted: Its name; empty: that of the pinned kind.

    Returns:
        Its name.

    Raises:
        NodeUnavailable: It is not there and cannot be fetched.
    """
    image = wanted or DEFAULT_IMAGE
    if engine.has(image) or engine.pull(image):
        return image
    raise NodeUnavailable(
        f"no node image: {image} is neither here nor can it be fetched; "
        f"name one that is in {IMAGE_VARIABLE}"
    )
