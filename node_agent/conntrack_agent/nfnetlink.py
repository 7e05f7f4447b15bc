"""
What every talk with netfilter over netlink has in common: messages and attributes.

Netfilter answers nobody without CAP_NET_ADMIN in the user namespace that owns the
network namespace.

Source: Linux, ``include/uapi/linux/netlink.h`` and
``include/uapi/linux/netfilter/nfnetlink.h``.
"""

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from conntrack_agent.errors import KernelError, SettingReadOnly, SettingRejected

REQUEST: Final = 0x001
ACKNOWLEDGE: Final = 0x004
DUMP: Final = 0x300

ERROR: Final = 2
DONE: Final = 3

HEADER: Final = struct.Struct("=IHHII")
"""Length, type, flags, sequence, port."""
FAMILY: Final = struct.Struct("=BBH")
"""Address family, version 0, and a number that netfilter keeps in network order."""
ATTRIBUTE: Final = struct.Struct("=HH")
"""Length with this header, type."""

_ERRNO: Final = struct.Struct("=i")
TYPE_BITS: Final = 0x3FFF
"""The two highest bits of an attribute's type are flags."""
_NETLINK_NETFILTER: Final = 12
_FOR_GOOD: Final = frozenset({errno.EPERM, errno.EACCES, errno.EPROTONOSUPPORT})


def connect() -> socket.socket:
    """
    Open a socket to this network namespace's kernel.
    """
    return socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER
    )


def request(
    kind: int, flags: int, sequence: int, family: int, body: bytes = b""
) -> bytes:
    """
    Build a message: header, family, attributes.
    """
    size = HEADER.size + FAMILY.size + len(body)
    head = HEADER.pack(size, kind, REQUEST | flags, sequence, 0)
    return head + FAMILY.pack(family, 0, 0) + body


def messages(block: bytes) -> Iterator[tuple[int, int, int, int]]:
    """
    Cut what was received into messages.

    Yields:
        Type, sequence, and where the body begins and ends.

    Raises:
        SettingRejected: A length that cannot be.
    """
    at = 0
    while at < len(block):
        length, kind, _flags, sequence, _port = HEADER.unpack_from(block, at)
        if not HEADER.size <= length <= len(block) - at:
            raise SettingRejected(f"a message of {length} bytes")
        yield kind, sequence, at + HEADER.size, at + length
        at += aligned(length)


def attributes(block: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """
    Walk the attributes between two places of a block.

    Yields:
        Type, and where the value begins and ends.

    Raises:
        SettingRejected: A length that cannot be.
    """
    while at < end:
        length, kind = ATTRIBUTE.unpack_from(block, at)
        if not ATTRIBUTE.size <= length <= end - at:
            raise SettingRejected(f"an attribute of {length} bytes")
        yield kind & TYPE_BITS, at + ATTRIBUTE.size, at + length
        at += aligned(length)


def aligned(length: int) -> int:
    """
    Round a length up to the four bytes that netlink pads to.
    """
    return length + 3 & ~3


def error_number(block: bytes, at: int) -> int:
    """
    Read the errno of an error message's body; 0 acknowledges.
    """
    return -int(_ERRNO.unpack_from(block, at)[0])


def refused(number: int) -> OSError:
    """
    Make the error of an errno that came in a message.
    """
    return OSError(number, os.strerror(number))


@contextmanager
def talking(close: Callable[[], None]) -> Iterator[None]:
    """
    Ask and read the answer within this.

    Args:
        close: Closes the socket after whatever went wrong: what is left in it would be
            taken for the answer to the next question.

    Raises:
        KernelError: What went wrong, by its cause.
    """
    try:
        yield
    except (OSError, struct.error, IndexError, SettingRejected) as error:
        close()
        raise translated(error) from error


def translated(error: Exception) -> KernelError:
    """
    Name by its cause what went wrong while the kernel was asked.

    Returns:
        `SettingReadOnly` where asking again is no use, such as without the right.
    """
    if not isinstance(error, OSError):
        return SettingRejected(f"netlink: no sense in the answer: {error}")
    text = f"netlink: {os.strerror(error.errno or errno.EIO)}"
    if error.errno == errno.EPERM:
        text += ", the capability NET_ADMIN is missing"
    if error.errno in _FOR_GOOD:
        return SettingReadOnly(text)
    return KernelError(text)
