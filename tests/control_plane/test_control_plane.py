"""
A real control plane, used as tests and demonstrations use it.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import control_plane
from control_plane import ControlPlane, ControlPlaneFailed

pytestmark = pytest.mark.apiserver

PACKAGES = Path(control_plane.__file__).parents[1]

NODE_AND_POD = """
apiVersion: v1
kind: Node
metadata: {name: node-a}
---
apiVersion: v1
kind: Pod
metadata: {name: agent}
spec:
  nodeName: node-a
  serviceAccountName: default
  containers: [{name: agent, image: agent}]
"""


def test_it_is_ready_when_it_has_started(plane: ControlPlane) -> None:
    """
    The first command works at once, and namespaces are there.
    """
    done = plane.kubectl_run("get", "namespaces", "--output=name")

    assert "namespace/default" in done.stdout.splitlines()


def test_it_knows_its_version(plane: ControlPlane) -> None:
    """
    The server, kubectl and the attribute agree on the release.
    """
    told = json.loads(plane.kubectl_run("version", "--output=json").stdout)

    assert plane.version == told["serverVersion"]["gitVersion"]
    assert plane.version.startswith("v1.")
    assert plane.url.startswith("https://127.0.0.1:")


def test_the_kubeconfig_is_all_that_others_need(plane: ControlPlane) -> None:
    """
    A program that knows nothing but the kubeconfig file is the administrator.
    """
    done = subprocess.run(
        [plane.kubectl, "auth", "can-i", "*", "*"],
        env={"KUBECONFIG": str(plane.kubeconfig), "HOME": str(plane.kubeconfig.parent)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "yes\n"


def test_a_user_has_the_name_and_groups_asked_for(plane: ControlPlane) -> None:
    """
    A client certificate carries both, and no rights by itself.
    """
    jane = plane.kubeconfig_for("jane", ["dev", "ops"])

    who = json.loads(
        plane.kubectl_run(
            f"--kubeconfig={jane}", "auth", "whoami", "--output=json"
        ).stdout
    )
    user = who["status"]["userInfo"]
    refused = plane.kubectl_run(f"--kubeconfig={jane}", "get", "nodes", check=False)

    assert user["username"] == "jane"
    assert {"dev", "ops"} <= set(user["groups"])
    assert "Forbidden" in refused.stderr


def test_controllers_run(plane: ControlPlane) -> None:
    """
    A new namespace gets its service account from a controller.
    """
    plane.kubectl_run("create", "namespace", "shop")

    plane.kubectl_run(
        "wait",
        "--for=create",
        "serviceaccount/default",
        "--namespace=shop",
        "--timeout=120s",
    )


def test_a_token_bound_to_a_pod_carries_its_node(plane: ControlPlane) -> None:
    """
    The API server tells from the token on which node its pod is.
    """
    plane.kubectl_run("apply", "--filename=-", input=NODE_AND_POD)
    token = plane.token_for("default", "default", pod="agent")

    who = json.loads(
        plane.kubectl_run(
            f"--kubeconfig={plane.kubeconfig_for_token(token)}",
            "auth",
            "whoami",
            "--output=json",
        ).stdout
    )

    user = who["status"]["userInfo"]
    assert user["username"] == "system:serviceaccount:default:default"
    assert user["extra"]["authentication.kubernetes.io/node-name"] == ["node-a"]


def test_a_refused_command_is_an_error_with_its_reason(plane: ControlPlane) -> None:
    """
    What kubectl complained about is in the text; without the check it is an answer.
    """
    with pytest.raises(ControlPlaneFailed, match='namespaces "none" not found'):
        plane.kubectl_run("get", "namespace", "none")

    assert plane.kubectl_run("get", "namespace", "none", check=False).returncode == 1


def test_service_account_admission_is_off_without_controllers() -> None:
    """
    Without controllers there are no service accounts, and pods are accepted.
    """
    with ControlPlane() as bare:
        bare.kubectl_run("apply", "--filename=-", input=NODE_AND_POD)

        accounts = bare.kubectl_run("get", "serviceaccounts", "--output=name")

    assert accounts.stdout == ""


def test_nothing_can_be_asked_of_one_that_has_ended() -> None:
    """
    Before the start and after the end every question is refused in words.
    """
    idle = ControlPlane()

    with pytest.raises(ControlPlaneFailed, match="is not running"):
        _ = idle.url
