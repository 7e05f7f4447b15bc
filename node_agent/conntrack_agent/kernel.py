"""
The only file that opens ``/proc`` and ``/sys``.

Three verbs on files below a root: read, write, and ask whether a write could work.
Paths are those of a host, ``proc/sys/net/...`` and ``sys/module/...``, so the same
code runs on the real kernel, on a mount of it elsewhere, and on a captured tree.
"""

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from conntrack_agent.errors import (
    KernelError,
    OutOfMemory,
    SettingMissing,
    SettingReadOnly,
    SettingRejected,
    ValueRefused,
)
from conntrack_agent.kept import KeptFiles

_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR})
_READ_ONLY = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EOPNOTSUPP})
_NOT_THIS_VALUE = frozenset({errno.EINVAL, errno.ERANGE, errno.EDOM})
_ANY_WRITE_BIT = 0o222
_FORBIDDEN = (
    ": that takes uid 0, and a security module such as SELinux or AppArmor that lets it"
)
_ADVICE = {
    errno.EROFS: ": it is mounted read-only here",
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
}
"""What to look at where the errno alone sends people elsewhere."""


class LinuxKernel:
    """The kernel settings of one host."""

    def __init__(
        self, root: Path = Path("/"), mounts: Mapping[str, Path] | None = None
    ) -> None:
        """
        Say where the host's files are.

        Args:
            root: The directory that holds ``proc`` and ``sys``.
            mounts:
                Folders that are mounted elsewhere, such as ``proc/sys/net``, since a
                container's own are read-only. The longest match counts.
        """
        # Plain strings: an observation reads some forty files, and paths cost as much.
        self._kept = KeptFiles()
        self._root = str(root).rstrip("/")
        self._mounts = {
            f"{prefix}/": f"{folder}/"
            for prefix, folder in sorted(
                (mounts or {}).items(), key=lambda item: -len(item[0])
            )
        }

    def read(self, file: str) -> str | None:
        """
        Read a whole file.

        Args:
            file: Path below the host's root.

        Returns:
            Its text, or ``None`` when there is no such file: that is an answer.

        Raises:
            KernelError: It is there and cannot be read.
        """
        try:
            return self._kept.read(self._path(file)).decode("ascii", "replace")
        except OSError as error:
            if error.errno in _MISSING:
                return None
            raise translated(file, error) from error

    def write(self, file: str, value: int) -> None:
        """
        Write one number: open, write once, close.

        A second write on a descriptor is dropped without an error, and a write that
        is not checked loses its errno, hence the plain system calls.

        Args:
            file: Path below the host's root.
            value: Written in decimal; kernels read leading zeros as octal.

        Raises:
            SettingMissing: There is no such file.
            SettingReadOnly: It may not be opened for writing, or not from here.
            SettingRejected: The kernel did not take the value.

        Source:
            Linux, ``Documentation/admin-guide/sysctl/kernel.rst``,
            ``sysctl_writes_strict``.
        """
        text = b"%d\n" % value
        try:
            descriptor = os.open(self._path(file), _write_flags(self._path(file)))
            try:
                written = os.write(descriptor, text)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise translated(file, error) from error
        if written != len(text):
            raise SettingRejected(f"{file}: only {written} of {len(text)} bytes taken")

    def writable(self, file: str) -> bool:
        """
        Find out by trying whether a file can be opened for writing. Writes nothing.

        The kernel looks at a sysctl's mode bits even for root, so a tree of ordinary
        files is asked for its bits first, and answers as the kernel would.

        Args:
            file: Path below the host's root.

        Returns:
            False also when there is no such file.

        Source:
            Linux, ``fs/proc/proc_sysctl.c``, ``test_perm``.
        """
        path = self._path(file)
        try:
            if not os.stat(path).st_mode & _ANY_WRITE_BIT:  # noqa: PTH116 - a string
                return False
            os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
        except OSError:
            return False
        return True

    def page_bytes(self) -> int:
        """
        Give the page size, which bucket numbers are rounded to.
        """
        return os.sysconf("SC_PAGE_SIZE")

    def lost_files(self) -> int:
        """
        Count the files that went away while they were watched.

        Returns:
            A number that has grown when the module was unloaded since the last look,
            even if it was loaded again at once. It starts at 0 with the process.
        """
        return self._kept.lost

    def _path(self, file: str) -> str:
        """
        Find where a host's file is to be opened.
        """
        for prefix, folder in self._mounts.items():
            if file.startswith(prefix):
                return folder + file.removeprefix(prefix)
        return f"{self._root}/{file}"


def _write_flags(path: str) -> int:
    """
    Choose open flags: an ordinary file is cut to the new text, as a sysctl is.

    ``O_TRUNC`` does nothing on a sysctl. The mode bits are asked for the reason that
    `LinuxKernel.writable` gives.
    """
    if not os.stat(path).st_mode & _ANY_WRITE_BIT:  # noqa: PTH116 - a string
        raise no_write_bit()
    return os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC


def no_write_bit() -> PermissionError:
    """
    Say that the mode is what forbids a write; a security module sounds otherwise.
    """
    return PermissionError(errno.EACCES, "no write bit in its mode")


def translated(file: str, error: OSError) -> KernelError:
    """
    Name an ``OSError`` by its cause.
    """
    name = errno.errorcode.get(error.errno or 0, "?")
    text = f"{file}: {error.strerror or os.strerror(error.errno or 0)} ({name})"
    if error.strerror == os.strerror(error.errno or 0):
        text += _ADVICE.get(error.errno or 0, "")
    if error.errno in _MISSING:
        return SettingMissing(text)
    if error.errno in _READ_ONLY:
        return SettingReadOnly(text)
    if error.errno in _NOT_THIS_VALUE:
        return ValueRefused(text)
    if error.errno == errno.ENOMEM:
        return OutOfMemory(text)
    return SettingRejected(text)
