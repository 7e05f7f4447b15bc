"""
The rows of the table of settings that are timeouts.

Source: Linux, ``Documentation/networking/nf_conntrack-sysctl.rst``.
"""

from typing import Final

from conntrack_api.setting import Setting, Unit

MAX_TIMEOUT_SECONDS: Final = 2_147_483
"""
Largest timeout that every kernel stores as given.

Kernels keep timeouts in jiffies in a 32-bit int, so the ceiling is INT_MAX / HZ,
and HZ is 1000 at most. Linux 4.4 accepts more and stores something else.
"""


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
