"""Files that are kept open: what is read is what is, also after they went and came."""

import ctypes
import os
from pathlib import Path
from threading import Thread

import pytest
from pyroute2 import IPRoute

from conntrack_agent.kept import KeptFiles

CLONE_NEWNET = 0x40000000
SWITCH = "/proc/sys/net/ipv4/conf/probe0/tag"


def opened() -> int:
    """Count the open descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_file_of_the_kernel_is_opened_once_and_read_anew() -> None:
    """The descriptor stays, and what is read through it is never an old text."""
    files = KeptFiles()
    first = files.read("/proc/self/status")
    before = opened()

    texts = {files.read("/proc/uptime") for _ in range(3)}
    counts = [files.read("/proc/self/stat") for _ in range(3)]

    assert before + 2 == opened()
    assert len(first) > 512, "longer than one block is whole"
    assert first.endswith(b"\n")
    assert all(each.startswith(f"{os.getpid()} ".encode()) for each in counts)
    assert texts


def test_descriptors_go_with_their_owner() -> None:
    """Nothing stays open behind an agent that is gone."""
    before = opened()
    files = KeptFiles()
    files.read("/proc/uptime")
    assert before + 1 == opened()

    del files

    assert before == opened()


def test_a_file_on_a_disk_is_looked_up_each_time(tmp_path: Path) -> None:
    """A captured tree, or a file put in place of another one, is read as it is now."""
    files = KeptFiles()
    file = tmp_path / "limit"
    file.write_text("1\n")
    assert b"1\n" == files.read(str(file))
    before = opened()

    beside = tmp_path / "new"
    beside.write_text("2\n" * 5000)
    beside.replace(file)

    assert b"2\n" * 5000 == files.read(str(file))
    assert before == opened()
    file.unlink()
    with pytest.raises(FileNotFoundError):
        files.read(str(file))


@pytest.mark.root
def test_a_sysctl_that_went_and_came_back_is_opened_again() -> None:
    """
    What reloading the module does to conntrack's files, a network device does to its.

    In a thread, since Linux gives namespaces to threads.
    """
    if os.geteuid() != 0:
        pytest.skip("needs uid 0 to make a namespace")
    seen: list[bytes | str] = []

    def play() -> None:
        ctypes.CDLL(None).unshare(CLONE_NEWNET)
        files = KeptFiles()
        with IPRoute() as links:
            for _ in range(2):
                links.link("add", ifname="probe0", kind="veth", peer="probe1")
                seen.append(files.read(SWITCH))
                Path(SWITCH).write_text("1")
                seen.append(files.read(SWITCH))
                (index,) = links.link_lookup(ifname="probe0")
                links.link("del", index=index)
                try:
                    files.read(SWITCH)
                except FileNotFoundError:
                    seen.append("gone")
            links.link("add", ifname="probe0", kind="veth", peer="probe1")
            files.read(SWITCH)
            (index,) = links.link_lookup(ifname="probe0")
            links.link("del", index=index)
            links.link("add", ifname="probe0", kind="veth", peer="probe1")
            seen.append(files.read(SWITCH))

    thread = Thread(target=play)
    thread.start()
    thread.join()

    assert [*[b"0\n", b"1\n", "gone"] * 2, b"0\n"] == seen
