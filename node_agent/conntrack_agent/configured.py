"""
Which configuration files of a host set which of our settings.

Computes only: the texts come through `Files`. Read are sysctl.d, sysctl.conf, the
profile of TuneD and the options of modprobe.d. A file that masks another one, or an
assignment that comes later, counts, as in the programs that apply them.
"""

import re
from collections.abc import Callable
from typing import Final

from conntrack_agent.assignments import (
    Assignment,
    Effective,
    Files,
    assigned,
    lines,
    plain_number,
)
from conntrack_agent.errors import HostFileError
from conntrack_agent.tuned import tuned
from conntrack_api.settings import NF_CONNTRACK_BUCKETS

_PLACES: Final = ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
"""
A file masks those of its name in later places.

Source: sysctl.d(5), modprobe.d(5).
"""

SYSCTL_FOLDERS: Final = tuple(f"{place}/sysctl.d" for place in _PLACES)
MODPROBE_FOLDERS: Final = tuple(f"{place}/modprobe.d" for place in _PLACES)

SYSCTL_CONF: Final = "/etc/sysctl.conf"
"""``sysctl --system`` reads it last, systemd not at all, so it stands for itself."""

_HASHSIZE: Final = re.compile(r"options\s+nf[-_]conntrack\s(?:.*\s)?hashsize=(\S+)")
_CONTINUED: Final = "\x00"


def configured(files: Files) -> tuple[Assignment, ...]:
    """
    Find the assignments that count.

    Args:
        files: The host's configuration.

    Returns:
        Each setting at most once for each program that sets it, plain numbers only. A
        program whose files cannot all be read is left out: the rest may be masked.
    """
    programs: tuple[Callable[[Files], Effective], ...] = (
        lambda files: _of_folders(files, SYSCTL_FOLDERS, _sysctl),
        lambda files: _sysctl(SYSCTL_CONF, files.read(SYSCTL_CONF)),
        tuned,
        lambda files: _of_folders(files, MODPROBE_FOLDERS, _modprobe),
    )
    found: list[Assignment] = []
    for program in programs:
        try:
            found += program(files).values()
        except HostFileError:
            continue
    return tuple(each for each in found if each.value is not None)


def _of_folders(
    files: Files, folders: tuple[str, ...], parse: Callable[[str, str], Effective]
) -> Effective:
    """
    Read ``*.conf`` in the order of their names, whatever their folders.
    """
    chosen: dict[str, str] = {}
    for folder in folders:
        for name in files.names(folder):
            if name.endswith(".conf"):
                chosen.setdefault(name, f"{folder}/{name}")
    effective: Effective = {}
    for _, file in sorted(chosen.items()):
        effective |= parse(file, files.read(file))
    return effective


def _sysctl(file: str, text: str) -> Effective:
    """
    Read lines such as ``-net.netfilter.nf_conntrack_max = 131072``.
    """
    effective: Effective = {}
    for number, line in lines(text):
        key, equals, value = line.partition("=")
        if equals:
            effective |= assigned(file, number, key.removeprefix("-"), value)
    return effective


def _modprobe(file: str, text: str) -> Effective:
    """
    Read lines such as ``options nf_conntrack hashsize=32768``.

    A line goes on after a backslash; its number is that of its first part.
    """
    name = NF_CONNTRACK_BUCKETS.name
    effective: Effective = {}
    before = 0
    for number, line in lines(text.replace("\\\n", _CONTINUED)):
        if found := _HASHSIZE.match(line.replace(_CONTINUED, " ")):
            value = plain_number(found[1])
            effective[name] = Assignment(
                setting=name, value=value, file=file, line=number + before
            )
        before += line.count(_CONTINUED)
    return effective
