"""
The kernel's log, read without taking anything out of it; off unless it is asked for.

One system call and one buffer: no device is opened and no process started. The kernel
gives the youngest lines that fit. Without ``kernel.dmesg_restrict`` anybody may ask,
else CAP_SYSLOG is needed, and in a container usually that in any case: the runtimes'
system call filters let the call through with that capability only.

Source: syslog(2). Linux, ``kernel/printk/printk.c``, ``syslog_print_all``.
"""

import errno
import os
from collections.abc import Callable
from typing import Final

from conntrack_agent.errors import KernelError, SettingReadOnly

BYTES: Final = 1 << 14
"""Of the log that are read at once: some 200 lines, and 10 in 5 s may be ours."""

_READ_ALL: Final = 3
"""``SYSLOG_ACTION_READ_ALL``; actions 2, 4 and 5 would take lines from the logger."""

_FOR_GOOD: Final = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS})


class KernelLog:
    """The youngest part of the log of the kernel that runs here."""

    def __init__(self, ask: Callable[[int], bytes] | None = None) -> None:
        """
        Read nothing yet.

        Args:
            ask: Gives so many bytes of the log at most, or raises ``OSError``; left
                out, the kernel is asked.
        """
        self._ask = ask or _klogctl

    def read(self) -> str:
        """
        Read the end of the log.

        Returns:
            At most `BYTES`, whole lines, each with its level: ``<4>[ 12.345678] text``.

        Raises:
            SettingReadOnly: We may not, or there is none; asking again is no use.
            KernelError: It could not be read this time.
        """
        try:
            return self._ask(BYTES).decode("utf-8", "replace")
        except OSError as error:
            text = f"syslog: {os.strerror(error.errno or errno.EIO)}"
            if error.errno == errno.EPERM:
                text += ", the capability SYSLOG is missing"
            if error.errno in _FOR_GOOD:
                raise SettingReadOnly(text) from error
            raise KernelError(text) from error


def _klogctl(size: int) -> bytes:
    """
    Make the system call, by the name that libc gives it.
    """
    import ctypes  # noqa: PLC0415 - costs memory

    buffer = ctypes.create_string_buffer(size)
    count = ctypes.CDLL(None, use_errno=True).klogctl(_READ_ALL, buffer, size)
    if count < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return buffer.raw[:count]
