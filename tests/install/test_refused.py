"""
Installations that cannot work are refused by helm, before anything is installed.

docs/troubleshooting.md quotes these sentences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.install.conftest import AGENTS, CHART, CRDS, IN, INSTALL, RELEASE, SYSTEM

if TYPE_CHECKING:
    from e2e.cluster import Cluster

pytestmark = [pytest.mark.apiserver, pytest.mark.install]


def refusal(cluster: Cluster, *sets: str, release: str = RELEASE) -> str:
    """
    Try to install, and give what helm says.
    """
    space = SYSTEM if release == RELEASE else f"{release}-system"
    words = [word for each in sets for word in ("--set", each)]
    done = cluster.helm(
        *("upgrade", "--install", release, str(CHART), "--namespace", space),
        *("--create-namespace", "--dry-run=server", *words),
        check=False,
    )
    assert 0 != done.returncode
    return done.stderr


def test_what_an_empty_cluster_refuses(cluster: Cluster) -> None:
    """
    Values that cannot work together, a misspelt one, and no CRDs where none are made.
    """
    hidden = refusal(cluster, "agent.hostNetwork=false")
    typo = refusal(cluster, "operator.config.loglevel=debug")
    absent = refusal(cluster, "crds.enabled=false")

    assert "can be written in the host's network namespace only" in hidden
    assert "'loglevel' not allowed" in typo
    assert "the cluster has no CRD conntrackpolicies.conntrack.dev" in absent
    assert "kubectl apply --server-side -f crds/" in absent


def test_what_an_installed_cluster_refuses(cluster: Cluster) -> None:
    """
    A second release, also one that brings no CRDs, and an older CRD.
    """
    cluster.helm(*INSTALL)
    second = refusal(cluster, release="second")
    bare = refusal(cluster, "crds.enabled=false", release="second")
    cluster.kubectl("annotate", "--overwrite", CRDS[0], "conntrack.dev/version=0.0.1")
    older = refusal(cluster, "crds.enabled=false")

    assert f"the release {RELEASE} in namespace {SYSTEM}, and one" in second
    assert f"the release {RELEASE} in namespace {SYSTEM}, and one" in bare
    assert "is of version 0.0.1 where this chart needs 0.1.0" in older


def test_crds_may_be_those_of_the_checkout(cluster: Cluster) -> None:
    """
    Whoever forbids charts to touch CRDs applies the plain files, and that is enough.
    """
    cluster.kubectl("apply", "--server-side", "-f", "crds/")

    cluster.helm(*INSTALL, "--set", "crds.enabled=false")


def test_a_second_release_is_refused_whoever_made_the_crds(cluster: Cluster) -> None:
    """
    CRDs that kubectl applied name no release; what the first release is made of does.
    """
    cluster.kubectl("apply", "--server-side", "-f", "crds/")
    cluster.helm(*INSTALL, "--set", "crds.enabled=false")

    second = refusal(cluster, "crds.enabled=false", release="second")
    cluster.helm(*INSTALL, "--set", "crds.enabled=false")

    assert f"the release {RELEASE} in namespace {SYSTEM}, and one" in second


def test_a_namespace_that_refuses_agents_is_named(cluster: Cluster) -> None:
    """
    No agent would start there, and only the DaemonSet's events would say so.
    """
    label = "pod-security.kubernetes.io/enforce=restricted"
    cluster.kubectl("create", "namespace", "strict")
    cluster.kubectl("label", "namespace", "strict", label)
    try:
        sets = ("agent.namespace.create=false", "agent.namespace.name=strict")
        said = refusal(cluster, *sets)
    finally:
        cluster.kubectl("delete", "namespace", "strict")

    assert 'enforces the Pod Security level "restricted"' in said
    assert "kubectl label --overwrite namespace strict" in said


@pytest.mark.parametrize("owner", ["kubectl", "another release"])
def test_crds_of_somebody_else_can_be_taken_over(cluster: Cluster, owner: str) -> None:
    """
    Helm refuses to touch them without being told; `--take-ownership` tells it.
    """
    if owner == "kubectl":
        cluster.kubectl("apply", "--server-side", "-f", "crds/")
    else:
        cluster.helm("install", "first", str(CHART), *IN, "--create-namespace")
        cluster.helm("uninstall", "first", *IN)
        cluster.kubectl("wait", "--for=delete", f"namespace/{AGENTS}", "--timeout=60s")

    refused = cluster.helm(*INSTALL, check=False)
    cluster.helm(*INSTALL, "--take-ownership")

    assert "invalid ownership metadata" in refused.stderr
    notes = cluster.get(CRDS[0])["metadata"]["annotations"]
    assert RELEASE == notes["meta.helm.sh/release-name"]
    assert "keep" == notes["helm.sh/resource-policy"]
