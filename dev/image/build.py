"""
Build both images, and say how large each is and what it is made of.
"""

import os
import re
from pathlib import Path
from typing import Final

from image.debian import CERTIFICATES, LOCAL_BASE, make_base
from image.engine import Engine

ROOT: Final = Path(__file__).resolve().parents[2]
"""The checkout."""

IMAGES: Final = {"operator": "conntrack-operator", "agent": "conntrack-agent"}
"""Target of the Dockerfile to name of the image."""

_LARGEST: Final = 4


def build(engine: Engine, base: str = "", tag: str = "") -> dict[str, str]:
    """
    Build both targets.

    Args:
        engine: Where they are built and kept.
        base: Base image; empty: that of the Dockerfile if it can be fetched, else one
            made of Debian's packages.
        tag: Tag of both; empty: the version.

    Returns:
        Target to the full name of its image.

    Raises:
        ImageUnavailable: This machine cannot build images.
        ImageFailed: A build failed.
    """
    base = base or choose_base(engine)
    version = project_version()
    arguments = [f"BASE={base}", f"VERSION={version}"]
    pip = {name: os.environ.get(name, "") for name in ("PIP_INDEX_URL", "PIP_CERT")}
    if base == LOCAL_BASE:
        pip["PIP_CERT"] = str(CERTIFICATES)
    arguments += [f"{name}={value}" for name, value in pip.items() if value]
    built = {}
    for target, name in IMAGES.items():
        built[target] = f"{name}:{tag or version}"
        engine.run(
            *("build", "--network=host", "--target", target, "--tag", built[target]),
            *(word for each in arguments for word in ("--build-arg", each)),
            ".",
            cwd=ROOT,
        )
    if engine.ours:
        # The stages before: this engine's builds need those of the last day at most.
        engine.run("image", "prune", "--force", "--filter", "until=24h")
    return built


def choose_base(engine: Engine) -> str:
    """
    Take the Dockerfile's own base where it can be had, else make one.
    """
    default = default_base()
    if engine.has(default) or (not engine.has(LOCAL_BASE) and engine.pull(default)):
        return default
    return make_base(engine)


def default_base() -> str:
    """
    Read the base that the Dockerfile names.
    """
    found = re.search(r"(?m)^ARG BASE=(\S+)$", (ROOT / "Dockerfile").read_text())
    return found.group(1) if found else ""


def project_version() -> str:
    """
    Read the version of the distribution.
    """
    text = (ROOT / "pyproject.toml").read_text()
    found = re.search(r'(?m)^version = "(.+)"$', text)
    return found.group(1) if found else "0"


def contents(engine: Engine, image: str) -> str:
    """
    Say how large an image is and what it is made of.

    Args:
        engine: Where it is.
        image: Its name.

    Returns:
        One line.
    """
    total = int(engine.run("image", "inspect", "--format={{.Size}}", image))
    listed = engine.run(
        *("run", "--rm", "--network=none", "--entrypoint=sh", image, "-c"),
        "cd /opt/conntrack && du -sb . && du -sb -- */ | sort -rn",
    )
    sizes = [line.split("\t") for line in listed.splitlines()]
    ours = int(sizes[0][0])
    largest = (
        f"{name.rstrip('/')} {_mega(int(size))}"
        for size, name in sizes[1 : 1 + _LARGEST]
    )
    return (
        f"{image}: {_mega(total)} = base with Python {_mega(total - ours)} + "
        f"packages {_mega(ours)} ({', '.join(largest)})"
    )


def _mega(size: int) -> str:
    """
    Round to megabytes.
    """
    return f"{size / 1e6:.1f} MB"
