"""
Write the archive format that the kernel unpacks into its first root tree.

The kernel reads several archives one after the other from one file, later ones over
earlier ones. That is how what never changes, what a kernel brings and what a test
brings are packed apart and joined at the last moment.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

_BLOCK = 512
"""Archives are filled up to this many bytes, so that the next one starts aligned."""


class Archive:
    """
    One archive in the ``newc`` format, written as it is filled.

    Folders on the way to an entry are made by themselves. An entry that is already
    there is left alone, so the first one wins.

    Source:
        Linux, ``Documentation/driver-api/early-userspace/buffer-format.rst``.
    """

    def __init__(self, output: BinaryIO) -> None:
        """
        Begin an archive at the current place of an open file.
        """
        self._output = output
        self._written = 0
        self._known: set[str] = set()

    def add_bytes(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """
        Add a file of these bytes at an absolute path of the guest.
        """
        self._entry(path, stat.S_IFREG | mode, content)

    def add_link(self, path: str, target: str) -> None:
        """
        Add a symbolic link.
        """
        self._entry(path, stat.S_IFLNK | 0o777, target.encode())

    def add_folder(self, path: str, mode: int = 0o755) -> None:
        """
        Add an empty folder.
        """
        self._entry(path, stat.S_IFDIR | mode, b"")

    def add_path(self, path: str, source: Path) -> None:
        """
        Add a file of this machine, or a whole folder, without byte code.

        Links are followed: the guest gets what they lead to.
        """
        if source.is_dir():
            self.add_folder(path)
            for child in sorted(source.iterdir()):
                if child.name != "__pycache__":
                    self.add_path(f"{path.rstrip('/')}/{child.name}", child)
        else:
            mode = stat.S_IMODE(source.stat().st_mode)
            self.add_bytes(path, source.read_bytes(), mode)

    def close(self) -> None:
        """
        Write the end mark and the filling.
        """
        self._write_entry("TRAILER!!!", 0, b"")
        self._write(b"\0" * (-self._written % _BLOCK))

    def _entry(self, path: str, mode: int, content: bytes) -> None:
        name = path.strip("/")
        if not name or name in self._known:
            return
        self.add_folder(name.rpartition("/")[0])
        self._known.add(name)
        self._write_entry(name, mode, content)

    def _write_entry(self, name: str, mode: int, content: bytes) -> None:
        encoded = name.encode() + b"\0"
        # Inode, owner, group, link count and time are of no use to anybody here. The
        # inode stays zero, which with one link each never reads as a hard link.
        fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        self._write(b"070701" + b"".join(b"%08x" % field for field in fields))
        self._write(encoded)
        self._write(b"\0" * (-self._written % 4))
        self._write(content)
        self._write(b"\0" * (-self._written % 4))

    def _write(self, data: bytes) -> None:
        self._output.write(data)
        self._written += len(data)
