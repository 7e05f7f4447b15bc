"""
The words for what a kernel was found to be, and the names of its files.

Shared by the stages; nothing is read or decided here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from conntrack_api.node import BucketsPath
from conntrack_api.settings import NF_CONNTRACK_BUCKETS, NF_CONNTRACK_MAX

SYSCTL: Final = "proc/sys/net/"
HASHSIZE: Final = "sys/module/nf_conntrack/parameters/hashsize"
COUNT: Final = f"{SYSCTL}netfilter/nf_conntrack_count"
LIMIT: Final = f"{SYSCTL}{NF_CONNTRACK_MAX.file}"
BUCKETS: Final = f"{SYSCTL}{NF_CONNTRACK_BUCKETS.file}"
INITIAL_NAMESPACE_ONLY: Final = f"{SYSCTL}nf_conntrack_max"
"""Registered in the first network namespace and nowhere else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What does not change while a machine is up."""

    kernel: str
    """Release, as ``uname -r`` prints it; empty when it cannot be read."""
    boot_id: str
    """Changes with every boot; empty when it cannot be read."""
    cores: int
    """Online; 0 when they cannot be counted."""
    memory_bytes: int
    """0 when it cannot be read."""
    page_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a kernel was found to be at one moment."""

    host: Host
    values: Mapping[str, int]
    """Kernel name to value, of the settings that this kernel has."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Kernel name to complaint, of settings that are there and cannot be read."""
    entries: int | None
    """Flows tracked in this namespace; ``None``: connection tracking is not loaded."""
    initial_namespace: bool
    """Whether size and buckets are ours to change."""
    buckets_path: BucketsPath
    available_bytes: int
    """Memory that can be had without swapping; 0 when it cannot be read."""

    @property
    def used_percent(self) -> int:
        """
        Entries of limit in percent, rounded down; 0 without a limit.
        """
        limit = self.values.get(NF_CONNTRACK_MAX.name, 0)
        return (self.entries or 0) * 100 // limit if limit > 0 else 0


def file_of(setting: str, buckets_path: BucketsPath) -> str:
    """
    Name the file that carries a write of a setting.

    Args:
        setting: The kernel's name.
        buckets_path: As observed; decides for the buckets.

    Returns:
        A path below the host's root.
    """
    if setting == NF_CONNTRACK_BUCKETS.name:
        return HASHSIZE if buckets_path == BucketsPath.MODULE_PARAMETER else BUCKETS
    return f"{SYSCTL}netfilter/{setting}"
