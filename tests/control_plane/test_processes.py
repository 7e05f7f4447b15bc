"""
Starting, asking and ending a single program.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from control_plane import ControlPlaneFailed
from control_plane.processes import Program, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator


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


def test_an_orderly_end_is_waited_for(folder: Path, watch: Watch) -> None:
    """
    A program that ends when asked is not killed.
    """
    program = _shell(
        folder,
        watch,
        "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done",
    )
    _wait_for_text(program, "up")

    program.terminate(seconds=10)

    assert program.tail() == "up\nbye"


def test_a_deaf_program_is_killed_in_the_end(folder: Path, watch: Watch) -> None:
    """
    A program that does not end when asked has as long as it is given, not longer.
    """
    program = _shell(
        folder, watch, "trap '' TERM; echo up; while :; do sleep 0.01; done"
    )
    _wait_for_text(program, "up")

    program.terminate(seconds=0.2)

    assert not _runs(program.pid)


def test_a_program_that_died_is_shown_with_the_end_of_its_log(
    folder: Path, watch: Watch
) -> None:
    """
    The text has the name, how it ended, and what it said last.
    """
    program = _shell(folder, watch, "echo no such flag; exit 7")

    with pytest.raises(ControlPlaneFailed) as caught:
        _check_until_it_fails(program)

    assert "sh ended by itself (exit code 7):\nno such flag" == str(caught.value)


def test_a_program_that_cannot_be_run_is_an_error_of_ours(
    folder: Path, watch: Watch
) -> None:
    """
    A file that is no program is named, without a traceback of the system's.
    """
    with pytest.raises(ControlPlaneFailed, match="/nowhere/etcd cannot be run"):
        Program("etcd", ["/nowhere/etcd"], log=folder / "log", environ={}, watch=watch)


def _shell(folder: Path, watch: Watch, text: str) -> Program:
    return Program(
        "sh",
        ["/bin/sh", "-c", text],
        log=folder / "log",
        environ={"PATH": os.defpath},
        watch=watch,
    )


def _runs(pid: int) -> bool:
    """
    Tell whether a process runs; one that only waits to be collected does not.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def _wait_for_text(program: Program, text: str) -> None:
    give_up = time.monotonic() + 60
    while text not in program.tail():
        assert time.monotonic() < give_up, "never said"
        time.sleep(0.02)


def _check_until_it_fails(program: Program) -> None:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        program.check()
        time.sleep(0.02)
