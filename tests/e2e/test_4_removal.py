"""
Removing everything, in the right order and in those that people get wrong.

README and docs/removal.md tell what is done here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.e2e.conftest import (
    AGENTS,
    CRDS,
    POLICY,
    RELEASE_BY_HAND,
    SOON,
    SYSTEM,
    UNINSTALL,
    install,
)
from tests.e2e.test_1_install import PODS, kernel
from tests.install.leftovers import DEFINITION, left, remove_by_label

from e2e.cluster import wait

if TYPE_CHECKING:
    from e2e.cluster import Cluster

pytestmark = pytest.mark.e2e


def govern(cluster: Cluster, on_removal: str) -> dict[str, int]:
    """
    Apply a policy and wait for it.

    Returns:
        What the node's agent found before its first write: kernel name to value.
    """
    cluster.kubectl("apply", "-f", "examples/cluster-default.yaml")
    asked = json.dumps({"spec": {"onRemoval": on_removal}})
    cluster.kubectl("patch", POLICY, "--type=merge", "-p", asked)
    cluster.kubectl("wait", "--for=condition=Ready", POLICY, SOON)
    wait(lambda: kernel("max") == 65536, "the policy's values are there")
    (node,) = cluster.get("conntracknodes")["items"]
    found: dict[str, int] = node["status"]["baseline"]
    assert 65536 != found["nf_conntrack_max"]
    return found


def now(found: dict[str, int]) -> dict[str, int]:
    """
    Read the same settings from the kernel itself.
    """
    return {name: kernel(name.removeprefix("nf_conntrack_")) for name in found}


def nothing_left(cluster: Cluster) -> None:
    """
    Wait until nothing of ours but CRDs is there, no pod and no workload.
    """
    wait(lambda: not cluster.kubectl(*PODS), "no pod is left")
    crds = {f"{DEFINITION}/{each.removeprefix('crd/')}" for each in CRDS}
    wait(lambda: left(cluster) <= crds, "nothing but CRDs is left")


def test_revert_first_then_uninstall(fresh: Cluster) -> None:
    """
    The right order: what was found is in the kernel when the policy is gone.
    """
    found = govern(fresh, "Revert")

    fresh.kubectl("delete", POLICY, SOON)

    assert found == now(found)
    fresh.helm(*UNINSTALL)
    nothing_left(fresh)
    assert found == now(found)


@pytest.mark.parametrize("on_removal", ["Keep", "Revert"])
def test_crds_deleted_first(fresh: Cluster, on_removal: str) -> None:
    """
    The API server deletes every policy with its CRD; each ends as it asked for.
    """
    found = govern(fresh, on_removal)
    before = now(found)

    fresh.kubectl("delete", SOON, CRDS[0])
    fresh.kubectl("delete", SOON, CRDS[1])
    fresh.helm(*UNINSTALL)

    nothing_left(fresh)
    assert (before if on_removal == "Keep" else found) == now(found)


def test_namespaces_deleted_first(fresh: Cluster) -> None:
    """
    Values stay. Helm has forgotten the release; what has no namespace goes by label.
    """
    found = govern(fresh, "Keep")
    before = now(found)

    fresh.kubectl("delete", SOON, f"namespace/{SYSTEM}", f"namespace/{AGENTS}")
    forgotten = fresh.helm(*UNINSTALL, check=False)
    remove_by_label(fresh)
    fresh.kubectl("delete", POLICY, SOON)

    assert "not found" in forgotten.stderr
    nothing_left(fresh)
    assert before == now(found)


def test_a_policy_deleted_after_the_operator_waits_for_it(fresh: Cluster) -> None:
    """
    It asked for the found values, and nobody is there to bring them. Who installs
    again gets them.
    """
    found = govern(fresh, "Revert")
    before = now(found)

    fresh.helm(*UNINSTALL)
    fresh.kubectl("delete", POLICY, "--wait=false")
    meta = fresh.get(POLICY)["metadata"]
    stayed = now(found)
    fresh.kubectl("wait", "--for=delete", f"namespace/{AGENTS}", SOON)
    install(fresh)
    fresh.kubectl("wait", "--for=delete", POLICY, SOON)

    assert ["conntrack.dev/revert"] == meta["finalizers"]
    assert before == stayed
    assert found == now(found)


def test_a_policy_can_be_released_by_hand(fresh: Cluster) -> None:
    """
    One command, for who does not want to install again; values stay as they are.
    """
    found = govern(fresh, "Revert")
    before = now(found)

    fresh.helm(*UNINSTALL)
    fresh.kubectl("delete", POLICY, "--wait=false")
    fresh.kubectl("patch", POLICY, *RELEASE_BY_HAND)
    fresh.kubectl("wait", "--for=delete", POLICY, SOON)

    assert before == now(found)
