"""
Entries made over netlink, for tests: real traffic has no idle hours to spare.

Source: Linux, ``include/uapi/linux/netfilter/nfnetlink_conntrack.h``.
"""

import socket
import struct
from collections.abc import Callable
from typing import Final

from conntrack_agent import nfnetlink

ASSURED: Final = 0xE
"""Status bits: a reply was seen, assured, confirmed."""

_NEW: Final = 1 << 8
_CREATE: Final = 0x400 | 0x200
_NESTED: Final = 0x8000
_BATCH: Final = 64
_PORTS: Final = 60_000
_SECONDS: Final = 10.0


class Flows:
    """Adds entries to one network namespace, each another flow over IPv4."""

    def __init__(
        self, connect: Callable[[], socket.socket] = nfnetlink.connect
    ) -> None:
        """
        Add none yet.

        Args:
            connect: Makes a socket to the kernel that shall have them.
        """
        self._socket = connect()
        self._socket.settimeout(_SECONDS)
        self._number = 0

    def add(
        self,
        number: int = 1,
        *,
        seconds: int = 432_000,
        protocol: int = socket.IPPROTO_TCP,
        state: int | None = 3,
        status: int = ASSURED,
        zone: int = 0,
    ) -> None:
        """
        Add entries; established TCP that was answered, unless told otherwise.

        Raises:
            OSError: The kernel did not take one.
        """
        rest = _attribute(3, struct.pack(">I", status))
        rest += _attribute(7, struct.pack(">I", seconds))
        rest += _attribute(18, struct.pack(">H", zone)) if zone else b""
        if state is not None:
            rest += _nested(4, _nested(1, _attribute(1, bytes([state]))))
        for at in range(0, number, _BATCH):
            waiting = min(_BATCH, number - at)
            self._socket.send(
                b"".join(self._message(protocol, rest) for _ in range(waiting))
            )
            while waiting:
                block = self._socket.recv(1 << 16)
                for _kind, _sequence, body, _end in nfnetlink.messages(block):
                    if found := nfnetlink.error_number(block, body):
                        raise nfnetlink.refused(found)
                    waiting -= 1

    def close(self) -> None:
        """
        Add no more.
        """
        self._socket.close()

    def _message(self, protocol: int, rest: bytes) -> bytes:
        """
        Ask for one entry, which the kernel acknowledges.
        """
        self._number += 1
        client = struct.pack(">I", 0x0A00_0000 + self._number // _PORTS)
        server = bytes([10, 1, 0, 1])
        port, service = 1024 + self._number % _PORTS, 80
        body = _tuple(1, client, server, protocol, (port, service))
        body += _tuple(2, server, client, protocol, (service, port))
        flags = _CREATE | nfnetlink.ACKNOWLEDGE
        return nfnetlink.request(_NEW, flags, self._number, socket.AF_INET, body + rest)


def _tuple(
    kind: int, source: bytes, to: bytes, protocol: int, ports: tuple[int, int]
) -> bytes:
    """
    Name a flow in one direction.
    """
    addresses = _nested(1, _attribute(1, source) + _attribute(2, to))
    numbers = _attribute(1, bytes([protocol]))
    numbers += _attribute(2, struct.pack(">H", ports[0]))
    numbers += _attribute(3, struct.pack(">H", ports[1]))
    return _nested(kind, addresses + _nested(2, numbers))


def _attribute(kind: int, value: bytes) -> bytes:
    """
    Write one attribute, padded.
    """
    head = nfnetlink.ATTRIBUTE.pack(nfnetlink.ATTRIBUTE.size + len(value), kind)
    return head + value + bytes(-len(value) % 4)


def _nested(kind: int, value: bytes) -> bytes:
    """
    Write an attribute that holds others.
    """
    return _attribute(_NESTED | kind, value)
