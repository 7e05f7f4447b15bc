"""What several tests of the agent share: kernels, fake and real."""

import ctypes
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from conntrack_agent import nfnetlink
from conntrack_agent.enforce import Kernel
from conntrack_agent.entries import EntryTable
from conntrack_agent.fake_kernel import FakeKernel
from conntrack_agent.kernel import LinuxKernel
from conntrack_agent.observations import BUCKETS, COUNT, INITIAL_NAMESPACE_ONLY
from conntrack_agent.seeding import Flows
from conntrack_agent.testing import tree

FIXTURES = Path(__file__).parent / "fixtures"
CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
PR_SET_NO_NEW_PRIVS = 38
LANDLOCK_CREATE, LANDLOCK_RESTRICT, LANDLOCK_WRITE_FILE = 444, 446, 1 << 1
Made = TypeVar("Made")
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18


class ElsewhereKernel:
    """The real kernel, seen by a thread in namespaces of its own."""

    def __init__(self, prepare: Callable[[], None]) -> None:
        """Start the thread; Linux gives namespaces to threads, not to processes."""
        self._thread = ThreadPoolExecutor(1)
        # /proc/net is that of the process, whose first thread is not elsewhere.
        self._kernel = LinuxKernel(mounts={"proc/net": Path("/proc/thread-self/net")})
        self._thread.submit(prepare).result()

    def read(self, file: str) -> str | None:
        """Read a whole file."""
        return self._thread.submit(self._kernel.read, file).result()

    def write(self, file: str, value: int) -> None:
        """Write one number."""
        self._thread.submit(self._kernel.write, file, value).result()

    def writable(self, file: str) -> bool:
        """Tell whether a file can be opened for writing."""
        return self._thread.submit(self._kernel.writable, file).result()

    def lost_files(self) -> int:
        """Count the files that went away."""
        return self._thread.submit(self._kernel.lost_files).result()

    def page_bytes(self) -> int:
        """Give the page size."""
        return self._kernel.page_bytes()

    def run(self, work: Callable[[], Made]) -> Made:
        """Do something in there; what it opens stays there, whoever uses it."""
        return self._thread.submit(work).result()

    def stop(self) -> None:
        """End the thread, and the namespaces with it."""
        self._thread.shutdown()


def call(name: str, *arguments: object) -> None:
    """Make one system call through libc."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def own_network() -> None:
    """Put this thread into a network namespace of its own."""
    call("unshare", CLONE_NEWNET)


def read_only_buckets() -> None:
    """Put this thread into a mount namespace in which the buckets are read-only."""
    buckets = f"/{BUCKETS}".encode()
    call("unshare", CLONE_NEWNS)
    call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    call("mount", buckets, buckets, None, MS_BIND, None)
    call("mount", buckets, buckets, None, MS_REMOUNT | MS_BIND | MS_RDONLY, None)


def guarded() -> None:
    """Let Landlock, a security module, refuse this thread every write to a file."""
    own_network()
    writing = ctypes.c_uint64(LANDLOCK_WRITE_FILE)
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    rules = libc.syscall(LANDLOCK_CREATE, ctypes.byref(writing), 8, 0)
    if rules < 0:
        raise OSError(ctypes.get_errno(), "Landlock is off")
    try:
        call("syscall", LANDLOCK_RESTRICT, rules, 0)
    finally:
        os.close(rules)


def elsewhere(prepare: Callable[[], None]) -> Iterator[ElsewhereKernel]:
    """Make a kernel seen from elsewhere, or skip with the reason."""
    if os.geteuid() != 0:
        pytest.skip("needs uid 0 to make namespaces")
    if not Path(f"/{COUNT}").exists():
        pytest.skip("connection tracking is not loaded on this machine")
    try:
        kernel = ElsewhereKernel(prepare)
    except OSError as error:
        pytest.skip(f"namespaces cannot be made here: {error}")
    yield kernel
    kernel.stop()


@pytest.fixture
def namespace_kernel() -> Iterator[ElsewhereKernel]:
    """The real kernel in a network namespace of its own."""
    yield from elsewhere(own_network)


@pytest.fixture
def guarded_kernel() -> Iterator[ElsewhereKernel]:
    """The same, where a security module refuses every write."""
    yield from elsewhere(guarded)


@pytest.fixture
def flows(namespace_kernel: ElsewhereKernel) -> Iterator[Flows]:
    """Make entries in the namespace of `namespace_kernel`."""
    made = Flows(lambda: namespace_kernel.run(nfnetlink.connect))
    yield made
    made.close()


@pytest.fixture
def entries(namespace_kernel: ElsewhereKernel) -> Iterator[EntryTable]:
    """Read and cut the entries in the namespace of `namespace_kernel`."""
    table = EntryTable(lambda: namespace_kernel.run(nfnetlink.connect))
    yield table
    table.close()


@pytest.fixture
def read_only_kernel() -> Iterator[ElsewhereKernel]:
    """The real kernel in the first network namespace, buckets mounted read-only."""
    if not Path(f"/{INITIAL_NAMESPACE_ONLY}").exists():
        pytest.skip("these tests run in a network namespace of their own")
    yield from elsewhere(read_only_buckets)


@pytest.fixture(
    params=["fake", "linux-6.12", pytest.param("real", marks=pytest.mark.root)]
)
def kernel(request: pytest.FixtureRequest, tmp_path: Path) -> Kernel:
    """A kernel that behaves: in memory, on a captured tree, and the real one."""
    if request.param == "fake":
        return FakeKernel()
    if request.param == "real":
        real: ElsewhereKernel = request.getfixturevalue("namespace_kernel")
        return real
    return LinuxKernel(tree(FIXTURES / request.param, tmp_path / "host"))
