"""
Applying the same again changes nothing, whichever way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.install.conftest import CHART, IN, INSTALL, RELEASE, SYSTEM
from tests.install.leftovers import remove_by_label
from tests.kstatus import health

if TYPE_CHECKING:
    from e2e.cluster import Cluster

pytestmark = [pytest.mark.apiserver, pytest.mark.install]

OBJECTS = (
    "deployments,daemonsets,podtemplates,configmaps,serviceaccounts,roles,rolebindings,"
    "namespaces,clusterroles,clusterrolebindings,crds,validatingadmissionpolicies,"
    "validatingadmissionpolicybindings"
)
OURS = ("-A", "-l", "app.kubernetes.io/name=conntrack-operator")


def generations(cluster: Cluster) -> dict[str, str]:
    """
    Give the version of every object of ours; the status of a workload is the cluster's.
    """
    return {
        f"{each['kind']}/{each['metadata']['name']}": str(
            each["metadata"].get("generation", each["metadata"]["resourceVersion"])
        )
        for each in cluster.get(OBJECTS, *OURS)["items"]
    }


def still(cluster: Cluster) -> dict[str, str]:
    """
    Give the health of every object that has no pods: those nobody runs here.
    """
    return {
        each["metadata"]["name"]: health(each)
        for each in cluster.get(OBJECTS, *OURS)["items"]
        if each["kind"] not in ("Deployment", "DaemonSet")
    }


def test_an_upgrade_without_a_change_writes_no_object(cluster: Cluster) -> None:
    """
    Not one object of the release has another version afterwards; and by the rules of
    Argo CD and Flux all that starts no pod is healthy.
    """
    cluster.helm(*INSTALL)
    before = generations(cluster)

    cluster.helm(*INSTALL)

    assert before == generations(cluster)
    assert 15 < len(before)
    assert {"Current"} == set(still(cluster).values()), still(cluster)


@pytest.mark.parametrize("way", ["--server-side", "--server-side=false"])
def test_kubectl_applies_what_helm_renders(cluster: Cluster, way: str) -> None:
    """
    On the server's side or on the client's; `kubectl diff` then finds no difference.
    """
    done = cluster.helm("template", RELEASE, str(CHART), *IN, "--skip-tests")
    cluster.kubectl("create", "namespace", SYSTEM)
    try:
        cluster.kubectl("apply", way, "-f", "-", given=done.stdout)
        before = generations(cluster)
        cluster.kubectl("apply", way, "-f", "-", given=done.stdout)

        assert "" == cluster.kubectl("diff", way, "-f", "-", given=done.stdout)
        assert before == generations(cluster)
    finally:
        # Namespaces and CRDs are the fixture's, in the order that takes no minutes.
        remove_by_label(cluster)
