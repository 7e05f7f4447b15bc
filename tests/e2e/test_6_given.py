"""
The other way to run these tests: against a cluster that somebody has already.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.e2e.conftest import SYSTEM
from tests.e2e.test_1_install import kernel
from tests.install.leftovers import left

from e2e.cluster import ROOT
from e2e.layout import NODE_ADDRESS

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.cluster import Cluster

pytestmark = pytest.mark.e2e


def make_e2e(*words: str) -> subprocess.CompletedProcess[str]:
    """
    Run the target as a person does, in another terminal.
    """
    inherited = ("MAKE", "MFLAGS", "PYTEST", "CONNTRACK_E2E_")
    return subprocess.run(
        ["make", "-s", "e2e", *words],
        cwd=ROOT,
        env={
            name: value
            for name, value in os.environ.items()
            if not name.startswith(inherited)
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_cluster_that_runs_is_left_as_it_was(own: Cluster, tmp_path: Path) -> None:
    """
    What is safe there passes, the rest is named, and nothing stays: no object, no CRD,
    no value.
    """
    assert set() == left(own)
    file = tmp_path / "values.yaml"
    file.write_text("image: {pullPolicy: Never}\n")
    names = ("max", "buckets", "tcp_timeout_established")
    before = [kernel(name) for name in names]

    done = make_e2e(f"KUBECONFIG={own.kubeconfig}", f"VALUES={file}")

    print(done.stdout)  # noqa: T201 - for `pytest -s`, to be looked at
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "left out, since the node is not our own" in done.stdout
    assert "test_a_policy_reaches_the_kernel" in done.stdout
    assert set() == left(own)
    assert before == [kernel(name) for name in names]


def test_a_cluster_that_has_the_product_is_not_touched(fresh: Cluster) -> None:
    """
    One sentence, and what is there.
    """
    before = left(fresh)

    done = make_e2e(f"KUBECONFIG={fresh.kubeconfig}")

    assert 0 != done.returncode
    assert "would change and remove what is there: customres" in done.stdout
    assert before == left(fresh)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("KUBECONFIG=/no/file",), "KUBECONFIG: no file /no/file"),
        (
            ("KUBECONFIG=/dev/null",),
            "KUBECONFIG=/dev/null names does not answer: The connection to the server",
        ),
        (("KUBECONFIG=Makefile", "VALUES=/no/file"), "VALUES: no file /no/file"),
        (("VALUES=Makefile",), "VALUES goes with KUBECONFIG"),
    ],
)
@pytest.mark.usefixtures("own")
def test_what_is_mistyped_ends_before_anything_runs(
    words: tuple[str, ...], said: str
) -> None:
    """
    In one sentence, and without a look at another cluster than was meant.
    """
    done = make_e2e(*words)

    assert 0 != done.returncode
    assert said in done.stdout
    assert "no tests ran" in done.stdout


def test_a_namespace_of_somebody_else_is_not_removed(own: Cluster) -> None:
    """
    What has the name of ours may hold anything; nothing is installed into it.
    """
    own.kubectl("create", "namespace", SYSTEM)
    try:
        done = make_e2e(f"KUBECONFIG={own.kubeconfig}")
        there = own.kubectl("get", "namespace", SYSTEM, "-o", "name")
    finally:
        own.kubectl("delete", "namespace", SYSTEM)

    assert 0 != done.returncode
    assert f"would change and remove what is there: namespace/{SYSTEM}" in done.stdout
    assert there


@pytest.mark.usefixtures("own")
def test_a_second_run_takes_nothing_from_the_first() -> None:
    """
    Both would use the same addresses; the second says so before it touches anything.
    """
    shown = ("ip", "-brief", "address", "show", "dev", "lo")
    before = subprocess.run(shown, capture_output=True, check=True).stdout

    done = make_e2e()

    after = subprocess.run(shown, capture_output=True, check=True).stdout
    assert 0 != done.returncode
    assert "this machine is the node of another run" in done.stdout
    assert NODE_ADDRESS.encode() in before
    assert before == after
