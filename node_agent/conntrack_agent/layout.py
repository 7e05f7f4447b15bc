"""
How ctnetlink writes an entry, and how an update of one is written.

Computes only. Kernels of all ages write the attributes that decide in the same order:
the original direction, status, timeout, and what the tracker knows.

Source: Linux, ``net/netfilter/nf_conntrack_netlink.c``, ``ctnetlink_fill_info``, and
``include/uapi/linux/netfilter/nfnetlink_conntrack.h``.
"""

import struct
from collections.abc import Iterator
from typing import Final

from conntrack_agent import nfnetlink
from conntrack_agent.clamp import STATEFUL, Cuts, Entry, Rule
from conntrack_agent.errors import SettingRejected

NEW, GET = 1 << 8, 1 << 8 | 1
"""Subsystem ctnetlink, messages IPCTNL_MSG_CT_NEW and _GET."""

_TUPLE_ORIG, _STATUS, _PROTOINFO, _TIMEOUT, _ZONE = 1, 3, 4, 7, 18
_TUPLE_PROTO: Final = 2
_PROTO_NUM: Final = 1
_STATE: Final = 1
"""The state is attribute 1 of the only tracker's attribute in CTA_PROTOINFO."""

_WORD: Final = struct.Struct(">I")


def updates(first: int, cuts: Cuts) -> Iterator[bytes]:
    """
    Write an update and a question for each entry.

    Args:
        first: The sequence number to begin with; each takes two.
        cuts: Entries, each with its seconds.
    """
    for index, (each, seconds) in enumerate(cuts):
        number = first + 2 * index
        head = nfnetlink.ATTRIBUTE.pack(nfnetlink.ATTRIBUTE.size + 4, _TIMEOUT)
        timeout = head + _WORD.pack(seconds)
        yield nfnetlink.request(NEW, 0, number, each.family, each.key + timeout)
        yield nfnetlink.request(GET, 0, number + 1, each.family, each.key)


def suspect(block: bytes, at: int, end: int, most: Rule) -> bool:
    """
    Tell whether an entry seems to have more than it may.

    Every entry of a table comes here, so no more is read than decides, and where the
    kernels put it. One that is suspect is read with care by `entry`.

    Args:
        block: What was received.
        at: Where the message's body begins.
        end: Where it ends.
        most: What an entry may have.
    """
    at += nfnetlink.FAMILY.size
    status = remaining = protocol = state = 0
    while at < end:
        length, kind = nfnetlink.ATTRIBUTE.unpack_from(block, at)
        kind &= nfnetlink.TYPE_BITS
        if kind == _TUPLE_ORIG:
            # Addresses first, then protocol: its number is the first of that.
            length_ip, _ = nfnetlink.ATTRIBUTE.unpack_from(block, at + 4)
            protocol = block[at + 4 + length_ip + 8]
        elif kind == _STATUS:
            (status,) = _WORD.unpack_from(block, at + 4)
        elif kind == _TIMEOUT:
            (remaining,) = _WORD.unpack_from(block, at + 4)
            if protocol not in STATEFUL:
                break
        elif kind == _PROTOINFO:
            # The tracker's attribute, then the state, the first of that.
            state = block[at + 12]
            break
        if length < nfnetlink.ATTRIBUTE.size:
            raise SettingRejected(f"an attribute of {length} bytes")
        at += length + 3 & ~3
    return 0 < most(protocol, state, status) < remaining


def entry(block: bytes, at: int, end: int) -> Entry | None:
    """
    Read one entry; ``None`` when no timeout rules it, such as an offloaded one.
    """
    family = block[at]
    at += nfnetlink.FAMILY.size
    places = {
        kind: (value, stop)
        for kind, value, stop in nfnetlink.attributes(block, at, end)
    }
    if not {_TUPLE_ORIG, _STATUS, _TIMEOUT} <= places.keys():
        return None
    key = b"".join(
        block[start - nfnetlink.ATTRIBUTE.size : nfnetlink.aligned(stop)]
        for kind, (start, stop) in places.items()
        if kind in (_TUPLE_ORIG, _ZONE)
    )
    state = 0
    if _PROTOINFO in places:
        state = _byte(block, places[_PROTOINFO], None, _STATE)
    return Entry(
        key=key,
        family=family,
        protocol=_byte(block, places[_TUPLE_ORIG], _TUPLE_PROTO, _PROTO_NUM),
        state=state,
        status=_WORD.unpack_from(block, places[_STATUS][0])[0],
        remaining=_WORD.unpack_from(block, places[_TIMEOUT][0])[0],
    )


def _byte(block: bytes, place: tuple[int, int], outer: int | None, inner: int) -> int:
    """
    Read a byte that lies two attributes deep; 0 when it is not there.
    """
    for kind, value, end in nfnetlink.attributes(block, *place):
        if outer in (None, kind):
            for below, byte, _end in nfnetlink.attributes(block, value, end):
                if below == inner:
                    return block[byte]
    return 0
