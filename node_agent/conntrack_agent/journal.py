"""
What must outlive the agent: on disk, and synced, before the first write.

One file in one private directory, replaced as a whole: written beside, synced,
renamed, directory synced. After a kill at any point it is the old or the new one.
What is damaged, or may be somebody else's work, is never guessed at: it is moved aside,
and counts as unknown. What a newer agent wrote stays as it is, and so does the kernel.
"""

import errno
import fcntl
import json
import os
import stat
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from conntrack_agent.errors import JournalError
from conntrack_agent.memory import Memory
from conntrack_api.codec import node_from_object, to_object
from conntrack_api.decode import decode
from conntrack_api.errors import InvalidObject, Problem

FORMAT: Final = 1
"""Number of this layout; a higher one was written by a newer agent."""

LARGEST: Final = 1 << 20
"""Bytes; a journal has some thousands."""

_NAME: Final = "journal.json"
_BESIDE: Final = "journal.new"
_ASIDE: Final = "journal.damaged"


class Doubt(ValueError):
    """What speaks against a journal, in words for a person."""


class Newer(ValueError):
    """A journal that this agent cannot read, and a newer one can."""


class DiskJournal:
    """The journal in one directory of the host."""

    def __init__(self, directory: Path, node: str = "") -> None:
        """
        Say where. Nothing is opened or made yet.

        Args:
            directory: Made with mode 0700 when it is not there.
            node:
                Name of this node. What another one wrote, on a disk that was copied,
                counts as nothing.
        """
        self._directory = directory
        self._file = directory / _NAME
        self._node = node

    def lock(self) -> None:
        """
        Make sure that no other agent uses this directory, until the process ends.

        One that was made for us, as the kubelet does, becomes private, too; one that
        holds anything else may be somebody's, and stays as it is.

        Raises:
            JournalError: Another one does, or the directory cannot be made.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            descriptor = os.open(self._directory, flags)
        except OSError as error:
            raise JournalError(
                f"{self._directory} cannot be made or opened: {error.strerror}; it "
                "must be a directory of this host that outlives the agent"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            busy = isinstance(error, BlockingIOError)
            what = "another agent is using it" if busy else error.strerror
            raise JournalError(f"{self._directory}: {what}") from error
        # Where that cannot be, the first write says why.
        with suppress(OSError):
            if {each.name for each in self._directory.iterdir()} <= {_NAME, _BESIDE}:
                os.fchmod(descriptor, 0o700)

    def load(self) -> Memory:
        """
        Read what is known.

        Returns:
            An empty memory when there is no journal of this node yet. Of one that
            cannot be trusted only that it was `lost`; it is moved aside.

        Raises:
            JournalError: It cannot be read, or not be moved, or is a newer agent's.
        """
        try:
            return _decoded(self._read(), self._node)
        except FileNotFoundError:
            return Memory()
        except OSError as error:
            if error.errno == errno.ELOOP:
                return self._move_aside("it is a link")
            raise JournalError(f"{self._file}: {error.strerror}") from error
        except Newer as error:
            raise JournalError(
                f"{self._file} was written by a newer agent: {error}"
            ) from error
        except (
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            RecursionError,
            InvalidObject,
        ) as error:
            ours = isinstance(error, Doubt | InvalidObject)
            return self._move_aside(str(error) if ours else "it is damaged")

    def save(self, memory: Memory) -> None:
        """
        Put a memory on disk and wait until it is there.

        Raises:
            JournalError: It may not be there; the old one is unharmed.
        """
        content = _encoded(memory, self._node)
        if len(content) > LARGEST:
            raise JournalError(f"{self._file}: would be larger than {LARGEST} bytes")
        beside = self._directory / _BESIDE
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                beside.unlink()
            with os.fdopen(os.open(beside, flags, 0o600), "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(self._file)
            folder = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise JournalError(f"{self._file}: {error.strerror}") from error

    def _read(self) -> bytes:
        """
        Read the file, if it is one of ours: no link, no device, nobody else's.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self._file, flags)
        with os.fdopen(descriptor, "rb") as stream:
            facts = os.fstat(descriptor)
            private = facts.st_uid == os.geteuid() and not facts.st_mode & 0o022
            if not stat.S_ISREG(facts.st_mode) or not private:
                raise Doubt("it must be a file that only this user can write")
            return stream.read(LARGEST + 1)

    def _move_aside(self, why: str) -> Memory:
        """
        Keep what cannot be trusted for people, the last one of it, and begin anew.

        Raises:
            JournalError: That cannot be.
        """
        try:
            self._file.replace(self._directory / _ASIDE)
        except OSError as error:
            raise JournalError(
                f"{self._file} cannot be trusted ({why}), nor moved to {_ASIDE}: "
                f"{error.strerror}"
            ) from error
        memory = Memory(lost=why)
        self.save(memory)
        return memory


def _encoded(memory: Memory, node: str) -> bytes:
    """
    Make the file's content: format, node, checksum, body.
    """
    body = json.dumps(to_object(memory), sort_keys=True)
    document = {
        "format": FORMAT,
        "node": node,
        "sha256": sha256(body.encode()).hexdigest(),
        "body": body,
    }
    return json.dumps(document).encode()


def _decoded(raw: bytes, node: str) -> Memory:
    """
    Read the file's content; any doubt is an error.
    """
    if len(raw) > LARGEST:
        raise Doubt(f"it has more than {LARGEST} bytes")
    document: dict[str, Any] = json.loads(raw)
    if document["format"] > FORMAT:
        raise Newer(f"its format is {document['format']}, this agent knows {FORMAT}")
    if sha256(document["body"].encode()).hexdigest() != document["sha256"]:
        raise Doubt("its checksum does not fit")
    if document["node"] != node:
        return Memory()
    body = json.loads(document["body"])
    if "accepted" in body:
        # The bounds of the settings, which the annotations do not carry.
        node_from_object({"spec": body["accepted"]["spec"]})
    problems: list[Problem] = []
    memory: Memory = decode(Memory, body, "journal", problems, strict=False)
    if problems:
        raise InvalidObject(tuple(problems))
    return memory
