"""
What a row of the table of settings is made of.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """What the number counts."""

    ENTRIES = "entries"
    BUCKETS = "buckets"
    SECONDS = "seconds"
    WORD = "word"
    """A choice of words, see `Setting.words`."""
    SEGMENTS = "segments"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One kernel variable we may write."""

    name: str
    """The kernel's name, verbatim: the last part of its path."""

    field: str
    """Where a policy asks for it, below ``spec``, in YAML spelling."""

    unit: Unit
    """What the number counts."""

    minimum: int
    """Smallest value we accept. Kernels often accept less, and break flows."""

    maximum: int
    """Largest value that every kernel stores as given."""

    kernel_default: str
    """What an untouched kernel has, in words, since it depends on the release."""

    note: str
    """What it does, for a person who reads ``kubectl explain``."""

    words: Mapping[str, int] = dataclasses.field(default_factory=dict, hash=False)
    """What a policy says, and the number that the kernel takes; empty: numbers."""

    @property
    def file(self) -> str:
        """
        The variable's file below ``/proc/sys/net``.
        """
        return f"netfilter/{self.name}"

    @property
    def legacy_file(self) -> str:
        """
        The same where tracking was called ``ip_conntrack``, up to Linux 2.6.21.
        """
        return f"ipv4/netfilter/{self.name.replace('nf_', 'ip_', 1)}"
