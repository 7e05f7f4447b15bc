"""
The words for what a kernel was found to be, and the names of its files.

Shared by the stages; nothing is read or decided here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from conntrack_agent.price import ENTRY_BYTES
from conntrack_api.node import BucketsPath, Capability
from conntrack_api.settings import BY_NAME, NF_CONNTRACK_BUCKETS, NF_CONNTRACK_MAX

SYSCTL: Final = "proc/sys/net/"
HASHSIZE: Final = "sys/module/nf_conntrack/parameters/hashsize"
LEGACY_HASHSIZE: Final = "sys/module/ip_conntrack/parameters/hashsize"
COUNT: Final = f"{SYSCTL}netfilter/nf_conntrack_count"
LIMIT: Final = f"{SYSCTL}{NF_CONNTRACK_MAX.file}"
BUCKETS: Final = f"{SYSCTL}{NF_CONNTRACK_BUCKETS.file}"
INITIAL_NAMESPACE_ONLY: Final = f"{SYSCTL}nf_conntrack_max"
"""Registered in the first network namespace and nowhere else."""
LEGACY_COUNT: Final = f"{SYSCTL}ipv4/netfilter/ip_conntrack_count"
"""Where tracking was called ``ip_conntrack``, up to 2.6.21."""


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
    legacy: bool = False
    """This kernel knows the ``ip_conntrack`` names and no others."""
    entry_bytes: int = ENTRY_BYTES
    """What one entry costs on this host, as far as that can be measured."""
    lost_files: int = 0
    """Grows when the module was unloaded, even if it was loaded again at once."""

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """
        Name what is unlike a usual host, in the order of the list.
        """
        if self.entries is None:
            return (Capability.NO_MODULE,)
        here = self.initial_namespace
        sysctl = self.buckets_path == BucketsPath.SYSCTL
        found = {
            Capability.LEGACY_NAMES: self.legacy,
            Capability.NOT_INITIAL_NAMESPACE: not here,
            Capability.NO_SYSCTL_BUCKETS: here and not sysctl,
            Capability.UNLIMITED: self.values.get(NF_CONNTRACK_MAX.name, 1) <= 0,
        }
        return tuple(each for each, holds in found.items() if holds)

    @property
    def used_percent(self) -> int:
        """
        Entries of limit in percent, rounded down; 0 without a limit.
        """
        limit = self.values.get(NF_CONNTRACK_MAX.name, 0)
        return (self.entries or 0) * 100 // limit if limit > 0 else 0


def file_of(setting: str, buckets_path: BucketsPath, *, legacy: bool = False) -> str:
    """
    Name the file that carries a write of a setting.

    Args:
        setting: The kernel's name.
        buckets_path: As observed; decides for the buckets.
        legacy: As observed; decides for the names.

    Returns:
        A path below the host's root.
    """
    if setting == NF_CONNTRACK_BUCKETS.name:
        if buckets_path != BucketsPath.MODULE_PARAMETER:
            return BUCKETS
        return LEGACY_HASHSIZE if legacy else HASHSIZE
    row = BY_NAME[setting]
    return f"{SYSCTL}{row.legacy_file if legacy else row.file}"
