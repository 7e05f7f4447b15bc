"""
From one version of the chart to the next, back again, and away.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.install.conftest import AGENTS, CRDS, IN, INSTALL, RELEASE, SYSTEM
from tests.install.leftovers import DEFINITION, left

from conntrack_operator.rows import FINALIZER

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.cluster import Cluster

pytestmark = [pytest.mark.apiserver, pytest.mark.install]

OBSERVE = "examples/observe.yaml"
POLICY = ("conntrackpolicy", "observe")


def knows_note(cluster: Cluster) -> bool:
    """
    Tell whether the API server keeps the field that only the next version has.
    """
    crd = cluster.get(CRDS[1])
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return "note" in schema["properties"]["spec"]["properties"]


def policy(cluster: Cluster) -> dict[str, Any]:
    """
    Read the policy, without who wrote what.
    """
    kept: dict[str, Any] = cluster.get(*POLICY)
    kept["metadata"].pop("managedFields", None)
    return kept


def test_an_upgrade_brings_fields_and_keeps_policies(
    cluster: Cluster, next_chart: Path
) -> None:
    """
    `helm upgrade` changes the CRD; the policies are the very same objects. A rollback
    takes the field away again.
    """
    cluster.helm(*INSTALL)
    cluster.kubectl("apply", "-f", OBSERVE)
    before, knew = policy(cluster), knows_note(cluster)

    cluster.helm("upgrade", RELEASE, str(next_chart), *IN)
    noted = json.dumps({"spec": {"note": "new"}})
    upgraded, knows = policy(cluster), knows_note(cluster)
    cluster.kubectl("patch", *POLICY, "--type=merge", "-p", noted)
    written = policy(cluster)["spec"].get("note")
    cluster.kubectl("patch", *POLICY, "--type=merge", "-p", '{"spec":{"note":null}}')
    cluster.helm("rollback", RELEASE, "1", *IN)
    back = policy(cluster)

    assert (False, True, "new") == (knew, knows, written)
    assert before == upgraded
    assert not knows_note(cluster)
    assert before["metadata"]["uid"] == back["metadata"]["uid"]
    assert before["spec"] == back["spec"]


def test_values_of_an_older_chart_lack_what_is_new(
    cluster: Cluster, next_chart: Path
) -> None:
    """
    `--reuse-values` gives a chart no defaults of its own; what is missing is named, and
    the switch that does give them works.
    """
    cluster.helm(*INSTALL, "--set", "operator.config.logLevel=debug")
    upgrade = ("upgrade", RELEASE, str(next_chart), *IN)

    refused = cluster.helm(*upgrade, "--reuse-values", check=False)
    cluster.helm(*upgrade, "--reset-then-reuse-values")
    config = cluster.get("configmap", f"{RELEASE}-conntrack-operator", *IN)

    assert "missing property 'noted'" in refused.stderr
    assert "debug" == config["data"]["CONNTRACK_OPERATOR_LOG_LEVEL"]


def test_uninstalling_leaves_policies_and_nothing_else(cluster: Cluster) -> None:
    """
    Both CRDs stay with every policy; no role, admission policy or workload does. Who
    installs again gets everything back.
    """
    cluster.helm(*INSTALL)
    cluster.kubectl("apply", "-f", OBSERVE)
    before = policy(cluster)

    cluster.helm("uninstall", RELEASE, *IN)
    cluster.kubectl("wait", "--for=delete", f"namespace/{AGENTS}", "--timeout=60s")
    names = left(cluster)
    cluster.helm(*INSTALL)

    assert {f"{DEFINITION}/{crd.removeprefix('crd/')}" for crd in CRDS} == names
    assert before == policy(cluster)
    assert any("deployment" in name for name in left(cluster))


def test_crds_that_are_not_kept_wait_for_a_way_back(cluster: Cluster) -> None:
    """
    With `crds.keep=false` helm deletes the operator and the policies: one that asks for
    `Revert` waits for an operator that is gone, until it is released by hand.
    """
    crd, held = CRDS[1], ("conntrackpolicy", "held")
    meta = {"name": "held", "finalizers": [FINALIZER]}
    spec = {"nodeSelector": {}, "onRemoval": "Revert"}
    kind = {"apiVersion": "conntrack.dev/v1alpha1", "kind": "ConntrackPolicy"}
    cluster.helm(*INSTALL, "--set", "crds.keep=false")
    given = json.dumps({**kind, "metadata": meta, "spec": spec})
    cluster.kubectl("apply", "-f", "-", given=given)

    cluster.helm("uninstall", RELEASE, *IN)
    cluster.kubectl("wait", "--for=condition=Terminating", crd, "--timeout=60s")
    waits = cluster.get(*held)["metadata"]
    none = json.dumps({"metadata": {"finalizers": None}})
    cluster.kubectl("patch", *held, "--type=merge", "-p", none)
    # A CRD that has just been written may take Kubernetes five minutes to delete.
    cluster.kubectl("wait", "--for=delete", *CRDS, "--timeout=600s")

    assert "deletionTimestamp" in waits


def test_the_namespace_deleted_first_leaves_what_helm_can_remove(
    cluster: Cluster,
) -> None:
    """
    The release's record goes with its namespace; what has no namespace can be found by
    its label and removed by hand, and installing again works too.
    """
    cluster.helm(*INSTALL)
    cluster.kubectl("delete", f"namespace/{SYSTEM}", f"namespace/{AGENTS}")

    gone = cluster.helm("uninstall", RELEASE, *IN, check=False)
    cluster.helm(*INSTALL)
    cluster.helm("uninstall", RELEASE, *IN)

    assert 0 != gone.returncode
    assert "not found" in gone.stderr
    assert {"customresourcedefinition"} == {
        name.partition(".")[0] for name in left(cluster)
    }


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ((), "leaves both CRDs"),
        (("crds.keep=false",), "deletes both CRDs"),
        (("crds.keep=false", "crds.enabled=false"), "leaves both CRDs"),
    ],
)
def test_the_notes_say_what_uninstalling_leaves(
    cluster: Cluster, sets: tuple[str, ...], words: str
) -> None:
    """
    CRDs that are not the release's own stay, whatever is asked.
    """
    flags = [word for each in sets for word in ("--set", each)]

    done = cluster.helm(*INSTALL, "--dry-run=client", *flags)

    assert words in done.stdout.partition("NOTES:")[2]
