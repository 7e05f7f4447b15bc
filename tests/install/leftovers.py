"""
What is ours in a cluster, and the way to be rid of it without helm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from e2e.cluster import Cluster

DEFINITION = "customresourcedefinition.apiextensions.k8s.io"
OURS = "app.kubernetes.io/name=conntrack-operator"

_GLOBAL = (
    "clusterroles,clusterrolebindings,validatingadmissionpolicies,"
    "validatingadmissionpolicybindings"
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
    found = cluster.kubectl("get", f"{_GLOBAL},crds", *words).split()
    found += cluster.kubectl("get", _IN_NAMESPACES, "-A", *words).split()
    return set(found)


def remove_by_label(cluster: Cluster) -> None:
    """
    Remove what deleting both namespaces leaves, as docs/removal.md says it.
    """
    cluster.kubectl("delete", _GLOBAL, "-l", OURS)
    cluster.kubectl("delete", "roles,rolebindings", "-n", "default", "-l", OURS)
