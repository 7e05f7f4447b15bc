"""
Fetch a kernel of the distribution without installing it.

apt does the work, against a package list and a state folder of its own in the cache,
so that neither the machine's sources nor its list of installed packages are touched.
Signatures and checksums are verified as for any other package.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernels import machine
from kernels.cache import cache_root, cached
from kernels.errors import KernelsFailed, KernelsUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from kernels.catalogue import Kernel

MIRROR_VARIABLE = "CONNTRACK_KERNEL_MIRROR"
"""Environment variable: a Debian mirror to use where the machine's apt has none."""

_PARTS = ("image", "binary", "modules", "base")
"""
Packages of one release, by the word after ``linux-``.

Up to 6.12 everything is in ``image``. Later releases keep the kernel, its modules
and the lists about them in three more, and ``image`` only depends on those.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """
    One kernel, unpacked in the cache.
    """

    release: str
    """What ``uname -r`` says in the guest."""

    package: str
    """Name and version of the image package, for people."""

    image: Path
    """The compressed kernel that the emulator loads."""

    modules: Path
    """The folder with its module files and the lists of what is built in."""


def fetch(kernel: Kernel) -> Fetched:
    """
    Return a kernel's files, from the cache or from the mirror.

    A kernel that was fetched once stays as it is until its folder is deleted.

    Raises:
        KernelsUnavailable: No mirror is known, it does not answer, or its suite has
            no such kernel.
        KernelsFailed: apt could not fetch or unpack.
    """
    root = cached(f"linux-{kernel.name}", lambda folder: _download(kernel, folder))
    release, package = (root / "package").read_text().splitlines()
    tree = root / "tree"
    return Fetched(
        release=release,
        package=package,
        image=_only(tree, (f"boot/vmlinuz-{release}", "**/vmlinuz*")),
        modules=_only(tree, (f"lib/modules/{release}", f"usr/lib/modules/{release}")),
    )


def mirror() -> str:
    """
    Tell where Debian packages come from on this machine.

    Returns:
        The address that the machine's own apt sources name for Debian, unless the
        environment names another.

    Raises:
        KernelsUnavailable: Neither does.
    """
    chosen = os.environ.get(MIRROR_VARIABLE)
    if chosen:
        return chosen
    listed = machine.run(
        [
            machine.find("apt-get"),
            "indextargets",
            "--format",
            "$(LABEL) $(REPO_URI)",
            "Created-By: Packages",
        ]
    )
    for line in listed.splitlines():
        label, _, address = line.partition(" ")
        # The label comes from the signed release file: only the main archive calls
        # itself so; security updates and third parties have other labels.
        if label == "Debian" and address:
            return address
    text = (
        "No apt source of this machine is a Debian archive: "
        f"name a mirror in {MIRROR_VARIABLE}, or run `apt-get update` first."
    )
    raise KernelsUnavailable(text)


def _download(kernel: Kernel, folder: Path) -> None:
    """
    Fill a cache entry: packages fetched, unpacked, and removed again.
    """
    apt = _Apt(kernel.suite)
    names = apt.names("linux-")
    release = _newest(kernel, names)
    wanted = [name for part in _PARTS if (name := f"linux-{part}-{release}") in names]
    apt.download(wanted, folder)
    dpkg = machine.find("dpkg-deb")
    form = "--showformat=${Package} ${Version}"
    image = _only(folder, ("linux-image-*.deb",))
    package = machine.run([dpkg, "--show", form, str(image)])
    for deb in folder.glob("*.deb"):
        machine.run([dpkg, "-x", str(deb), str(folder / "tree")])
        deb.unlink()
    shutil.rmtree(folder / "tree" / "usr" / "share", ignore_errors=True)
    (folder / "package").write_text(f"{release}\n{package}\n")


def _newest(kernel: Kernel, names: set[str]) -> str:
    """
    Choose the release with the highest numbers among the packages of a suite.
    """
    releases = [
        match["release"] for name in names if (match := kernel.pattern.fullmatch(name))
    ]
    if not releases:
        text = f"The suite `{kernel.suite}` of the mirror has no kernel {kernel.name}."
        raise KernelsUnavailable(text)
    return max(releases, key=lambda text: [int(n) for n in re.findall(r"\d+", text)])


def _only(tree: Path, patterns: tuple[str, ...]) -> Path:
    """
    Return the first path that a pattern finds; later patterns are for other layouts.
    """
    for pattern in patterns:
        for found in sorted(tree.glob(pattern)):
            return found
    raise KernelsFailed(f"The kernel package has no `{patterns[0]}`.")


class _Apt:
    """
    apt with one suite, and with everything it writes in a folder of the cache.
    """

    def __init__(self, suite: str) -> None:
        """
        Fetch the suite's package list.
        """
        state = cache_root() / f"apt-{suite}"
        for part in ("lists/partial", "cache/archives/partial"):
            (state / part).mkdir(parents=True, exist_ok=True)
        sources = state / "sources.list"
        sources.write_text(
            f"deb [arch=amd64 signed-by={machine.KEYRING}] {mirror()} {suite} main\n"
        )
        self._options = [
            word
            for option in (
                f"Dir::Etc::sourcelist={sources}",
                "Dir::Etc::sourceparts=/dev/null",
                f"Dir::State::lists={state / 'lists'}",
                f"Dir::Cache={state / 'cache'}",
                "Acquire::Languages=none",
                "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
                # The unprivileged user that apt fetches as may not be allowed into
                # the cache; there is nothing to protect in it.
                "APT::Sandbox::User=root",
                "Acquire::Retries=3",
                # Without this, a mirror that does not answer is only a warning.
                "APT::Update::Error-Mode=any",
            )
            for word in ("-o", option)
        ]
        try:
            machine.run([machine.find("apt-get"), *self._options, "update"])
        except KernelsFailed as error:
            text = f"The package list of the suite `{suite}` cannot be had: {error}"
            raise KernelsUnavailable(text) from error

    def names(self, prefix: str) -> set[str]:
        """
        List the suite's packages that begin so.
        """
        command = [machine.find("apt-cache"), *self._options, "pkgnames", prefix]
        return set(machine.run(command).split())

    def download(self, packages: list[str], folder: Path) -> None:
        """
        Put the package files into a folder.
        """
        command = [machine.find("apt-get"), *self._options, "download", *packages]
        machine.run(command, cwd=str(folder))
