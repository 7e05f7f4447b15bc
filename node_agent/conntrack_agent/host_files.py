"""
Reads a few configuration files of the host, of which nothing is taken for granted.

They may be missing, endless, links to anywhere, devices, or no text. A link is followed
below the host's root, not below the container's; what cannot be read to its end is an
error, since half a file tells nothing.
"""

import errno
import os
import posixpath
import stat
from itertools import islice
from pathlib import Path
from typing import Final

from conntrack_agent.errors import HostFileError

MOST_FILES: Final = 512
"""Files in one folder; distributions ship about ten."""

MOST_BYTES: Final = 1 << 20
"""Of all files that one object reads, so that a look takes milliseconds."""

MOST_LINKS: Final = 8

_NONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR})


class HostFiles:
    """Configuration files for one look; another look takes another object."""

    def __init__(self, root: Path) -> None:
        """
        Say where the host's files are. Nothing is opened yet.

        Args:
            root: The directory that stands for the host's ``/``.
        """
        self._root = os.path.realpath(root)
        self._left = MOST_BYTES

    def names(self, folder: str) -> tuple[str, ...]:
        """
        List a folder.

        Args:
            folder: Absolute path on the host.

        Returns:
            Names in any order; none when there is no such folder.

        Raises:
            HostFileError: It cannot be listed, or has no end.
        """
        try:
            with os.scandir(self._place(folder)) as entries:
                found = tuple(each.name for each in islice(entries, MOST_FILES + 1))
        except OSError as error:
            if error.errno in _NONE:
                return ()
            raise HostFileError(f"{folder}: {error.strerror}") from error
        if len(found) > MOST_FILES:
            raise HostFileError(f"{folder}: more than {MOST_FILES} files")
        return found

    def read(self, file: str) -> str:
        """
        Read a whole file.

        Args:
            file: Absolute path on the host.

        Returns:
            Its text; empty when there is none, or when it is a link to ``/dev/null``,
            which is how administrators switch such a file off.

        Raises:
            HostFileError: It cannot be read to its end, or is no file.
        """
        try:
            path = self._target(file)
            return "" if path == "/dev/null" else self._content(self._place(path))
        except OSError as error:
            if error.errno in _NONE:
                return ""
            raise HostFileError(f"{file}: {error.strerror}") from error

    def _target(self, file: str) -> str:
        """
        Follow links, as the host would.
        """
        path = posixpath.normpath(file)
        for _ in range(MOST_LINKS):
            try:
                link = str(Path(self._place(path)).readlink())
            except OSError as error:
                if error.errno == errno.EINVAL:
                    return path
                raise
            # An absolute link replaces the folder; `normpath` stops at the root.
            folder = posixpath.dirname(path)
            path = posixpath.normpath(posixpath.join(folder, link))
            if path == "/dev/null":
                return path
        raise HostFileError(f"{file}: more than {MOST_LINKS} links")

    def _place(self, path: str) -> str:
        """
        Find where a host's path is here; its folder must not lead out of the root.
        """
        folder, name = posixpath.split(self._root + path)
        place = os.path.realpath(folder)
        if os.path.commonpath((place, self._root)) != self._root:
            raise HostFileError(f"{path}: is not below the host's root")
        return posixpath.join(place, name)

    def _content(self, place: str) -> str:
        """
        Read a file; neither a device nor a pipe makes us wait.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(place, flags), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise HostFileError(f"{place}: is no regular file")
            content = stream.read(self._left + 1)
        if len(content) > self._left:
            raise HostFileError(f"{place}: more than {MOST_BYTES} bytes to read")
        self._left -= len(content)
        return content.decode("utf-8", "replace")
