"""
Boot a kernel, run one script in it, and say how that went.

Each boot is a new machine whose root tree is in memory: nothing survives it, and
nothing can leak from one test into another.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kernels import machine
from kernels.archive import Archive
from kernels.errors import KernelsFailed
from kernels.modules import modules
from kernels.packages import fetch
from kernels.rootfs import rootfs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernels.catalogue import Kernel

_INIT = Path(__file__).with_name("guest_init.sh")
_BEGIN = "=== guest script begins ===\n"
_END = re.compile(r"\n=== guest script ended with (\d+) ===\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """
    The machine that is emulated, and how long it may take.
    """

    memory_mib: int = 512
    """RAM. The kernel sizes its tables by it."""

    cpus: int = 1
    """CPUs. More than one makes a boot slower, not faster."""

    modules: Sequence[str] = ("nf_conntrack", "nf_conntrack_netlink")
    """
    Kernel modules that are loaded before the script starts, in this order.

    With none, connection tracking is absent until the script, or a rule that the
    script makes, loads it.
    """

    timeout: float = 180.0
    """
    Seconds for the whole life of a guest, from power on to power off.

    A boot takes five on an idle machine of two cores; a busy one needs many times
    that.
    """


DEFAULT_GUEST = Guest()
"""One CPU, little memory, connection tracking loaded: enough for most tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootResult:
    """
    What a script said in its guest.
    """

    output: str
    """What it printed, on both streams, in order; with what the kernel said."""

    status: int
    """Its exit status, as in a shell."""

    seconds: float
    """From power on to power off, of the boot that counted."""

    @property
    def ok(self) -> bool:
        """
        Tell whether the script ran to its end and ended well.
        """
        return self.status == 0


def boot(
    kernel: Kernel,
    script: str,
    files: Mapping[str, Path | bytes] | None = None,
    guest: Guest = DEFAULT_GUEST,
) -> BootResult:
    """
    Boot a kernel, run a shell script in it as root, and switch it off.

    A guest that never starts its script is booted again, as often as the kernel's
    entry in the table allows; emulation loses a boot now and then. A script that was
    started is never repeated.

    Args:
        kernel:
            Which one; it is fetched first if the cache does not have it.
        script:
            For the plain system shell; both its streams end up in the output.
        files:
            Absolute path in the guest to its content. A path of this machine may be
            a folder, which is copied whole; modes of files are kept. Bytes that
            begin with ``#!`` become an executable.
        guest:
            The machine to emulate.

    Returns:
        What the script said and how it ended, be that well or badly.

    Raises:
        KernelsUnavailable: This machine cannot boot a kernel; says what is missing.
        KernelsFailed: No boot ran the script to its end; carries the last words.
    """
    machine.require()
    fetched = fetch(kernel)
    parts = (rootfs(), modules(kernel.name, fetched))
    with tempfile.TemporaryDirectory(prefix="kernels-") as folder:
        initrd = Path(folder) / "initrd"
        with initrd.open("wb") as output:
            for part in parts:
                with part.open("rb") as packed:
                    shutil.copyfileobj(packed, output)
            archive = Archive(output)
            _add_guest(archive, script, files or {}, guest)
            archive.close()
        command = _command(fetched.image, initrd, guest)
        text = ""
        for _ in range(kernel.attempts):
            started = time.monotonic()
            text = _run(command, guest.timeout)
            if _BEGIN in text:
                return _result(kernel, text, time.monotonic() - started)
    failure = f"Linux {kernel.name} did not start the script in {kernel.attempts} boots"
    raise KernelsFailed(f"{failure}; the last one ended with:\n{_tail(text)}")


def _add_guest(
    archive: Archive,
    script: str,
    files: Mapping[str, Path | bytes],
    guest: Guest,
) -> None:
    """
    Add what is new for this boot: the first process, the script, the files.
    """
    archive.add_bytes("/init", _INIT.read_bytes(), mode=0o755)
    archive.add_bytes("/guest/script", script.encode())
    archive.add_bytes("/guest/modules", " ".join(guest.modules).encode())
    for path, content in files.items():
        if isinstance(content, bytes):
            mode = 0o755 if content.startswith(b"#!") else 0o644
            archive.add_bytes(path, content, mode)
        else:
            archive.add_path(path, content)


def _command(image: Path, initrd: Path, guest: Guest) -> list[str]:
    """
    Write the emulator's command line.

    Emulation in software, always: a hardware device that exists need not be able to
    run an ordinary kernel, and the only way to find out is a guest that hangs.
    """
    return [
        machine.find("qemu-system-x86_64"),
        *("-accel", "tcg,thread=multi", "-cpu", "max"),
        *("-smp", str(guest.cpus), "-m", str(guest.memory_mib)),
        *("-display", "none", "-monitor", "none", "-serial", "stdio"),
        *("-nodefaults", "-no-reboot"),
        *("-kernel", str(image), "-initrd", str(initrd)),
        *("-append", "console=ttyS0 quiet panic=-1 rdinit=/init"),
    ]


def _run(command: list[str], timeout: float) -> str:
    """
    Run the emulator until the guest switches itself off, or time is up.

    Returns:
        Everything on the guest's console, with plain line ends.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
        console = done.stdout
    except subprocess.TimeoutExpired as expired:
        console = expired.stdout or b""
    return console.decode(errors="replace").replace("\r", "")


def _result(kernel: Kernel, text: str, seconds: float) -> BootResult:
    """
    Cut the script's part out of the console.
    """
    output = text.partition(_BEGIN)[2]
    ends = list(_END.finditer(output))
    if not ends:
        failure = f"Linux {kernel.name} was cut off in the middle of the script"
        raise KernelsFailed(f"{failure}, after {seconds:.0f} s:\n{_tail(output)}")
    return BootResult(
        output=output[: ends[-1].start()], status=int(ends[-1][1]), seconds=seconds
    )


def _tail(text: str) -> str:
    """
    Keep the lines in which a guest usually says why it died.
    """
    return "\n".join(text.strip().splitlines()[-15:]) or "(it said nothing)"
