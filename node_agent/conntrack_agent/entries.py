"""
The entries of this network namespace over netlink: read in parts, cut in batches.

The kernel makes a part of a dump when it is fetched, so a dump may be read as slowly as
one likes, and costs nothing meanwhile. Updates go over a socket of their own, since
answers of two kinds on one socket interleave.

Source: Linux, ``net/netfilter/nf_conntrack_netlink.c``, and
``include/uapi/linux/netfilter/nfnetlink_conntrack.h``.
"""

import errno
import socket
from collections.abc import Callable
from typing import Final

from conntrack_agent import layout, nfnetlink
from conntrack_agent.clamp import Cuts, Entry, Rule, too_long

BATCH: Final = 32
"""Most entries that are updated at once: their answers must fit a socket's buffer."""

_PART: Final = 1 << 14
"""Bytes of a dump that are fetched at once: some 70 entries."""

_SECONDS: Final = 5.0
"""Patience: a dump may walk many buckets before it finds an entry of ours."""

_VANISHED: Final = frozenset({errno.ENOENT, errno.ETIME, errno.EPERM})
"""It is gone, it is dying, or its timeout was fixed since: nothing to be cut."""


class EntryTable:
    """The table of this network namespace."""

    def __init__(
        self, connect: Callable[[], socket.socket] = nfnetlink.connect
    ) -> None:
        """
        Open nothing yet.

        Args:
            connect: Makes a socket to the kernel.
        """
        self._connect = connect
        self._dump: socket.socket | None = None
        self._updates: socket.socket | None = None
        self._ended = False
        self._sequence = 0

    def read(self, most: Rule) -> tuple[int, Cuts] | None:
        """
        Read the next part; the first call after the end begins anew.

        Args:
            most: What an entry may have.

        Returns:
            How many were read, and those that have more, each with the seconds that it
            may have; ``None`` at the end of the table.

        Raises:
            SettingReadOnly: We may not; asking again is no use.
            KernelError: There was no sensible answer; the walk is over.
        """
        if self._ended:
            self.close()
            return None
        with nfnetlink.talking(self.close):
            if self._dump is None:
                self._dump = self._opened()
                question = nfnetlink.request(
                    layout.GET, nfnetlink.DUMP, 1, socket.AF_UNSPEC
                )
                self._dump.send(question)
            return self._part(self._dump.recv(_PART), most)

    def cut(self, cuts: Cuts) -> list[tuple[bool, Entry | None]]:
        """
        Set what remains of some entries, and look at them again.

        An entry that changed or vanished since it was read is no error.

        Args:
            cuts: Entries, each with its seconds.

        Returns:
            For each, whether it was set, and the entry as it is now.

        Raises:
            KernelError: There was no sensible answer.
        """
        with nfnetlink.talking(self.close):
            if self._updates is None:
                self._updates = self._opened()
            return [
                outcome
                for at in range(0, len(cuts), BATCH)
                for outcome in self._batch(self._updates, cuts[at : at + BATCH])
            ]

    def close(self) -> None:
        """
        Give up a walk under way.
        """
        for each in (self._dump, self._updates):
            if each:
                each.close()
        self._dump = self._updates = None
        self._ended = False

    def _opened(self) -> socket.socket:
        """
        Open a socket that does not wait for ever.
        """
        opened = self._connect()
        opened.settimeout(_SECONDS)
        return opened

    def _part(self, block: bytes, most: Rule) -> tuple[int, Cuts]:
        """
        Take one block of a dump apart.
        """
        count = 0
        found: list[tuple[Entry, int]] = []
        for kind, _sequence, at, end in nfnetlink.messages(block):
            if kind in (nfnetlink.DONE, nfnetlink.ERROR):
                if number := nfnetlink.error_number(block, at):
                    raise nfnetlink.refused(number)
                self._ended = True
                break
            count += 1
            if layout.suspect(block, at, end, most):
                entry = layout.entry(block, at, end)
                if entry and (seconds := too_long(entry, most)):
                    found.append((entry, seconds))
        return count, found

    def _batch(
        self, updates: socket.socket, cuts: Cuts
    ) -> list[tuple[bool, Entry | None]]:
        """
        Send pairs of update and question in one block, then collect the answers.

        The kernel works through a block before the call returns. An update is answered
        only if it failed, a question always.
        """
        first = self._sequence + 1
        self._sequence += 2 * len(cuts)
        updates.send(b"".join(layout.updates(first, cuts)))
        done = [True] * len(cuts)
        after: dict[int, Entry | None] = {}
        while len(after) < len(cuts):
            block = updates.recv(_PART)
            for kind, sequence, at, end in nfnetlink.messages(block):
                index, asked = divmod(sequence - first, 2)
                if not 0 <= index < len(cuts):
                    continue
                if kind != nfnetlink.ERROR:
                    after[index] = layout.entry(block, at, end)
                elif (number := nfnetlink.error_number(block, at)) not in _VANISHED:
                    raise nfnetlink.refused(number)
                elif asked:
                    after[index] = None
                else:
                    done[index] = False
        return [(done[index], after[index]) for index in range(len(cuts))]
