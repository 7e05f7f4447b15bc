"""
The table of kernel settings: every value that a policy may ask of a kernel.

One row is one kernel variable. The CRD schemas, the codec, the agent and
``docs/settings.md`` are made from or checked against this table; nothing else in
the project lists kernel names.

Source: Linux, ``net/netfilter/nf_conntrack_standalone.c`` and
``Documentation/networking/nf_conntrack-sysctl.rst``.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from conntrack_api.setting import Setting, Unit
from conntrack_api.switches import FLAGS, NF_CONNTRACK_EVENTS, TCP_IGNORE_INVALID_RST
from conntrack_api.timeouts import MAX_TIMEOUT_SECONDS, TIMEOUTS

__all__ = (
    "BUCKET_BYTES",
    "BY_NAME",
    "FLAGS",
    "MAX_BUCKETS",
    "MAX_ENTRIES",
    "MAX_ENTRIES_PER_BUCKET",
    "MAX_TIMEOUT_SECONDS",
    "MIN_BUCKETS",
    "MIN_ENTRIES",
    "NF_CONNTRACK_BUCKETS",
    "NF_CONNTRACK_EVENTS",
    "NF_CONNTRACK_MAX",
    "PAGE_BYTES",
    "SETTINGS",
    "TCP_IGNORE_INVALID_RST",
    "TIMEOUTS",
    "Setting",
    "Unit",
    "rounded_buckets",
)

MAX_ENTRIES: Final = 2_147_483_647
"""Largest limit: the sysctl is an int (INT_MAX)."""

MIN_ENTRIES: Final = 1024
"""Smallest limit we accept: below it a booting node cuts itself off."""

MIN_BUCKETS: Final = 512
"""One page of bucket heads: kernels round anything smaller up to this."""

MAX_BUCKETS: Final = 268_435_456
"""2^28: beyond it kernels answer ENOMEM."""

PAGE_BYTES: Final = 4096
"""Usual page size; kernels round buckets up to whole pages of bucket heads."""

BUCKET_BYTES: Final = 8
"""Size of one bucket head on 64-bit."""

MAX_ENTRIES_PER_BUCKET: Final = 8
"""
Most entries per bucket that a policy may ask for.

From Linux 5.15 on, new flows are refused without any message when a chain grows
past 50 to 80 nodes; each entry has two, so 8 keeps the mean at 16.
"""

NF_CONNTRACK_MAX: Final = Setting(
    name="nf_conntrack_max",
    field="table.maxEntries",
    unit=Unit.ENTRIES,
    minimum=MIN_ENTRIES,
    maximum=MAX_ENTRIES,
    kernel_default="from memory: 4 x buckets up to 5.10, 1 x buckets since 5.15",
    note="most flows that the table may hold; one entry for each flow",
)

NF_CONNTRACK_BUCKETS: Final = Setting(
    name="nf_conntrack_buckets",
    field="table.buckets",
    unit=Unit.BUCKETS,
    minimum=MIN_BUCKETS,
    maximum=MAX_BUCKETS,
    kernel_default="from memory: at most 65536 up to 5.10, 262144 since 5.15",
    note="size of the hash table; kernels round it up to a multiple of 512",
)

SETTINGS: Final[tuple[Setting, ...]] = (
    NF_CONNTRACK_MAX,
    NF_CONNTRACK_BUCKETS,
    *TIMEOUTS,
    *FLAGS,
)
"""Every setting, in the order of the policy's fields."""

BY_NAME: Final[Mapping[str, Setting]] = MappingProxyType(
    {setting.name: setting for setting in SETTINGS}
)
"""Kernel name to setting."""


def rounded_buckets(buckets: int, page_bytes: int = PAGE_BYTES) -> int:
    """
    Give the number of buckets that a kernel makes of a wish.

    Args:
        buckets: At least 1.
        page_bytes: Page size of that kernel; 64 KiB on some arm64.

    Returns:
        The next multiple of the heads that fit into a page: 512 for 4 KiB.

    Source:
        Linux, ``nf_ct_alloc_hashtable``.
    """
    heads = page_bytes // BUCKET_BYTES
    return -(-buckets // heads) * heads
