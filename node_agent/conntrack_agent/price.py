"""
What an entry costs on this host, from ``/proc/slabinfo``.

Computes only. The price differs between kernels by half, and nobody is charged for it:
it appears in no cgroup.

Source: Linux, ``mm/slab_common.c``, ``print_slabinfo_header``; ``nf_conntrack_core.c``
for the caches' names: one for all, or up to 4.x one for each network namespace.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from conntrack_api.settings import BUCKET_BYTES, NF_CONNTRACK_BUCKETS

ENTRY_BYTES: Final = 400
"""
Price of one entry where it cannot be measured.

Measured on 5.4 to 7.2: 256 to 467 with extensions.
"""

EXTENSION_BYTES: Final = 128
"""What events, accounting, timestamps or masquerading add, at least."""

_CACHES: Final = ("nf_conntrack", "ip_conntrack")
_COLUMNS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Slab:
    """The caches that hold entries, of all network namespaces together."""

    object_bytes: int
    """What one entry takes, its share of the page's rest included."""
    objects: int
    """In use."""
    total_bytes: int
    """Of all pages that the caches hold, also those with room."""

    @property
    def entry_bytes(self) -> int:
        """
        Give the price to reckon with: extensions may come at any time.
        """
        return self.object_bytes + EXTENSION_BYTES


def slab(text: str, page_bytes: int) -> Slab | None:
    """
    Read ``/proc/slabinfo``.

    Args:
        text: Empty when it cannot be read, which takes uid 0.
        page_bytes: Page size.

    Returns:
        ``None`` when the caches are not in it.
    """
    dearest = objects = total = 0
    for line in text.splitlines():
        name, *columns = line.split() or [""]
        if not name.startswith(_CACHES) or "expect" in name:
            continue
        if len(columns) + 1 < _COLUMNS or not all(
            columns[at].isdecimal() for at in (0, 3, 4, 13)
        ):
            continue
        active, each, pages, slabs = (int(columns[at]) for at in (0, 3, 4, 13))
        if each and pages:
            dearest = max(dearest, -(-pages * page_bytes // each))
            objects += active
            total += slabs * pages * page_bytes
    if not dearest:
        return None
    return Slab(object_bytes=dearest, objects=objects, total_bytes=total)


def table_bytes(found: Slab | None, entries: int, values: Mapping[str, int]) -> int:
    """
    Tell what the table takes of the host's memory now.

    Args:
        found: The caches; ``None``: the usual price of the entries is taken.
        entries: In this network namespace; the caches know those of all.
        values: The settings as observed: buckets, and what adds an extension.

    Returns:
        Bytes: entries, their extensions, and the bucket heads.
    """
    heads = values.get(NF_CONNTRACK_BUCKETS.name, 0) * BUCKET_BYTES
    if found is None:
        return entries * ENTRY_BYTES + heads
    extended = 1 in (
        values.get("nf_conntrack_events"),
        values.get("nf_conntrack_acct"),
        values.get("nf_conntrack_timestamp"),
    )
    extensions = found.objects * EXTENSION_BYTES if extended else 0
    return found.total_bytes + extensions + heads
