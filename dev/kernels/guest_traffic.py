"""
Run inside a guest: make a few flows over the loopback device.

Answered and unanswered UDP flows, one TCP connection, one packet that makes no sense,
and for a moment a table that is too small: so the table is not empty, and the
counters ``invalid`` and ``drop`` are not zero. The limit is put back as it was.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from pathlib import Path

LIMIT = Path("/proc/sys/net/netfilter/nf_conntrack_max")
"""The file with the most entries that the table may hold."""


def answered_udp() -> None:
    """
    Ask twice and be answered twice.
    """
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 5300))
    for _ in range(2):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.sendto(b"question", ("127.0.0.1", 5300))
        _, address = server.recvfrom(100)
        server.sendto(b"answer", address)
        client.recv(100)


def unanswered_udp(number: int) -> None:
    """
    Ask where nobody listens, each time from a port of its own.
    """
    for _ in range(number):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # This is how the kernel tells a local sender that the table is full.
        with contextlib.suppress(PermissionError):
            client.sendto(b"question", ("127.0.0.1", 5301))


def tcp() -> None:
    """
    Open a connection, use it, and close it.
    """
    listener = socket.create_server(("127.0.0.1", 8080))
    client = socket.create_connection(("127.0.0.1", 8080))
    server, _ = listener.accept()
    client.sendall(b"hello")
    server.recv(100)


def nonsense() -> None:
    """
    Send a TCP segment with every flag set at once.
    """
    every_flag = 0x3F
    header = struct.pack("!HHIIBBHHH", 1, 1, 0, 0, 5 << 4, every_flag, 0, 0, 0)
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
    sender.sendto(header, ("127.0.0.1", 0))


def too_many() -> None:
    """
    Start flows while the table is held at less than it has.
    """
    before = LIMIT.read_text()
    LIMIT.write_text("1")
    unanswered_udp(5)
    LIMIT.write_text(before)


if __name__ == "__main__":
    answered_udp()
    unanswered_udp(1)
    tcp()
    nonsense()
    too_many()
