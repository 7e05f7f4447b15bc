"""
The API server of a real control plane goes away, and comes back.
"""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from control_plane import ControlPlane

pytestmark = pytest.mark.apiserver


@pytest.fixture(autouse=True)
def _answering(plane: ControlPlane) -> None:
    """
    Whatever a test did to the API server, the next one finds it running.
    """
    if plane.kubectl_run("get", "--raw=/livez", check=False).returncode:
        plane.kill_apiserver()
        plane.start_apiserver()


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_the_api_server_comes_back_at_its_address(
    plane: ControlPlane, way: str
) -> None:
    """
    Objects and address survive an upgrade and a crash; in between there is nobody.
    """
    plane.kubectl_run("create", "configmap", f"before-{way}")
    url = plane.url

    if way == "stop":
        plane.stop_apiserver()
    else:
        plane.kill_apiserver()
    down = plane.kubectl_run("get", "configmaps", check=False)
    plane.start_apiserver()

    assert "refused" in down.stderr
    assert url == plane.url
    plane.kubectl_run("get", "configmap", f"before-{way}")


def test_open_watches_do_not_hold_up_a_stop(plane: ControlPlane) -> None:
    """
    An API server with watchers ends in seconds, and ends their watches.
    """
    with subprocess.Popen(
        [
            plane.kubectl,
            f"--kubeconfig={plane.kubeconfig}",
            "get",
            "namespaces",
            "--watch",
            "--output=name",
        ],
        env={"HOME": str(plane.kubeconfig.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as watcher:
        assert watcher.stdout
        assert watcher.stdout.readline()
        began = time.monotonic()

        plane.stop_apiserver()

        assert time.monotonic() - began < 55
        watcher.wait(60)


def test_old_versions_are_gone_after_a_compaction(plane: ControlPlane) -> None:
    """
    Who continues from before a compaction is told that this is too long ago.
    """
    listed = json.loads(plane.kubectl_run("get", "--raw=/api/v1/namespaces").stdout)
    version = listed["metadata"]["resourceVersion"]
    plane.kubectl_run("create", "configmap", "newer")

    revision = plane.etcd_compact()
    plane.kill_apiserver()
    plane.start_apiserver()
    late = plane.kubectl_run(
        "get",
        f"--raw=/api/v1/namespaces?watch=1&timeoutSeconds=1&resourceVersion={version}",
        check=False,
    )

    assert int(version) < revision
    assert "too old resource version" in late.stdout + late.stderr
