"""
What is ours in a cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from e2e.cluster import Cluster

DEFINITION = "customresourcedefinition.apiextensions.k8s.io"
OURS = "app.kubernetes.io/name=conntrack-operator"

_EVERYWHERE = (
    "clusterroles,clusterrolebindings,validatingadmissionpolicies,"
    "validatingadmissionpolicybindings,crds"
)
_IN_NAMESPACES = (
    "deployments,daemonsets,podtemplates,pods,configmaps,serviceaccounts,roles,"
    "rolebindings"
)


def left(cluster: Cluster) -> set[str]:
    """
    Name every object of ours, of whatever kind.
    """
    words = ("-l", OURS, "-o", "name")
    found = cluster.kubectl("get", _EVERYWHERE, *words).split()
    found += cluster.kubectl("get", _IN_NAMESPACES, "-A", *words).split()
    return set(found)
