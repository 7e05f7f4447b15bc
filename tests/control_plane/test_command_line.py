"""
The command line: what it prints, and its exit codes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import control_plane

PACKAGES = Path(control_plane.__file__).parents[1]
PROGRAMS = ("etcd", "kube-apiserver", "kubectl")


def test_help_names_the_commands_and_the_environment() -> None:
    """
    Whoever asks for help learns what there is to run and to set.
    """
    done = _run("--help")

    assert done.returncode == 0
    for word in ("build", "run", "pin", "CONNTRACK_KUBERNETES", "KUBEBUILDER_ASSETS"):
        assert word in done.stdout


def test_build_prints_the_folder(tmp_path: Path) -> None:
    """
    Standard output has the folder and nothing else, for use in scripts.
    """
    for program in PROGRAMS:
        (tmp_path / program).touch()

    done = _run("build", KUBEBUILDER_ASSETS=str(tmp_path))

    assert done.returncode == 0
    assert done.stdout == f"{tmp_path}\n"


def test_unavailable_is_one_sentence_and_its_own_exit_code() -> None:
    """
    A machine that can have none gets exit code 3 and a sentence, no traceback.
    """
    done = _run("build", CONNTRACK_KUBERNETES="1.20")

    assert done.returncode == 3
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("`CONNTRACK_KUBERNETES` must be one of ")


def test_a_control_plane_that_fails_is_another_exit_code(tmp_path: Path) -> None:
    """
    Programs that die are a failure, with the reason and without a traceback.
    """
    for program in PROGRAMS:
        (tmp_path / program).write_text("#!/bin/sh\necho boom\nexit 7\n")
        (tmp_path / program).chmod(0o700)

    done = _run("run", KUBEBUILDER_ASSETS=str(tmp_path))

    assert done.returncode == 1
    # Both were started, and either may be the first that is seen to be dead.
    said = r"(etcd|kube-apiserver) ended by itself \(exit code 7\):\nboom"
    assert re.match(said, done.stderr)
    assert "Traceback" not in done.stderr


def _run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "control_plane", *arguments],
        env={"PYTHONPATH": str(PACKAGES), **environ},
        capture_output=True,
        text=True,
        check=False,
    )
