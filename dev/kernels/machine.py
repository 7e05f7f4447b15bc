"""
What this machine must have before a kernel can be booted, and how it gets it.

Only this module installs anything, and only when asked to by name (`setup`).
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

from kernels.errors import KernelsFailed, KernelsUnavailable

PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "dash": "dash",
    "depmod": "kmod",
    "nft": "nftables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "ldd": "libc-bin",
}
"""
Each program that is run here or copied into guests, and the package that has it.
"""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
"""The keys that package lists are checked against (``debian-archive-keyring``)."""

_PATH = os.pathsep.join(
    (os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin")
)
"""An ordinary user's path lacks the folders where half of the programs live."""


def find(program: str) -> str:
    """
    Return the path of a program.

    Raises:
        KernelsUnavailable: It is not installed.
    """
    path = shutil.which(program, path=_PATH)
    if path is None:
        raise KernelsUnavailable(_missing_text([PROGRAMS.get(program, program)]))
    return path


def missing() -> list[str]:
    """
    List the packages that this machine still needs, in the order of the table.
    """
    packages = [
        package
        for program, package in PROGRAMS.items()
        if shutil.which(program, path=_PATH) is None
    ]
    if not KEYRING.exists():
        packages.append("debian-archive-keyring")
    return packages


def require() -> None:
    """
    Pass if this machine can boot a kernel.

    Raises:
        KernelsUnavailable: It cannot; the text is one sentence that says why.
    """
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        text = "Booting test kernels needs a Linux machine of the x86_64 kind."
        raise KernelsUnavailable(text)
    packages = missing()
    if packages:
        raise KernelsUnavailable(_missing_text(packages))


def setup() -> list[str]:
    """
    Install what is missing, as root and through apt.

    Returns:
        The packages that were installed; none if the machine was ready.

    Raises:
        KernelsUnavailable: Something is missing, and this process may not install.
        KernelsFailed: apt did not manage.
    """
    packages = missing()
    if packages:
        if os.geteuid() != 0 or shutil.which("apt-get", path=_PATH) is None:
            raise KernelsUnavailable(_missing_text(packages))
        apt = [find("apt-get"), "-o", "DPkg::Lock::Timeout=600"]
        run([*apt, "update"])
        run([*apt, "install", "-y", "--no-install-recommends", *packages])
    require()
    return packages


def run(command: list[str], *, cwd: str | None = None) -> str:
    """
    Run a tool to its end, quietly.

    Returns:
        What it printed on its standard output.

    Raises:
        KernelsFailed: It ended with an error; the text carries its last lines.
    """
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise KernelsFailed(f"`{command[0]}` ended with {done.returncode}:\n{tail}")
    return done.stdout


def _missing_text(packages: list[str]) -> str:
    return (
        "Booting test kernels needs the packages "
        f"{', '.join(packages)}: run `python -m kernels setup` as root."
    )
