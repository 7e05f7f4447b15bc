"""
What is left of a control plane whose process is gone: nothing.

The programs are stand-ins that never end by themselves, so each test takes a moment
and the promise is seen apart from Kubernetes.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import control_plane
from control_plane import (
    Binaries,
    ControlPlane,
    ControlPlaneFailed,
    ControlPlaneUnavailable,
)
from control_plane.processes import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGES = Path(control_plane.__file__).parents[1]

PARENT = """
import signal, sys, time
from pathlib import Path
from control_plane.processes import Program, Watch

# Tests that were started under nohup hand an ignored SIGHUP down.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
folder = Path(sys.argv[1])
watch = Watch(folder)
program = Program(
    "sleep", ["/bin/sleep", "600"], log=folder / "log", environ={}, watch=watch
)
print(program.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """
    Make the folder that has to disappear.
    """
    folder = tmp_path / "private"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "file").write_text("content")
    return folder


@pytest.fixture
def watch(folder: Path) -> Iterator[Watch]:
    """
    Watch over the folder.
    """
    watch = Watch(folder)
    yield watch
    watch.close()


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_killed_parent_leaves_no_process_and_no_folder(
    folder: Path, way: signal.Signals
) -> None:
    """
    However the process dies that started them, programs and files go with it.
    """
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder)],
        env={"PYTHONPATH": str(PACKAGES)},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert _runs(pid)

        parent.send_signal(way)

    _wait_until_gone(pid, folder)


def test_an_ended_program_is_nobodys_business_anymore(
    folder: Path, watch: Watch
) -> None:
    """
    A process id that was taken off is left alone, since it may be somebody else's.
    """
    with subprocess.Popen(["/bin/sleep", "600"]) as other:
        watch.started(other.pid)
        watch.ended(other.pid)

        watch.close()

        assert not folder.exists()
        assert _runs(other.pid)
        other.kill()


@pytest.mark.parametrize("broken", ["etcd", "kube-apiserver"])
def test_a_start_that_fails_leaves_nothing(
    script: Callable[[str, str], Path], tmp_path: Path, broken: str
) -> None:
    """
    When one program dies at the start, the others are ended and all files removed.
    """
    seen = tmp_path / "seen"
    programs = {
        name: script(
            name,
            f'echo "$$ $PWD" >>{seen}\n'
            + ("echo boom; exit 7" if name == broken else "exec sleep 600"),
        )
        for name in ("etcd", "kube-apiserver", "kubectl")
    }
    plane = ControlPlane(
        Binaries(
            folder=tmp_path,
            etcd=programs["etcd"],
            kube_apiserver=programs["kube-apiserver"],
            kubectl=programs["kubectl"],
            kube_controller_manager=None,
        )
    )

    with pytest.raises(ControlPlaneFailed) as caught:
        plane.start()

    assert f"{broken} ended by itself (exit code 7):\nboom" == str(caught.value)
    for line in seen.read_text().splitlines():
        pid, folder = line.split(maxsplit=1)
        assert not _runs(int(pid))
        assert not Path(folder).exists()


def test_controllers_without_their_program_are_refused(tmp_path: Path) -> None:
    """
    Programs without a controller manager run a control plane without controllers only.
    """
    plane = ControlPlane(
        Binaries(
            folder=tmp_path,
            etcd=tmp_path / "etcd",
            kube_apiserver=tmp_path / "kube-apiserver",
            kubectl=tmp_path / "kubectl",
            kube_controller_manager=None,
        ),
        controller_manager=True,
    )

    with pytest.raises(ControlPlaneUnavailable) as caught:
        plane.start()

    assert f"There is no kube-controller-manager in {tmp_path}." == str(caught.value)


def _runs(pid: int) -> bool:
    """
    Tell whether a process runs; one that only waits to be collected does not.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def _wait_until_gone(pid: int, folder: Path) -> None:
    give_up = time.monotonic() + 60
    while _runs(pid) or folder.exists():
        assert time.monotonic() < give_up, "still there"
        time.sleep(0.02)
