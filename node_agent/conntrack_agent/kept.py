"""
Files of ``/proc`` that are read again and again: opened once, read with ``pread``.

Opening costs ten times the reading, and an agent looks every few seconds for years.
Only what the kernel makes up while it is read (its size is 0) is kept open: a file on
a disk may be replaced by another one of the same name.
"""

import errno
import os
import stat
import weakref
from typing import Final

_GONE: Final = frozenset({errno.ENOENT, errno.EIO, errno.ESTALE, errno.ENODEV})
"""
What a kept descriptor answers when its module was unloaded, perhaps loaded again.

Source: Linux, ``fs/proc/proc_sysctl.c`` (ENOENT), ``fs/proc/inode.c`` (EIO).
"""

_BLOCK: Final = 4096
"""Bytes asked for at a time; most files hold one number, and memory costs, too."""

_WHOLE: Final = 256
"""Bytes; a shorter answer is one number, and is not followed by another one."""


class KeptFiles:
    """Readable files below some root, by path."""

    def __init__(self) -> None:
        """
        Open nothing yet; whatever is opened is closed with this object.
        """
        self._open: dict[str, int] = {}
        self.lost = 0
        """How many kept files were gone: their module was unloaded, at least once."""
        weakref.finalize(self, _close, self._open)

    def read(self, path: str) -> bytes:
        """
        Read a whole file as it is now.

        Args:
            path: Where it is; a file that came back under its name is found again.

        Raises:
            OSError: It cannot be opened or read.
        """
        kept = self._open.get(path)
        if kept is not None:
            try:
                return _content(kept)
            except OSError as error:
                os.close(self._open.pop(path))
                if error.errno not in _GONE:
                    raise
                self.lost += 1
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            content = _content(descriptor)
            facts = os.fstat(descriptor)
            if stat.S_ISREG(facts.st_mode) and facts.st_size == 0:
                self._open[path] = descriptor
        finally:
            if self._open.get(path) != descriptor:
                os.close(descriptor)
        return content


def _content(descriptor: int) -> bytes:
    """
    Read a file from its beginning to its end.
    """
    content = block = os.pread(descriptor, _BLOCK, 0)
    while len(block) >= _WHOLE:
        block = os.pread(descriptor, _BLOCK, len(content))
        content += block
    return content


def _close(opened: dict[str, int]) -> None:
    """
    Close whatever is open.
    """
    for descriptor in opened.values():
        os.close(descriptor)
    opened.clear()
