"""
What the agent knows, and whether the disk knows it too.

Stands between `agent` and the journal, so that the order of work does not have to
care what a failing disk means: nothing is written while there is a complaint.
"""

import logging
from typing import Protocol

from conntrack_agent.errors import JournalError
from conntrack_agent.memory import Memory

log = logging.getLogger("conntrack_agent")


class Journal(Protocol):
    """What the notes want of a journal."""

    def load(self) -> Memory:
        """
        Read what is known; `JournalError` when it cannot be read.
        """

    def save(self, memory: Memory) -> None:
        """
        Put a memory on disk; `JournalError` when it may not be there.
        """


class Notes:
    """The memory of one agent."""

    def __init__(self, journal: Journal) -> None:
        """
        Read the journal; one that cannot be read leaves nothing but a complaint.

        Args:
            journal: What outlives the process.
        """
        self._journal = journal
        self._read = False
        self.memory = Memory()
        """What is known now, on disk or not."""
        self.complaint = ""
        """Why the journal cannot be used; empty when it can."""
        self.retry()

    def save(self, memory: Memory) -> bool:
        """
        Know something else from now on.

        Returns:
            Whether it is on disk. Without that, nothing may be written to the kernel.
        """
        self.memory = memory
        if self._read:
            self._attempt()
        return not self.complaint

    def retry(self) -> None:
        """
        Try again what failed: to read the journal, or to write it.

        A journal that could not be read, and then can, is taken as it is; only a
        newer wish that came meanwhile stays.
        """
        if self._read and not self.complaint:
            return
        if not self._read:
            try:
                found = self._journal.load()
            except JournalError as error:
                self._complain(str(error))
                return
            self._read = True
            self.complaint = ""
            if found.lost:
                log.warning("journal was moved aside", extra={"error": found.lost})
            wish = self.memory.accepted
            known = found.accepted
            if wish is None or wish == known or (known and known.outranks(wish)):
                self.memory = found
                return
            self.memory = found.accepting(wish)
        self._attempt()

    def _attempt(self) -> None:
        """
        Put what is known on disk.
        """
        try:
            self._journal.save(self.memory)
        except JournalError as error:
            self._complain(str(error))
        else:
            self.complaint = ""

    def _complain(self, text: str) -> None:
        """
        Say what is wrong once, not at every try.
        """
        if text != self.complaint:
            log.error("journal unavailable", extra={"error": text})
        self.complaint = text
