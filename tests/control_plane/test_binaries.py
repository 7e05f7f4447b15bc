"""
Where the programs come from: given, cached, or built by a stand-in for Go.
"""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from control_plane import ControlPlaneUnavailable, Progress, find_binaries
from control_plane.binaries import cache_folder
from control_plane.recipe import choose_recipe

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")

FAKE_GO = """
case $1 in
env) echo go1.99.0;;
build)
    echo built >>"$FAKE_GO_LOG"
    echo k8s.io/some/package >&2
    sleep "${FAKE_GO_SECONDS:-0}"
    for word; do case $word in -o=*) echo program >"${word#-o=}";; esac; done;;
esac
"""


def _fill(folder: Path, programs: tuple[str, ...] = PROGRAMS) -> Path:
    folder.mkdir(parents=True)
    for program in programs:
        (folder / program).write_text("program")
    return folder


def _without_go(tmp_path: Path) -> dict[str, str]:
    return {"PATH": "/nowhere", "CONNTRACK_CACHE": str(tmp_path / "cache")}


def _quiet() -> Progress:
    return Progress(io.StringIO())


def test_given_programs_win(tmp_path: Path) -> None:
    """
    A folder in KUBEBUILDER_ASSETS is used as it is, whatever else is set.
    """
    given = _fill(tmp_path / "given")

    found = find_binaries(
        {"KUBEBUILDER_ASSETS": str(given), "CONNTRACK_KUBERNETES": "none"}
    )

    assert given == found.folder
    assert given / "kube-apiserver" == found.kube_apiserver
    assert given / "kube-controller-manager" == found.kube_controller_manager


def test_given_programs_may_lack_the_controller_manager(tmp_path: Path) -> None:
    """
    The usual archives have three programs; the fourth is then absent, not missing.
    """
    given = _fill(tmp_path / "given", ("etcd", "kube-apiserver", "kubectl"))

    assert (
        find_binaries({"KUBEBUILDER_ASSETS": str(given)}).kube_controller_manager
        is None
    )


@pytest.mark.parametrize("missing", ["etcd", "kube-apiserver", "kubectl"])
def test_a_missing_program_is_named(tmp_path: Path, missing: str) -> None:
    """
    The text names the program that is missing and the folder it should be in.
    """
    given = _fill(tmp_path / "given")
    (given / missing).unlink()

    with pytest.raises(ControlPlaneUnavailable) as caught:
        find_binaries({"KUBEBUILDER_ASSETS": str(given)})

    assert (
        f"`KUBEBUILDER_ASSETS` names {given}, and there is no {missing} in it."
    ) == str(caught.value)


def test_a_cached_build_needs_no_go(tmp_path: Path) -> None:
    """
    Programs that were built before are used on a machine that has no Go now.
    """
    environ = _without_go(tmp_path)
    key = choose_recipe(environ).key
    cached = _fill(cache_folder(environ) / f"{key}-go1.26.8")

    assert cached == find_binaries(environ, packages=[]).folder


def test_the_newest_of_several_cached_builds_is_used(tmp_path: Path) -> None:
    """
    Without Go, the build of the newest Go wins, and incomplete ones do not count.
    """
    environ = _without_go(tmp_path)
    start = cache_folder(environ) / choose_recipe(environ).key
    _fill(start.with_name(f"{start.name}-go1.9.1"))
    newest = _fill(start.with_name(f"{start.name}-go1.27.3"))
    _fill(start.with_name(f"{start.name}-go1.28.0.partial"), ("etcd",))

    assert newest == find_binaries(environ, packages=[]).folder


def test_nothing_at_all_is_said_in_one_sentence(tmp_path: Path) -> None:
    """
    No programs, no cache and no Go: the text names what to install.
    """
    with pytest.raises(ControlPlaneUnavailable, match="install the Python package"):
        find_binaries(_without_go(tmp_path), packages=[])


def test_the_cache_is_where_the_environment_says() -> None:
    """
    The project's variable wins over that of the person, and that over the home.
    """
    environ = {"HOME": "/home/jane"}
    assert Path("/home/jane/.cache/conntrack-operator/control-plane") == cache_folder(
        environ
    )

    environ["XDG_CACHE_HOME"] = "/var/cache/jane"
    assert Path("/var/cache/jane/conntrack-operator/control-plane") == cache_folder(
        environ
    )

    environ["CONNTRACK_CACHE"] = "/srv/cache"
    assert Path("/srv/cache/control-plane") == cache_folder(environ)


def test_a_build_happens_once(
    script: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """
    The second time the programs are there, and Go is not asked to build again.
    """
    environ = _with_fake_go(script, tmp_path)

    first = find_binaries(environ, progress=_quiet())
    second = find_binaries(environ, progress=_quiet())

    assert first == second
    assert len(PROGRAMS) == _builds(environ)
    assert sorted(PROGRAMS) == sorted(path.name for path in first.folder.iterdir())


def test_two_builds_at_once_are_one(
    script: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """
    Whoever comes second waits, and then finds the programs.
    """
    environ = {**_with_fake_go(script, tmp_path), "FAKE_GO_SECONDS": "0.2"}
    log = io.StringIO()
    threads = [
        threading.Thread(
            target=find_binaries, args=[environ], kwargs={"progress": Progress(log)}
        )
        for _ in range(2)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(PROGRAMS) == _builds(environ)
    assert "waiting for another build of the same: done" in log.getvalue()


def test_a_failed_build_tells_why_and_leaves_no_programs(
    script: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """
    The text has what Go complained about and where the rest is.
    """
    environ = _with_fake_go(script, tmp_path)
    script(
        "bin/go",
        'case $1 in env) echo go1.99.0;; *) echo a/b; echo "no space left"; exit 1;;'
        " esac",
    )

    with pytest.raises(ControlPlaneUnavailable) as caught:
        find_binaries(environ, progress=_quiet())

    cache = cache_folder(environ)
    (log,) = cache.glob("*.log")
    assert (
        f"Building etcd failed; Go ended with:\nno space left\n"
        f"All of its output is in {log}"
    ) == str(caught.value)
    assert log.read_text() == "a/b\nno space left\n"
    assert not [path for path in cache.iterdir() if path.name.endswith("go1.99.0")]


def test_a_build_that_was_cut_off_is_started_over(
    script: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """
    What a killed build left half done does not get in the way, nor into the result.
    """
    environ = _with_fake_go(script, tmp_path)
    key = choose_recipe(environ).key
    _fill(cache_folder(environ) / f"{key}-go1.99.0.partial", ("rubbish",))

    found = find_binaries(environ, progress=_quiet())

    assert sorted(PROGRAMS) == sorted(path.name for path in found.folder.iterdir())


def _with_fake_go(script: Callable[[str, str], Path], tmp_path: Path) -> dict[str, str]:
    go = script("bin/go", FAKE_GO)
    return {
        "PATH": f"{go.parent}:/usr/bin:/bin",
        "CONNTRACK_CACHE": str(tmp_path / "cache"),
        "FAKE_GO_LOG": str(tmp_path / "builds"),
    }


def _builds(environ: dict[str, str]) -> int:
    return len(Path(environ["FAKE_GO_LOG"]).read_text().splitlines())
