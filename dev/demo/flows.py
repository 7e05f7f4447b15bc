"""
Real flows over loopback, to fill a table.

Many small UDP packets, each pair of port and address a flow of its own.

A kernel tracks nothing until some rule wants it. One table with one rule that reads
the tracking state is enough; it is removed again, and nobody else's is touched.
"""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nftsocket import NFPROTO_INET
from pyroute2.nftables.expressions import genex
from pyroute2.nftables.main import NFTables

_TABLE: Final = "conntrack_demo"
_ACCEPT: Final = 1
_STATE: Final = 0
_REGISTER: Final = 1
_ADDRESSES: Final = 200


@contextmanager
def tracking() -> Iterator[None]:
    """
    Make this network namespace track its flows, until the context is left.
    """
    untrack()
    with NFTables(nfgen_family=NFPROTO_INET) as tables:
        tables.table("add", name=_TABLE)
        tables.chain(
            "add",
            table=_TABLE,
            name="input",
            hook="input",
            type="filter",
            policy=_ACCEPT,
        )
        read_state = genex("ct", {"KEY": _STATE, "DREG": _REGISTER})
        tables.rule("add", table=_TABLE, chain="input", expressions=[(read_state,)])
    try:
        yield
    finally:
        untrack()


def untrack() -> None:
    """
    Remove our table, also one left by a run that was killed; none is fine.
    """
    with NFTables(nfgen_family=NFPROTO_INET) as tables, suppress(NetlinkError):
        tables.table("del", name=_TABLE)


def open_flows(number: int) -> None:
    """
    Send one packet for each of so many new flows; the kernel remembers them a while.

    Args:
        number: How many flows, up to about a hundred thousand.
    """
    with ExitStack() as stack:
        target = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        target.bind(("0.0.0.0", 0))  # noqa: S104 - loopback has many addresses
        port = target.getsockname()[1]
        for start in range(0, number, _ADDRESSES):
            # Kept open to the end, so that no port, and so no flow, comes twice.
            source = stack.enter_context(
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            )
            source.bind(("127.0.0.1", 0))
            for index in range(min(_ADDRESSES, number - start)):
                source.sendto(b"", (f"127.0.1.{index + 1}", port))
