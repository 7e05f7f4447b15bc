"""
What a kernel is now: one `Observation` out of many small files.

Computes only: the texts come through `Reader`, which `kernel` fits. What a kernel
offers is found by looking, never by its version.
"""

import re
from typing import Final, Protocol

from conntrack_agent.errors import KernelError, SettingRejected
from conntrack_agent.observations import (
    BUCKETS,
    COUNT,
    HASHSIZE,
    INITIAL_NAMESPACE_ONLY,
    LEGACY_COUNT,
    LEGACY_HASHSIZE,
    SYSCTL,
    Host,
    Observation,
    file_of,
)
from conntrack_api.node import BucketsPath
from conntrack_api.settings import NF_CONNTRACK_BUCKETS, SETTINGS, Setting

_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")
"""Python would also read ``1_000`` and more digits than a status can carry."""


class Reader(Protocol):
    """What this stage wants of a kernel."""

    def read(self, file: str) -> str | None:
        """
        Read a whole file; ``None`` when there is none.
        """

    def writable(self, file: str) -> bool:
        """
        Tell whether a file can be opened for writing.
        """

    def page_bytes(self) -> int:
        """
        Give the page size.
        """

    def lost_files(self) -> int:
        """
        Count the files that went away while they were watched.
        """


def observe(kernel: Reader) -> Observation:
    """
    Look at everything once.

    Args:
        kernel: Where the texts come from.

    Returns:
        What was found. A setting whose file is missing is left out; one that cannot
        be read is named, and hides no other.

    Raises:
        KernelError: It cannot be told whether anything is tracked here at all.
    """
    entries = number(kernel, COUNT)
    legacy = False
    if entries is None:
        entries = number(kernel, LEGACY_COUNT)
        legacy = entries is not None
    # Namespaces came after the old names.
    initial = legacy or kernel.read(INITIAL_NAMESPACE_ONLY) is not None
    buckets_path = _buckets_path(kernel) if initial else BucketsPath.NONE
    values: dict[str, int] = {}
    unreadable: dict[str, str] = {}
    for setting in SETTINGS:
        try:
            found = _value(kernel, setting, buckets_path, legacy=legacy)
        except KernelError as error:
            unreadable[setting.name] = str(error)
        else:
            if found is not None:
                values[setting.name] = found
    memory = _text(kernel, "proc/meminfo")
    return Observation(
        host=_host(kernel, memory),
        values=values,
        unreadable=unreadable,
        entries=entries,
        initial_namespace=initial,
        buckets_path=buckets_path,
        # Kernels before 3.14 say only what is free, which is less.
        available_bytes=_meminfo(memory, "MemAvailable") or _meminfo(memory, "MemFree"),
        legacy=legacy,
        lost_files=kernel.lost_files(),
    )


def _buckets_path(kernel: Reader) -> BucketsPath:
    """
    Try both ways to the buckets: the sysctl, then the module parameter.
    """
    if kernel.writable(BUCKETS):
        return BucketsPath.SYSCTL
    if kernel.writable(HASHSIZE) or kernel.writable(LEGACY_HASHSIZE):
        return BucketsPath.MODULE_PARAMETER
    return BucketsPath.NONE


def _value(
    kernel: Reader, setting: Setting, buckets_path: BucketsPath, *, legacy: bool
) -> int | None:
    """
    Read one setting; ``None`` when this kernel has none of that name.
    """
    if setting is NF_CONNTRACK_BUCKETS and buckets_path == BucketsPath.MODULE_PARAMETER:
        # Between 4.8 and 5.10 the sysctl can show a stale number after a change
        # through the module parameter; what we write is what we read.
        found = number(kernel, file_of(setting.name, buckets_path, legacy=legacy))
        if found is not None:
            return found
    file = setting.legacy_file if legacy else setting.file
    return number(kernel, f"{SYSCTL}{file}")


def number(kernel: Reader, file: str) -> int | None:
    """
    Read the one decimal number that a file holds.

    Returns:
        ``None`` when there is no file.

    Raises:
        KernelError: It cannot be read, or holds anything else.
    """
    text = kernel.read(file)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text.strip()):
        raise SettingRejected(f"{file}: holds no number, found {text[:40]!r}")
    return int(text)


def _host(kernel: Reader, memory: str) -> Host:
    """
    Read what does not change while the machine is up.
    """
    cores = sum(
        1
        for line in _text(kernel, "proc/stat").splitlines()
        if line.startswith("cpu") and line[3:4].isdigit()
    )
    return Host(
        kernel=_text(kernel, "proc/sys/kernel/osrelease").strip(),
        boot_id=_text(kernel, "proc/sys/kernel/random/boot_id").strip(),
        cores=cores,
        memory_bytes=_meminfo(memory, "MemTotal"),
        page_bytes=kernel.page_bytes(),
    )


def _text(kernel: Reader, file: str) -> str:
    """
    Read a file that we can do without; empty when it cannot be had.
    """
    try:
        return kernel.read(file) or ""
    except KernelError:
        return ""


def _meminfo(text: str, name: str) -> int:
    """
    Find one line of ``/proc/meminfo`` and give it in bytes; 0 when it is not there.

    Source:
        Linux, ``Documentation/filesystems/proc.rst``: the unit kB is 1024 bytes.
    """
    found = re.search(rf"^{name}:\s*([0-9]{{1,15}}) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
