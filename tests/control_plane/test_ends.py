"""
The ways in which a real control plane ends, and what is left: nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import control_plane
from control_plane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.apiserver

PACKAGES = Path(control_plane.__file__).parents[1]


def test_an_end_leaves_no_process_and_no_folder() -> None:
    """
    Afterwards it is as if there had been none; also when the block was left in haste.
    """
    seen: list[Path] = []

    def work() -> None:
        with ControlPlane() as short:
            seen.append(short.kubeconfig.parent)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()

    (folder,) = seen
    assert not folder.exists()
    assert not _using(folder)


def test_it_outlives_the_thread_that_started_it() -> None:
    """
    A control plane belongs to the process, not to the thread that made it.
    """
    made: list[ControlPlane] = []
    thread = threading.Thread(target=lambda: made.append(ControlPlane().start()))
    thread.start()
    thread.join()

    (threaded,) = made
    with threaded:
        assert threaded.kubectl_run("get", "--raw=/readyz").stdout == "ok"


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_demonstration_leaves_nothing(way: signal.Signals) -> None:
    """
    `run` prints its kubeconfig; killed, it takes all programs and files along.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "control_plane", "run"],
        env={**os.environ, "PYTHONPATH": str(PACKAGES)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as demonstration:
        assert demonstration.stdout
        line = demonstration.stdout.readline()
        assert line.startswith("export KUBECONFIG=")
        folder = Path(line.strip().partition("=")[2]).parent
        assert _using(folder)

        demonstration.send_signal(way)

    give_up = time.monotonic() + 60
    while folder.exists() or _using(folder):
        assert time.monotonic() < give_up, "still there"
        time.sleep(0.05)


def _using(folder: Path) -> list[int]:
    """
    List the processes whose command line names the folder.
    """
    return list(_processes_naming(str(folder)))


def _processes_naming(text: str) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if text.encode() in words:
            yield int(entry.name)
