"""
Copy the connection tracking files of a booted kernel into a folder.

The result is a miniature root: ``proc/…`` and ``sys/…`` as plain files, a list of
their modes, and a note of where they come from. The edge of the node agent is tested
on such trees.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from kernels.emulator import BootResult, Guest, boot
from kernels.errors import KernelsFailed
from kernels.packages import fetch

if TYPE_CHECKING:
    from kernels.catalogue import Kernel

GUEST = Guest(memory_mib=2048, cpus=2)
"""A small node: enough that per-CPU files have several lines, and sizes look real."""

_PLAIN_MODE = "0644"
_READER = Path(__file__).with_name("guest_capture.py")
_TRAFFIC = Path(__file__).with_name("guest_traffic.py")
_SCRIPT = """
set -e
modprobe -q nf_flow_table || true
nft 'add table inet traffic
     add chain inet traffic out { type filter hook output priority 0; }
     add rule inet traffic out ct state new counter'
python3 /guest/traffic.py
python3 /guest/capture.py
"""


def capture(kernel: Kernel, destination: Path) -> BootResult:
    """
    Boot a kernel and write its tree; what the folder held before is removed.

    Raises:
        KernelsUnavailable: This machine cannot boot a kernel.
        KernelsFailed: The guest did not print its files, or the folder holds
            something that is no such tree.
    """
    if destination.exists() and any(destination.iterdir()):
        if not (destination / "SOURCE").is_file():
            text = f"`{destination}` is not empty and no captured tree: left alone."
            raise KernelsFailed(text)
        shutil.rmtree(destination)
    files = {"/guest/capture.py": _READER, "/guest/traffic.py": _TRAFFIC}
    result = boot(kernel, _SCRIPT, files, GUEST)
    found = [line for line in result.output.splitlines() if line.startswith("TREE ")]
    if not result.ok or len(found) != 1:
        raise KernelsFailed(f"The guest did not print its files:\n{result.output}")
    tree: dict[str, dict[str, str]] = json.loads(found[0].removeprefix("TREE "))
    _write(destination, {path.lstrip("/"): entry for path, entry in tree.items()})
    (destination / "SOURCE").write_text(
        f"Captured from a running kernel: Debian package {fetch(kernel).package},\n"
        f"booted in an emulator with {GUEST.memory_mib} MiB and {GUEST.cpus} CPUs by\n"
        f"`python -m kernels capture {kernel.name}`. Settings are as the kernel chose\n"
        "them; a few flows over the loopback device were made first.\n"
    )
    return result


def _write(destination: Path, tree: dict[str, dict[str, str]]) -> None:
    """
    Write the files, and the list of modes that are not the plain one.
    """
    modes = []
    for path, entry in sorted(tree.items()):
        target = destination / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(entry["text"])
        if entry["mode"] != _PLAIN_MODE:
            modes.append(f"{entry['mode']} {path}\n")
    (destination / "MODES").write_text("".join(modes))
