"""
The words for what a configuration file says of our settings, and how one line says it.

Computes only. What is no plain number, such as a variable, is known not to be known.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from conntrack_api.settings import NF_CONNTRACK_MAX, SETTINGS

_NUMBER: Final = re.compile(r"-?(0[xX][0-9a-fA-F]{1,8}|0[0-7]{0,11}|[1-9][0-9]{0,11})")


class Files(Protocol):
    """What these stages want of a host."""

    def names(self, folder: str) -> tuple[str, ...]:
        """
        List a folder, empty when there is none; `HostFileError` for less than all.
        """

    def read(self, file: str) -> str:
        """
        Read a file, empty when there is none; `HostFileError` for less than all of it.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One setting, as a configuration file has it."""

    setting: str
    """The kernel's name."""
    value: int | None
    """``None``: something else than a plain number."""
    file: str
    """Absolute path on the host."""
    line: int
    """From 1."""


Effective = dict[str, Assignment]
"""Kernel name to the assignment that counts among those of one program."""


def assigned(file: str, line: int, key: str, value: str) -> Effective:
    """
    Read one assignment.

    Args:
        file: Where it stands.
        line: From 1.
        key: Name below ``/proc/sys``, with dots or slashes.
        value: As it stands there.

    Returns:
        It, or nothing when it is of no setting of ours.
    """
    setting = _BY_KEY.get(key.strip().replace(".", "/"))
    if setting is None:
        return {}
    number = plain_number(value.strip())
    return {setting: Assignment(setting=setting, value=number, file=file, line=line)}


def lines(text: str) -> Iterator[tuple[int, str]]:
    """
    Number the lines that say something, from 1; comments and space are left out.
    """
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if stripped and stripped[0] not in "#;":
            yield number, stripped


def plain_number(text: str) -> int | None:
    """
    Read a number as the kernel does: ``0x`` is hexadecimal, a leading 0 octal.

    Source:
        Linux, ``kernel/sysctl.c``, ``strtoul_lenient`` with base 0.
    """
    if not _NUMBER.fullmatch(text):
        return None
    octal = re.fullmatch(r"-?0[0-7]+", text)
    return int(text, 8 if octal else 0)


def _keys() -> Iterator[tuple[str, str]]:
    """
    Give every name below ``/proc/sys`` that a setting has.
    """
    for row in SETTINGS:
        yield f"net/{row.file}", row.name
        yield f"net/{row.legacy_file}", row.name
    yield "net/nf_conntrack_max", NF_CONNTRACK_MAX.name
    yield "net/ipv4/ip_conntrack_max", NF_CONNTRACK_MAX.name


_BY_KEY: Final[Mapping[str, str]] = dict(_keys())
