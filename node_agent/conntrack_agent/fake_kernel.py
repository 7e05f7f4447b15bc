"""
A kernel in memory, and a record of what was done to it.

Passes the same tests as the real one. It is told what goes wrong.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from conntrack_agent.kernel import no_write_bit, translated
from conntrack_agent.observations import (
    BUCKETS,
    COUNT,
    HASHSIZE,
    INITIAL_NAMESPACE_ONLY,
    LIMIT,
)
from conntrack_api.settings import FLAGS, MAX_ENTRIES, TIMEOUTS, rounded_buckets

BOOT_ID: Final = "proc/sys/kernel/random/boot_id"
_SIZES: Final = (LIMIT, BUCKETS, HASHSIZE)


class Killed(BaseException):
    """The process was killed at this very point."""


@dataclass(slots=True)
class Effects:
    """What was done to the world, in order, over several lives of the agent."""

    done: list[str] = field(default_factory=list)
    kill_before: int | None = None
    """Number of the effect, from 1 on, that does not happen any more."""

    def happen(self, what: str) -> None:
        """
        Note an effect that is about to happen, or be killed.
        """
        if self.kill_before is not None and len(self.done) + 1 >= self.kill_before:
            raise Killed
        self.done.append(what)


class FakeKernel:
    """A kernel of this decade in memory; may be told to misbehave."""

    after_write: Callable[[str], None]
    """Another program, which notices a write at once."""

    def __init__(
        self,
        *,
        limit: int = 65536,
        buckets: int = 65536,
        entries: int = 100,
        available_mib: int = 4096,
        page_bytes: int = 4096,
    ) -> None:
        """
        Boot.

        Args:
            limit: ``nf_conntrack_max``.
            buckets: ``nf_conntrack_buckets``.
            entries: Flows tracked.
            available_mib: Memory that can be had without swapping.
            page_bytes: What the kernel rounds buckets to.
        """
        folder = "proc/sys/net/netfilter"
        memory = f"MemTotal: 8388608 kB\nMemAvailable: {available_mib << 10} kB\n"
        self.files: dict[str, str] = {
            **{f"{folder}/{each.name}": "600\n" for each in TIMEOUTS},
            **{f"{folder}/{each.name}": "0\n" for each in FLAGS},
            LIMIT: f"{limit}\n",
            INITIAL_NAMESPACE_ONLY: f"{limit}\n",
            BUCKETS: f"{buckets}\n",
            HASHSIZE: f"{buckets}\n",
            COUNT: f"{entries}\n",
            BOOT_ID: "first-boot\n",
            "proc/meminfo": memory,
            "proc/stat": "cpu 1 2\ncpu0 1 2\ncpu1 1 2\n",
            "proc/sys/kernel/osrelease": "6.12.0-fake\n",
        }
        self._module = {
            file: text
            for file, text in self.files.items()
            if file.startswith("proc/sys/net/") or file == HASHSIZE
        }
        self._lost = 0
        self.read_only = {COUNT, BOOT_ID}
        self.read_errors: dict[str, int] = {}
        self.write_errors: dict[str, int] = {}
        """File to ``errno``."""
        self.tried: list[str] = []
        """Every file that somebody tried to write, in order."""
        self.effects = Effects()
        self.after_write = lambda _file: None
        self._page_bytes = page_bytes

    @property
    def writes(self) -> list[str]:
        """
        Every write that reached a file, as ``name=value``.
        """
        return [each for each in self.effects.done if "=" in each]

    def value(self, file: str) -> int:
        """
        Look behind the scenes.
        """
        return int(self.files[file])

    def poke(self, file: str, value: int) -> None:
        """
        Be another program that writes: no record, no error.
        """
        twins = {LIMIT: INITIAL_NAMESPACE_ONLY, BUCKETS: HASHSIZE, HASHSIZE: BUCKETS}
        for each in (file, twins.get(file, file)):
            if each in self.files:
                self.files[each] = f"{value}\n"

    def unload(self) -> None:
        """
        Unload the module: its files are gone.
        """
        self.files = {k: v for k, v in self.files.items() if k not in self._module}
        self._lost += 1

    def load(self) -> None:
        """
        Load the module: its values are those of the boot.
        """
        self.files |= self._module

    def read(self, file: str) -> str | None:
        """
        Read a whole file; ``None`` when there is none.
        """
        if number := self.read_errors.get(file):
            raise translated(file, OSError(number, os.strerror(number)))
        return self.files.get(file)

    def write(self, file: str, value: int) -> None:
        """
        Write one number, as Linux takes it.
        """
        self.tried.append(file)
        number = self.write_errors.get(file)
        if file not in self.files:
            number = errno.ENOENT
        elif file in self.read_only:
            raise translated(file, no_write_bit())
        elif file in (BUCKETS, HASHSIZE) and INITIAL_NAMESPACE_ONLY not in self.files:
            number = errno.EOPNOTSUPP
        elif not (1 if file in _SIZES else -1) <= value <= MAX_ENTRIES:
            number = errno.EINVAL
        if number:
            raise translated(file, OSError(number, os.strerror(number)))
        self.effects.happen(f"{file.rpartition('/')[2]}={value}")
        if file in (BUCKETS, HASHSIZE):
            value = rounded_buckets(value, self._page_bytes)
        self.poke(file, value)
        self.after_write(file)

    def writable(self, file: str) -> bool:
        """
        Tell whether a file can be opened for writing.
        """
        return file in self.files and file not in self.read_only

    def lost_files(self) -> int:
        """
        Count how often the module was unloaded.
        """
        return self._lost

    def page_bytes(self) -> int:
        """
        Give the page size.
        """
        return self._page_bytes
