"""
The table of kernel settings: every value that a policy may ask of a kernel.

One row is one kernel variable. The CRD schemas, the codec, the agent and
``docs/settings.md`` are made from or checked against this table; nothing else in
the project lists kernel names.

Source: Linux, ``net/netfilter/nf_conntrack_standalone.c`` and
``Documentation/networking/nf_conntrack-sysctl.rst``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

MAX_TIMEOUT_SECONDS: Final = 2_147_483
"""
Largest timeout that every kernel stores as given.

Kernels keep timeouts in jiffies in a 32-bit int, so the ceiling is INT_MAX / HZ,
and HZ is 1000 at most. Linux 4.4 accepts more and stores something else.
"""

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


class Unit(StrEnum):
    """What the number counts."""

    ENTRIES = "entries"
    BUCKETS = "buckets"
    SECONDS = "seconds"


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


def _timeout(field: str, name: str, kernel_default: str, note: str) -> Setting:
    """
    Make the row of one timeout; all of them share unit and bounds.
    """
    return Setting(
        name=name,
        field=f"timeouts.{field}",
        unit=Unit.SECONDS,
        minimum=1,
        maximum=MAX_TIMEOUT_SECONDS,
        kernel_default=kernel_default,
        note=note,
    )


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

_TCP = "nf_conntrack_tcp_timeout_"
_SCTP = "nf_conntrack_sctp_timeout_"
_DCCP = "nf_conntrack_dccp_timeout_"

TIMEOUTS: Final[tuple[Setting, ...]] = (
    _timeout("tcp.synSent", f"{_TCP}syn_sent", "120", "first SYN seen, no answer yet"),
    _timeout("tcp.synRecv", f"{_TCP}syn_recv", "60", "SYN answered, handshake open"),
    _timeout(
        "tcp.established",
        f"{_TCP}established",
        "432000 (5 days)",
        "idle time of an open connection",
    ),
    _timeout("tcp.finWait", f"{_TCP}fin_wait", "120", "one side has sent FIN"),
    _timeout("tcp.closeWait", f"{_TCP}close_wait", "60", "the other side has sent FIN"),
    _timeout("tcp.lastAck", f"{_TCP}last_ack", "30", "both FINs seen, last ACK not"),
    _timeout(
        "tcp.timeWait", f"{_TCP}time_wait", "120", "connection closed in good order"
    ),
    _timeout("tcp.close", f"{_TCP}close", "10", "connection reset"),
    _timeout(
        "tcp.maxRetrans",
        f"{_TCP}max_retrans",
        "300",
        "after tcp_max_retrans segments went unanswered",
    ),
    _timeout(
        "tcp.unacknowledged",
        f"{_TCP}unacknowledged",
        "300",
        "data sent and not acknowledged, or a flow picked up in mid-stream",
    ),
    _timeout("udp.unreplied", "nf_conntrack_udp_timeout", "30", "packets one way only"),
    _timeout(
        "udp.stream",
        "nf_conntrack_udp_timeout_stream",
        "120 (180 up to 4.18)",
        "packets both ways for more than 2 s",
    ),
    _timeout("icmp", "nf_conntrack_icmp_timeout", "30", "ICMP requests"),
    _timeout("icmpv6", "nf_conntrack_icmpv6_timeout", "30", "ICMPv6 requests"),
    _timeout(
        "generic",
        "nf_conntrack_generic_timeout",
        "600",
        "every protocol without a tracker of its own",
    ),
    _timeout(
        "gre.unreplied", "nf_conntrack_gre_timeout", "30", "GRE packets one way only"
    ),
    _timeout(
        "gre.stream", "nf_conntrack_gre_timeout_stream", "180", "GRE packets both ways"
    ),
    _timeout("sctp.closed", f"{_SCTP}closed", "10", "association closed"),
    _timeout("sctp.cookieWait", f"{_SCTP}cookie_wait", "3", "INIT sent"),
    _timeout("sctp.cookieEchoed", f"{_SCTP}cookie_echoed", "3", "COOKIE ECHO sent"),
    _timeout(
        "sctp.established",
        f"{_SCTP}established",
        "210 (432000 before 5.4)",
        "idle time of an open association",
    ),
    _timeout("sctp.shutdownSent", f"{_SCTP}shutdown_sent", "3", "SHUTDOWN sent"),
    _timeout("sctp.shutdownRecd", f"{_SCTP}shutdown_recd", "3", "SHUTDOWN received"),
    _timeout(
        "sctp.shutdownAckSent",
        f"{_SCTP}shutdown_ack_sent",
        "3",
        "SHUTDOWN acknowledged",
    ),
    _timeout(
        "sctp.heartbeatSent",
        f"{_SCTP}heartbeat_sent",
        "30",
        "HEARTBEAT on a path that is not known yet",
    ),
    _timeout("dccp.request", f"{_DCCP}request", "240", "Request sent"),
    _timeout("dccp.respond", f"{_DCCP}respond", "480", "Response sent"),
    _timeout("dccp.partOpen", f"{_DCCP}partopen", "480", "client waits for data"),
    _timeout("dccp.open", f"{_DCCP}open", "43200", "idle time of an open connection"),
    _timeout("dccp.closeReq", f"{_DCCP}closereq", "64", "server asks to close"),
    _timeout("dccp.closing", f"{_DCCP}closing", "64", "Close sent"),
    _timeout("dccp.timeWait", f"{_DCCP}timewait", "240", "connection closed"),
)
"""Every timeout, in the order of the policy's fields."""

SETTINGS: Final[tuple[Setting, ...]] = (
    NF_CONNTRACK_MAX,
    NF_CONNTRACK_BUCKETS,
    *TIMEOUTS,
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
