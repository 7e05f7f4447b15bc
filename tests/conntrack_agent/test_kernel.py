"""The kernel's edge: the real one on captured trees, and the fake, do the same."""

import errno
import os
from pathlib import Path

import pytest

from conntrack_agent.enforce import Kernel
from conntrack_agent.errors import (
    KernelError,
    OutOfMemory,
    SettingMissing,
    SettingReadOnly,
    SettingRejected,
    ValueRefused,
)
from conntrack_agent.fake_kernel import FakeKernel
from conntrack_agent.kernel import LinuxKernel, no_write_bit, translated
from conntrack_agent.observations import BUCKETS, COUNT, HASHSIZE, LIMIT
from conntrack_agent.testing import ESTABLISHED, tree

FIXTURES = Path(__file__).parent / "fixtures"
TIMEOUT = f"proc/sys/net/netfilter/{ESTABLISHED}"


def test_a_written_number_is_read_back(kernel: Kernel) -> None:
    """A setting shows what was written to it last."""
    kernel.write(TIMEOUT, 86400)
    kernel.write(TIMEOUT, 600)

    assert "600\n" == kernel.read(TIMEOUT)


def test_a_missing_file_reads_as_none(kernel: Kernel) -> None:
    """Absence is an answer, not an error."""
    assert kernel.read("proc/sys/net/netfilter/nf_conntrack_none") is None


def test_writing_a_missing_file_is_said(kernel: Kernel) -> None:
    """A write never makes a file."""
    with pytest.raises(SettingMissing, match=r"nf_conntrack_none.*ENOENT"):
        kernel.write("proc/sys/net/netfilter/nf_conntrack_none", 1)


def test_writing_a_read_only_file_is_said(kernel: Kernel) -> None:
    """Mode bits count even for root, as they do for sysctls."""
    with pytest.raises(SettingReadOnly, match=r"nf_conntrack_count: no write bit"):
        kernel.write(COUNT, 1)


@pytest.mark.parametrize(
    ("file", "expected"), [(TIMEOUT, True), (COUNT, False), ("proc/none", False)]
)
def test_writable_is_found_by_trying(
    kernel: Kernel, file: str, *, expected: bool
) -> None:
    """What may be opened for writing is writable; asking changes nothing."""
    before = kernel.read(file)

    assert expected is kernel.writable(file)
    assert before == kernel.read(file)


@pytest.mark.parametrize("value", [2**31, 2**63])
def test_a_number_that_linux_refuses(kernel: Kernel, value: int) -> None:
    """A refused write leaves the old value and names its errno."""
    if isinstance(kernel, LinuxKernel):
        pytest.skip("ordinary files take every number")
    before = kernel.read(TIMEOUT)

    with pytest.raises(SettingRejected, match=r"established.*EINVAL"):
        kernel.write(TIMEOUT, value)

    assert before == kernel.read(TIMEOUT)


def test_pages_are_those_of_the_machine(kernel: Kernel) -> None:
    """The page size is a power of two of at least 4 KiB."""
    assert kernel.page_bytes() in {4096, 16384, 65536}


def test_buckets_of_an_old_kernel_cannot_be_written(tmp_path: Path) -> None:
    """On 4.4 the sysctl says no by its mode, the module parameter says yes."""
    kernel = LinuxKernel(tree(FIXTURES / "linux-4.4", tmp_path / "host"))

    assert not kernel.writable(BUCKETS)
    assert kernel.writable(HASHSIZE)


def test_a_folder_mounted_elsewhere_is_used(tmp_path: Path) -> None:
    """The longest mount that fits carries the file, reads and writes alike."""
    root = tree(FIXTURES / "linux-6.12", tmp_path / "host")
    elsewhere = tmp_path / "elsewhere"
    (root / "proc/sys/net").rename(elsewhere)
    kernel = LinuxKernel(root, {"proc": tmp_path / "wrong", "proc/sys/net": elsewhere})

    kernel.write(TIMEOUT, 777)

    assert "777\n" == kernel.read(TIMEOUT)
    assert "777\n" == (elsewhere / f"netfilter/{ESTABLISHED}").read_text()
    assert kernel.read("proc/meminfo") is None


def test_letters_of_other_alphabets_do_no_harm(tmp_path: Path) -> None:
    """Bytes that are not ASCII are replaced, since they are no number anyway."""
    (tmp_path / "odd").write_bytes("\uff11\uff12\xff".encode())

    text = LinuxKernel(tmp_path).read("odd")

    assert text is not None
    assert not text.isdecimal()


def test_a_file_below_a_file_is_missing(tmp_path: Path) -> None:
    """ENOTDIR is absence, too."""
    (tmp_path / "file").touch()

    assert LinuxKernel(tmp_path).read("file/below") is None


def test_a_folder_instead_of_a_file_is_an_error(tmp_path: Path) -> None:
    """No ``OSError`` gets out of the edge."""
    (tmp_path / "folder").mkdir()
    kernel = LinuxKernel(tmp_path)

    with pytest.raises(KernelError, match=r"folder.*EISDIR"):
        kernel.read("folder")
    with pytest.raises(KernelError, match=r"folder.*EISDIR"):
        kernel.write("folder", 1)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOENT, SettingMissing),
        (errno.ENOTDIR, SettingMissing),
        (errno.EACCES, SettingReadOnly),
        (errno.EPERM, SettingReadOnly),
        (errno.EROFS, SettingReadOnly),
        (errno.EOPNOTSUPP, SettingReadOnly),
        (errno.EINVAL, ValueRefused),
        (errno.ENOMEM, OutOfMemory),
        (errno.ERANGE, ValueRefused),
        (errno.EIO, SettingRejected),
        (errno.ENODEV, SettingRejected),
        (None, SettingRejected),
    ],
)
def test_every_errno_has_one_name(
    number: int | None, expected: type[KernelError]
) -> None:
    """An errno becomes the error that says what to do about it, and is shown."""
    error = OSError() if number is None else OSError(number, "text")

    found = translated("a/file", error)

    assert expected is type(found)
    assert "a/file" in str(found)
    assert errno.errorcode.get(number or 0, "?") in str(found)


FORBIDDEN = "that takes uid 0, and a security module such as SELinux or AppArmor that"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EROFS, "Read-only file system (EROFS): it is mounted read-only here"),
        (errno.EACCES, f"Permission denied (EACCES): {FORBIDDEN} lets it"),
        (errno.EPERM, f"Operation not permitted (EPERM): {FORBIDDEN} lets it"),
        (errno.EIO, "Input/output error (EIO)"),
    ],
)
def test_what_a_person_can_look_at_is_said(number: int, expected: str) -> None:
    """The errno alone makes people look elsewhere."""
    error = OSError(number, os.strerror(number))

    assert f"a/file: {expected}" == str(translated("a/file", error))


def test_a_mode_without_a_write_bit_is_no_missing_right() -> None:
    """The kernel looks at the mode even for root, so no other user helps."""
    said = "a/file: no write bit in its mode (EACCES)"
    assert said == str(translated("a/file", no_write_bit()))


@pytest.mark.parametrize(
    ("file", "value"),
    [(LIMIT, 0), (LIMIT, -1), (BUCKETS, 0), (HASHSIZE, -1), (LIMIT, 2**31)],
)
def test_the_fake_refuses_what_linux_refuses(file: str, value: int) -> None:
    """A refused write leaves the old value."""
    kernel = FakeKernel()
    before = kernel.read(file)

    with pytest.raises(SettingRejected, match="EINVAL"):
        kernel.write(file, value)

    assert before == kernel.read(file)
    assert [] == kernel.writes


def test_the_fake_rounds_buckets() -> None:
    """Buckets are shown rounded up to whole pages, under both names."""
    kernel = FakeKernel(page_bytes=65536)

    kernel.write(HASHSIZE, 8193)

    assert "16384\n" == kernel.read(HASHSIZE) == kernel.read(BUCKETS)


def test_a_short_write_is_no_success(tmp_path: Path) -> None:
    """A write counts when all of its bytes were taken."""
    if not os.path.exists("/dev/full"):  # noqa: PTH110 - a device, not a file of ours
        pytest.skip("this machine has no /dev/full")
    (tmp_path / "full").symlink_to("/dev/full")

    with pytest.raises(SettingRejected, match="ENOSPC"):
        LinuxKernel(tmp_path).write("full", 1)
