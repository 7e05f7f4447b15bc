"""What a kernel is found to be, on every captured tree and on broken ones."""

import errno
import re
from pathlib import Path

import pytest

from conntrack_agent.errors import KernelError
from conntrack_agent.fake_kernel import BOOT_ID, FakeKernel
from conntrack_agent.kernel import LinuxKernel
from conntrack_agent.observations import (
    BUCKETS,
    COUNT,
    HASHSIZE,
    INITIAL_NAMESPACE_ONLY,
    LIMIT,
    file_of,
)
from conntrack_agent.observe import observe
from conntrack_agent.testing import ESTABLISHED, tree
from conntrack_api.node import BucketsPath
from conntrack_api.settings import SETTINGS

FIXTURES = Path(__file__).parent / "fixtures"
TREES = sorted(each.name for each in FIXTURES.iterdir() if each.is_dir())
CURRENT = [each for each in TREES if each.startswith("linux-")]
TIMEOUT = f"proc/sys/net/netfilter/{ESTABLISHED}"


@pytest.mark.parametrize("name", TREES)
def test_every_setting_of_a_tree_is_found(name: str, tmp_path: Path) -> None:
    """Exactly the files that are there become values, none is made up."""
    root = tree(FIXTURES / name, tmp_path / "host")
    expected = {
        setting.name: int((root / "proc/sys/net" / file).read_text())
        for setting in SETTINGS
        for file in (setting.file, setting.legacy_file)
        if (root / "proc/sys/net" / file).exists()
    }

    seen = observe(LinuxKernel(root))

    assert expected == seen.values
    assert {} == seen.unreadable


@pytest.mark.parametrize("name", CURRENT)
def test_a_captured_host_is_described(name: str, tmp_path: Path) -> None:
    """Release, boot, cores, memory and entries are read from every kernel family."""
    root = tree(FIXTURES / name, tmp_path / "host")
    meminfo = (root / "proc/meminfo").read_text()
    total = re.search(r"MemTotal:\s+(\d+) kB", meminfo)
    assert total is not None

    seen = observe(LinuxKernel(root))

    assert name.removeprefix("linux-") in seen.host.kernel
    assert (root / BOOT_ID).read_text().strip() == seen.host.boot_id
    assert seen.host.cores in {1, 2, 4, 8}
    assert int(total[1]) * 1024 == seen.host.memory_bytes
    assert 0 < seen.available_bytes <= seen.host.memory_bytes
    assert int((root / COUNT).read_text()) == seen.entries
    assert seen.initial_namespace


@pytest.mark.parametrize("name", CURRENT)
def test_the_way_to_the_buckets_is_found_by_trying(name: str, tmp_path: Path) -> None:
    """4.4 takes buckets through the module only, everything since through a sysctl."""
    expected = (
        BucketsPath.MODULE_PARAMETER if name == "linux-4.4" else BucketsPath.SYSCTL
    )

    seen = observe(LinuxKernel(tree(FIXTURES / name, tmp_path / "host")))

    assert expected == seen.buckets_path


def test_names_of_old_are_known(tmp_path: Path) -> None:
    """A kernel with ``ip_conntrack`` names has our settings below other paths."""
    root = tree(FIXTURES / "ip_conntrack-2.6", tmp_path / "host")

    seen = observe(LinuxKernel(root))

    assert 3 == seen.entries
    assert "2.6.18" == seen.host.kernel
    assert seen.legacy
    assert seen.initial_namespace, "there were no others"
    assert BucketsPath.MODULE_PARAMETER == seen.buckets_path
    assert seen.available_bytes > 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ()),
        ({COUNT: None}, ("NoModule",)),
        ({LIMIT: "0\n"}, ("Unlimited",)),
        ({BUCKETS: None}, ("NoSysctlBuckets",)),
        ({INITIAL_NAMESPACE_ONLY: None}, ("NotInitialNamespace",)),
    ],
)
def test_what_is_unlike_a_usual_host_has_a_word(
    change: dict[str, str | None], expected: tuple[str, ...]
) -> None:
    """Short words, so that a fleet can be sorted by them."""
    kernel = FakeKernel()
    for file, text in change.items():
        if text is None:
            del kernel.files[file]
        else:
            kernel.files[file] = text

    assert expected == observe(kernel).capabilities


def test_not_loaded_is_no_error(tmp_path: Path) -> None:
    """An empty host is a host on which nothing is tracked."""
    seen = observe(LinuxKernel(tmp_path))

    assert seen.entries is None
    assert {} == seen.values
    assert not seen.initial_namespace
    assert BucketsPath.NONE == seen.buckets_path
    assert ("", "", 0, 0) == (
        seen.host.kernel,
        seen.host.boot_id,
        seen.host.cores,
        seen.host.memory_bytes,
    )


def test_another_namespace_is_recognised() -> None:
    """Without ``net/nf_conntrack_max`` size and buckets are not ours to change."""
    kernel = FakeKernel(limit=262144, buckets=65536)
    del kernel.files[INITIAL_NAMESPACE_ONLY]
    kernel.read_only |= {LIMIT, BUCKETS}

    seen = observe(kernel)

    assert not seen.initial_namespace
    assert BucketsPath.NONE == seen.buckets_path
    assert 262144 == seen.values["nf_conntrack_max"]
    assert 65536 == seen.values["nf_conntrack_buckets"]


def test_the_module_parameter_is_believed_where_it_is_written() -> None:
    """Between 4.8 and 5.10 the sysctl may show a number from before the change."""
    kernel = FakeKernel()
    kernel.read_only.add(BUCKETS)
    kernel.files[BUCKETS] = "512\n"
    kernel.files[HASHSIZE] = "131072\n"

    seen = observe(kernel)

    assert BucketsPath.MODULE_PARAMETER == seen.buckets_path
    assert 131072 == seen.values["nf_conntrack_buckets"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "1 2\n",
        "0x10\n",
        "1_000\n",
        "\uff11\n",
        "12abc",
        "9" * 40,
        "1.5",
        "+5",
    ],
)
def test_what_holds_no_number_is_unreadable(text: str) -> None:
    """A file with anything but one decimal number is named, and hides no other."""
    kernel = FakeKernel()
    kernel.files[TIMEOUT] = text

    seen = observe(kernel)

    assert [ESTABLISHED] == list(seen.unreadable)
    assert ESTABLISHED not in seen.values
    assert len(SETTINGS) - 1 == len(seen.values)


@pytest.mark.parametrize(
    ("text", "expected"), [("-1\n", -1), ("\t600 \n", 600), ("0", 0), ("007", 7)]
)
def test_odd_numbers_are_numbers(text: str, expected: int) -> None:
    """Signs, blanks and a missing end of line are what kernels may show."""
    kernel = FakeKernel()
    kernel.files[TIMEOUT] = text

    assert expected == observe(kernel).values[ESTABLISHED]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ENODEV])
def test_one_unreadable_setting_hides_no_other(number: int) -> None:
    """An error on one file is told by name; the rest is observed."""
    kernel = FakeKernel()
    kernel.read_errors[TIMEOUT] = number

    seen = observe(kernel)

    assert [ESTABLISHED] == list(seen.unreadable)
    assert errno.errorcode[number] in seen.unreadable[ESTABLISHED]
    assert 65536 == seen.values["nf_conntrack_max"]


@pytest.mark.parametrize("file", [COUNT, INITIAL_NAMESPACE_ONLY])
def test_what_everything_hangs_on_must_be_readable(file: str) -> None:
    """Where it cannot be told whether anything is tracked, nothing is claimed."""
    kernel = FakeKernel()
    kernel.read_errors[file] = errno.EIO

    with pytest.raises(KernelError, match="EIO"):
        observe(kernel)


def test_a_count_that_is_no_number_is_not_taken_for_not_loaded() -> None:
    """Garbage in the counter is an error, not absence."""
    kernel = FakeKernel()
    kernel.files[COUNT] = "many\n"

    with pytest.raises(KernelError, match="holds no number, found 'many"):
        observe(kernel)


@pytest.mark.parametrize(
    "text",
    ["", "MemTotal\n", "MemTotal:\nMemAvailable:\n", "MemTotal: x kB", "\ufffd\x00"],
)
def test_broken_meminfo_is_no_memory(text: str) -> None:
    """What cannot be parsed counts as 0, which allows no growth."""
    kernel = FakeKernel()
    kernel.files["proc/meminfo"] = text

    seen = observe(kernel)

    assert (0, 0) == (seen.host.memory_bytes, seen.available_bytes)


@pytest.mark.parametrize(
    "file", ["proc/meminfo", "proc/stat", BOOT_ID, "proc/sys/kernel/osrelease"]
)
def test_what_we_can_do_without_may_fail(file: str) -> None:
    """Facts that cannot be read are empty; the settings are observed all the same."""
    kernel = FakeKernel()
    kernel.read_errors[file] = errno.EIO

    assert len(SETTINGS) == len(observe(kernel).values)


@pytest.mark.parametrize(
    ("entries", "limit", "expected"),
    [(0, 1000, 0), (999, 1000, 99), (1000, 1000, 100), (1500, 1000, 150), (5, 0, 0)],
)
def test_fill_is_rounded_down(entries: int, limit: int, expected: int) -> None:
    """Only a full table is 100 %; without a limit there is no fill."""
    seen = observe(FakeKernel(entries=entries, limit=limit))

    assert expected == seen.used_percent


def test_files_that_carry_writes() -> None:
    """Only the buckets have two ways; every other setting is its own file."""
    buckets = "nf_conntrack_buckets"

    assert BUCKETS == file_of(buckets, BucketsPath.SYSCTL)
    assert HASHSIZE == file_of(buckets, BucketsPath.MODULE_PARAMETER)
    assert LIMIT == file_of("nf_conntrack_max", BucketsPath.MODULE_PARAMETER)
    assert TIMEOUT == file_of(ESTABLISHED, BucketsPath.NONE)


def test_files_that_carry_writes_under_the_old_names() -> None:
    """The same settings, elsewhere; the module has another name, too."""
    buckets, folder = "nf_conntrack_buckets", "proc/sys/net/ipv4/netfilter"
    timeout = ESTABLISHED.replace("nf_", "ip_")

    found = file_of(buckets, BucketsPath.MODULE_PARAMETER, legacy=True)
    assert "sys/module/ip_conntrack/parameters/hashsize" == found
    assert f"{folder}/{timeout}" == file_of(
        ESTABLISHED, BucketsPath.MODULE_PARAMETER, legacy=True
    )
