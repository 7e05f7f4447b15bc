"""
Real flows over loopback, to fill a table.

Many small UDP packets, each pair of port and address a flow of its own.

A kernel tracks nothing until some rule wants it. One table with one rule is enough: it
marks our flows, so that they can be deleted again; nobody else's are touched.
"""

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket
from pyroute2.netlink.nfnetlink.nftsocket import NFPROTO_INET
from pyroute2.nftables.expressions import genex
from pyroute2.nftables.main import NFTables

_TABLE: Final = "conntrack_demo"
_MARK: Final = 0x6374_6465
"""Marks our flows, so that they and no others can be deleted again."""
_ACCEPT: Final = 1
_ADDRESSES: Final = 200


@contextmanager
def tracking() -> Iterator[socket.socket]:
    """
    Make this network namespace track its flows, until the context is left.

    Yields:
        The socket that takes the packets of `open_flows`; its flows are marked.
    """
    untrack()
    with (
        NFTables(nfgen_family=NFPROTO_INET) as tables,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as target,
    ):
        target.bind(("0.0.0.0", 0))  # noqa: S104 - loopback has many addresses
        tables.table("add", name=_TABLE)
        tables.chain(
            "add",
            table=_TABLE,
            name="input",
            hook="input",
            type="filter",
            policy=_ACCEPT,
        )
        rule = mark_flows_to(target.getsockname()[1])
        tables.rule("add", table=_TABLE, chain="input", expressions=[rule])
        try:
            yield target
        finally:
            untrack()


def mark_flows_to(port: int) -> tuple[object, ...]:
    """
    Write the rule ``udp dport PORT ct mark set MARK`` as the kernel wants it.
    """

    def same(value: bytes) -> object:
        data = {"attrs": [("NFTA_DATA_VALUE", value)]}
        return genex("cmp", {"SREG": 1, "OP": 0, "DATA": data})

    mark = {"attrs": [("NFTA_DATA_VALUE", struct.pack("=I", _MARK))]}
    return (
        genex("meta", {"KEY": 16, "DREG": 1}),  # layer 4 protocol
        same(bytes([socket.IPPROTO_UDP])),
        genex("payload", {"DREG": 1, "BASE": 2, "OFFSET": 2, "LEN": 2}),
        same(struct.pack("!H", port)),
        genex("immediate", {"DREG": 1, "DATA": mark}),
        genex("ct", {"KEY": 3, "SREG": 1}),
    )


def untrack() -> None:
    """
    Remove our table and our flows, also those of a run that was killed.
    """
    with NFTables(nfgen_family=NFPROTO_INET) as tables, suppress(NetlinkError):
        tables.table("del", name=_TABLE)
    with NFCTSocket() as table, suppress(NetlinkError):
        table.flush(mark=_MARK, mark_mask=0xFFFF_FFFF)


def open_flows(number: int, target: socket.socket) -> None:
    """
    Send one packet for each of so many new flows; the kernel remembers them a while.

    Args:
        number: How many flows, up to about a hundred thousand.
        target: Where they go, from `tracking`.
    """
    port = target.getsockname()[1]
    with ExitStack() as stack:
        for start in range(0, number, _ADDRESSES):
            # Kept open to the end, so that no port, and so no flow, comes twice.
            source = stack.enter_context(
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            )
            source.bind(("127.0.0.1", 0))
            for index in range(min(_ADDRESSES, number - start)):
                source.sendto(b"", (f"127.0.1.{index + 1}", port))
