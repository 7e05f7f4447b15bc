"""
Which entries outlive the timeouts that are in force, and what to cut them to.

Computes only. The kernel gives an entry its timeout when a packet comes, so one that
is idle keeps what it was given under an older, longer timeout.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from conntrack_agent.changes import Findings
from conntrack_agent.observations import Observation
from conntrack_api.node import NodeMode, NodeSpec
from conntrack_api.policy import ExistingEntries
from conntrack_api.settings import NF_CONNTRACK_BUCKETS, TIMEOUTS

SEEN_REPLY: Final = 1 << 1
ASSURED: Final = 1 << 2
DYING: Final = 1 << 9
FIXED_TIMEOUT: Final = 1 << 10
OFFLOAD: Final = 1 << 14
HW_OFFLOAD: Final = 1 << 15
_LEFT_ALONE: Final = DYING | FIXED_TIMEOUT | OFFLOAD | HW_OFFLOAD

TCP, UDP, DCCP, GRE, SCTP, UDPLITE = 6, 17, 33, 47, 132, 136

_NAMES: Final = {row.field.removeprefix("timeouts."): row.name for row in TIMEOUTS}


def _states(protocol: str, *fields: str) -> Mapping[int, tuple[str, ...]]:
    """
    Give the timeout of each state; the kernel counts states from 1 on.
    """
    return {
        number: (_NAMES[f"{protocol}.{field}"],)
        for number, field in enumerate(fields, start=1)
    }


_BY_STATE: Final = {
    TCP: _states(
        "tcp",
        *("synSent", "synRecv", "established", "finWait"),
        *("closeWait", "lastAck", "timeWait", "close"),
    ),
    DCCP: _states(
        "dccp",
        *("request", "respond", "partOpen", "open", "closeReq", "closing", "timeWait"),
    ),
    SCTP: _states(
        "sctp",
        *("closed", "cookieWait", "cookieEchoed", "established"),
        *("shutdownSent", "shutdownRecd", "shutdownAckSent", "heartbeatSent"),
    ),
}
"""
Protocol and state to the longest timeout that the kernel gives in it.

Retransmissions may have got a shorter one; the kernel does not tell, so it is not asked
for. Source: Linux, ``nf_conntrack_tcp.h``, ``nf_conntrack_proto_sctp.c`` and
``nf_conntrack_proto_dccp.c``, the enumerations of states.
"""

STATEFUL: Final = frozenset(_BY_STATE)
"""Protocols whose state decides."""

_BY_REPLY: Final = {
    UDP: (_NAMES["udp.unreplied"], _NAMES["udp.stream"]),
    GRE: (_NAMES["gre.unreplied"], _NAMES["gre.stream"]),
}
_STATELESS: Final = {1: (_NAMES["icmp"],), 58: (_NAMES["icmpv6"],), UDPLITE: ()}
_GENERIC: Final = (_NAMES["generic"],)


Rule = Callable[[int, int, int], int]
"""Protocol, state and status bits to the most seconds that an entry may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One flow that the kernel remembers."""

    key: bytes
    """What names it, as the kernel wrote it."""
    family: int
    """Address family."""
    protocol: int
    """IP protocol number."""
    state: int
    """The tracker's state; 0: none."""
    status: int
    """Bits, see ``enum ip_conntrack_status``."""
    remaining: int
    """Seconds until it is forgotten, rounded down."""


Cuts = Sequence[tuple[Entry, int]]
"""Entries, each with the seconds that it is to be cut to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The timeouts that are in force."""

    ours: Mapping[str, int]
    """Kernel name to seconds: asked for, and shown by the kernel."""
    known: Mapping[str, int]
    """The same of every timeout that the kernel shows."""
    buckets: int = 0
    """Of the hash table: a walk during which they change misses entries."""

    @property
    def all(self) -> "Limits":
        """
        Take every timeout for ours.
        """
        return Limits(ours=self.known, known=self.known)


def limits(spec: NodeSpec, seen: Observation, found: Findings) -> Limits | None:
    """
    Say by which timeouts entries are to be cut; ``None``: none may be touched.

    What is cut cannot be given back, so a change that is on trial must be kept first,
    and a timeout that the kernel does not show cuts nothing.

    Args:
        spec: What the node was told.
        seen: The kernel after the pass.
        found: What the pass found out.
    """
    wished = spec.existing_entries is ExistingEntries.CLAMP
    free = found.hold is None and not (found.journal or found.soaking)
    if not wished or spec.mode is not NodeMode.ENFORCE or not free:
        return None
    if found.rolled_back or seen.entries is None:
        return None
    known = {
        row.name: seen.values[row.name] for row in TIMEOUTS if row.name in seen.values
    }
    ours = {
        name: value
        for name, value in known.items()
        if value >= 1 and spec.settings.get(name) == value
    }
    buckets = seen.values.get(NF_CONNTRACK_BUCKETS.name, 0)
    return Limits(ours=ours, known=known, buckets=buckets) if ours else None


def rule(limits: Limits) -> Rule:
    """
    Make the function that says what an entry may have at most.

    It is asked for every entry of a table, and remembers its answers.

    Args:
        limits: The timeouts in force.

    Returns:
        Protocol, state and status bits to seconds; 0 where no timeout of ours rules, or
        none at all, and entries are to be left alone.
    """

    @lru_cache(maxsize=1024)
    def most(protocol: int, state: int, status: int) -> int:
        names = () if status & _LEFT_ALONE else _timeouts_of(protocol, state, status)
        if not names or not all(name in limits.known for name in names):
            return 0
        name = max(names, key=lambda each: limits.known[each])
        return max(0, limits.ours.get(name, 0))

    return most


def too_long(entry: Entry, most: Rule) -> int:
    """
    Say what an entry is to be cut to: fewer seconds than it has; 0: leave it alone.
    """
    seconds = most(entry.protocol, entry.state, entry.status)
    return seconds if seconds < entry.remaining else 0


def _timeouts_of(protocol: int, state: int, status: int) -> tuple[str, ...]:
    """
    Name the timeouts that the kernel may have given; empty: not known.

    A reply alone does not tell: since 5.0 a UDP flow is a stream when packets went both
    ways for more than two seconds, and assured only then.

    Source:
        Linux, ``nf_conntrack_proto_udp.c``, ``nf_conntrack_udp_packet``.
    """
    if states := _BY_STATE.get(protocol):
        return states.get(state, ())
    if both := _BY_REPLY.get(protocol):
        if status & ASSURED:
            return both[1:]
        return both if status & SEEN_REPLY else both[:1]
    return _STATELESS.get(protocol, _GENERIC)
