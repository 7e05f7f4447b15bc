"""What the configuration files of a host set, as far as it can be known."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conntrack_agent import host_files
from conntrack_agent.configured import configured
from conntrack_agent.errors import HostFileError
from conntrack_agent.host_files import HostFiles

MAX, HASH = "nf_conntrack_max", "nf_conntrack_buckets"
ESTABLISHED = "nf_conntrack_tcp_timeout_established"
SYSCTL, TUNED = "etc/sysctl.d/50.conf", "etc/tuned/mine/tuned.conf"
ACTIVE = "etc/tuned/active_profile"


def host(root: Path, files: Mapping[str, str]) -> HostFiles:
    """Make a host with some configuration."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return HostFiles(root)


def found(root: Path, files: Mapping[str, str]) -> list[str]:
    """Say what counts, in one line each."""
    return [
        f"{each.setting}={each.value} {each.file}:{each.line}"
        for each in configured(host(root, files))
    ]


def test_a_host_without_files_has_nothing_to_say(tmp_path: Path) -> None:
    """No folder, no file, no error."""
    assert [] == found(tmp_path, {})


@pytest.mark.parametrize(
    "line",
    [
        "net.netfilter.nf_conntrack_max=131072",
        "net/netfilter/nf_conntrack_max = 131072",
        "-net.netfilter.nf_conntrack_max = 131072",
        "  net.nf_conntrack_max\t=\t131072  ",
        "net.netfilter.nf_conntrack_max = 0x20000",
        "net.netfilter.nf_conntrack_max = 0400000",
        "net.ipv4.netfilter.ip_conntrack_max = 131072",
        "net.ipv4.ip_conntrack_max = 131072",
    ],
)
def test_every_spelling_of_a_line_is_understood(tmp_path: Path, line: str) -> None:
    """Dots or slashes, with or without a dash, old names, and C numbers."""
    text = f"# comment\n\n{line}\n"

    assert [f"{MAX}=131072 /{SYSCTL}:3"] == found(tmp_path, {SYSCTL: text})


@pytest.mark.parametrize(
    "line",
    [
        "# net.netfilter.nf_conntrack_max = 1",
        "; net.netfilter.nf_conntrack_max = 1",
        "net.netfilter.nf_conntrack_max",
        "-net.netfilter.nf_conntrack_max",
        "net.netfilter.nf_conntrack_max = ${limit}",
        "net.netfilter.nf_conntrack_max = 1 2",
        "net.netfilter.nf_conntrack_max = 08",
        "net.netfilter.nf_conntrack_max = 9999999999999999999",
        "net.netfilter.nf_conntrack_max = 1_000",
        "net.netfilter.* = 1",
        "net.core.somaxconn = 1",
        "=",
        "\x00\x01=\x02",
    ],
)
def test_what_sets_no_number_of_ours_names_nobody(tmp_path: Path, line: str) -> None:
    """Comments, other settings, patterns, variables, and noise."""
    assert [] == found(tmp_path, {SYSCTL: f"{line}\n"})


def test_the_last_assignment_counts(tmp_path: Path) -> None:
    """Within a file, and over files in the order of their names."""
    files = {
        "usr/lib/sysctl.d/90.conf": f"net.netfilter.{MAX}=3\n",
        SYSCTL: f"net.netfilter.{MAX}=1\nnet.netfilter.{MAX}=2\n",
        "etc/sysctl.d/99.conf.dpkg-old": f"net.netfilter.{MAX}=4\n",
    }

    assert [f"{MAX}=3 /usr/lib/sysctl.d/90.conf:1"] == found(tmp_path, files)


def test_an_assignment_that_is_not_understood_still_overrides(tmp_path: Path) -> None:
    """What came before it is not in force any more."""
    files = {SYSCTL: f"net.netfilter.{MAX}=1\nnet.netfilter.{MAX}=$x\n"}

    assert [] == found(tmp_path, files)


def test_a_file_masks_those_of_its_name(tmp_path: Path) -> None:
    """/etc before /run before /usr, also when it is empty or a link to nothing."""
    line = f"net.netfilter.{MAX}=1\n"
    files = {f"{place}/sysctl.d/50.conf": line for place in ("usr/lib", "lib", "run")}
    assert [f"{MAX}=1 /run/sysctl.d/50.conf:1"] == found(tmp_path, files)

    (tmp_path / "etc/sysctl.d").mkdir(parents=True)
    (tmp_path / SYSCTL).symlink_to("/dev/null")
    assert [] == found(tmp_path, {})

    (tmp_path / SYSCTL).unlink()
    (tmp_path / SYSCTL).symlink_to("/nowhere")
    assert [] == found(tmp_path, {})


def test_sysctl_conf_stands_for_itself(tmp_path: Path) -> None:
    """Some programs read it and others do not, so both may be in force."""
    files = {
        SYSCTL: f"net.netfilter.{MAX}=1\n",
        "etc/sysctl.conf": f"net.netfilter.{MAX}=2\n",
    }

    assert [
        f"{MAX}=1 /{SYSCTL}:1",
        f"{MAX}=2 /etc/sysctl.conf:1",
    ] == found(tmp_path, files)


def test_the_active_profile_counts_over_what_it_includes(tmp_path: Path) -> None:
    """The first folder that has a profile; sections; quotes and comments; hashsize."""
    files = {
        ACTIVE: "mine\n",
        TUNED: "[main]\ninclude = base, -other\n[net]\nnf_conntrack_hashsize=4096\n"
        f'[sysctl]\nnet.netfilter.{MAX} = "7" # why\n[vm]\nnet.netfilter.{MAX}=8\n',
        "usr/lib/tuned/mine/tuned.conf": f"[sysctl]\nnet.netfilter.{MAX}=1\n",
        "usr/lib/tuned/base/tuned.conf": f"[sysctl]\nnet.netfilter.{MAX}=2\n"
        f"net.netfilter.{ESTABLISHED}=60\n",
        "etc/tuned/profiles/other/tuned.conf": "[cpu]\ngovernor=fast\n",
    }

    assert {
        f"{ESTABLISHED}=60 /usr/lib/tuned/base/tuned.conf:3",
        f"{HASH}=4096 /{TUNED}:4",
        f"{MAX}=7 /{TUNED}:6",
    } == set(found(tmp_path, files))


@pytest.mark.parametrize(
    "include",
    ["mine", "${f:virt_check:a:b}", "../../../etc", "not-there", "", "a" * 101],
)
def test_a_profile_that_cannot_be_resolved_names_nobody(
    tmp_path: Path, include: str
) -> None:
    """Circles, variables, paths: what would override the rest is not known."""
    text = f"[sysctl]\nnet.netfilter.{MAX}=7\n[main]\ninclude={include}\n"

    assert [] == found(tmp_path, {ACTIVE: "mine", TUNED: text})


def test_many_profiles_have_an_end(tmp_path: Path) -> None:
    """A thousand profiles that include each other are not read."""
    files = {
        f"etc/tuned/p{number}/tuned.conf": f"[main]\ninclude=p{number + 1}\n"
        for number in range(1000)
    }

    assert [] == found(tmp_path, {ACTIVE: "p0", **files})


def test_the_parameter_of_the_module_is_found(tmp_path: Path) -> None:
    """The last one counts; a line may go on, and is named by where it begins."""
    text = (
        "options other \\\n  x=1\noptions nf_conntrack hashsize=1 \\\n hashsize=512\n"
    )
    file = "etc/modprobe.d/ct.conf"

    assert [f"{HASH}=512 /{file}:3"] == found(tmp_path, {file: text})


def test_a_link_is_followed_below_the_root(tmp_path: Path) -> None:
    """As the host would, with `..` and with an absolute target."""
    files = {"etc/sysctl.conf": f"net.netfilter.{MAX}=2\n", "etc/sysctl.d/a.conf": ""}
    found(tmp_path, files)
    for name, target in {"b": "../sysctl.conf", "c": "/etc/sysctl.conf"}.items():
        link = tmp_path / f"etc/sysctl.d/{name}.conf"
        link.symlink_to(target)
        assert f"{MAX}=2 /etc/sysctl.d/{name}.conf:1" in found(tmp_path, {})
        link.unlink()


def test_a_link_out_of_the_root_is_not_followed(tmp_path: Path) -> None:
    """Neither by the file nor by its folder: what is there is not the host's."""
    (tmp_path / "secret.conf").write_text(f"net.netfilter.{MAX}=2\n")
    root = tmp_path / "root"
    (root / "etc/sysctl.d").mkdir(parents=True)
    (root / SYSCTL).symlink_to("../../../secret.conf")
    (root / "run").mkdir()
    (root / "run/sysctl.d").symlink_to(tmp_path)

    assert [] == found(root, {})
    with pytest.raises(HostFileError):
        HostFiles(root).read("/run/sysctl.d/secret.conf")


def circle(file: Path) -> None:
    """Make a link to itself."""
    file.symlink_to(file.name)


def pipe(file: Path) -> None:
    """Make a pipe that nobody writes to."""
    os.mkfifo(file)


def endless(file: Path) -> None:
    """Make a file that is too large, though it takes no room."""
    with file.open("wb") as stream:
        stream.truncate(1 << 40)


def folder(file: Path) -> None:
    """Make a folder of a file's name."""
    file.mkdir()


@pytest.mark.parametrize("trouble", [circle, pipe, endless, folder])
def test_what_cannot_be_read_to_its_end_hides_its_program_only(
    tmp_path: Path, trouble: object
) -> None:
    """The rest of sysctl.d may be masked by it; TuneD is another matter."""
    assert callable(trouble)
    files = {
        SYSCTL: f"net.netfilter.{MAX}=1\n",
        ACTIVE: "mine",
        TUNED: f"[sysctl]\nnet.netfilter.{MAX}=7\n",
    }
    host(tmp_path, files)
    trouble(tmp_path / "etc/sysctl.d/99.conf")

    assert f"{MAX}=1 /{SYSCTL}:1" not in found(tmp_path, {})
    if trouble is not endless:
        assert [f"{MAX}=7 /{TUNED}:2"] == found(tmp_path, {})


def test_a_folder_without_end_is_not_listed(tmp_path: Path) -> None:
    """Half a folder tells nothing."""
    names = {f"etc/sysctl.d/{n}.conf": "" for n in range(host_files.MOST_FILES)}
    host(tmp_path, names)
    assert host_files.MOST_FILES == len(HostFiles(tmp_path).names("/etc/sysctl.d"))

    host(tmp_path, {"etc/sysctl.d/more.conf": ""})
    with pytest.raises(HostFileError, match="more than"):
        HostFiles(tmp_path).names("/etc/sysctl.d")


@given(
    st.binary(max_size=300), st.sampled_from([SYSCTL, TUNED, "etc/modprobe.d/a.conf"])
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_noise_is_no_traceback(tmp_path: Path, noise: bytes, name: str) -> None:
    """Whatever the bytes are."""
    host(tmp_path, {ACTIVE: "mine"})
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(noise)

    configured(HostFiles(tmp_path))
