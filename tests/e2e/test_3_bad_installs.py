"""
Installations that cannot work, and what is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e.conftest import AGENTS, RELEASE, SYSTEM, install, settled, values
from tests.e2e.test_2_rights import NET_ADMIN, SYSLOG, container, status

from e2e.cluster import wait

if TYPE_CHECKING:
    from e2e.cluster import Cluster

pytestmark = pytest.mark.e2e

CHART = "charts/conntrack-operator"
EVERY = NET_ADMIN | SYSLOG | 1
"""Some capabilities that stand for all: a privileged process has them."""


def refusal(cluster: Cluster, release: str, namespace: str, *sets: str) -> str:
    """
    Try to install, and give what helm says.
    """
    words = [word for each in sets for word in ("--set", each)]
    done = cluster.helm(
        *("upgrade", "--install", release, CHART, "--namespace", namespace),
        *("--create-namespace", "--dry-run=server", *values(cluster), *words),
        check=False,
    )
    assert 0 != done.returncode
    return done.stderr


@pytest.mark.usefixtures("installed")
def test_a_second_release_is_refused(cluster: Cluster) -> None:
    """
    One cluster has one; the sentence names the first.
    """
    said = refusal(cluster, "second", "second-system")

    assert f"the release {RELEASE} in namespace {SYSTEM}, and one" in said


@pytest.mark.usefixtures("installed")
def test_a_restricted_namespace_is_refused(own: Cluster) -> None:
    """
    No agent would start there, and only the DaemonSet's events would say so.
    """
    label = "pod-security.kubernetes.io/enforce=restricted"
    own.kubectl("create", "namespace", "strict")
    own.kubectl("label", "namespace", "strict", label)

    sets = ("agent.namespace.create=false", "agent.namespace.name=strict")
    said = refusal(own, RELEASE, SYSTEM, *sets)

    assert 'enforces the Pod Security level "restricted"' in said
    assert "kubectl label --overwrite namespace strict" in said


@pytest.mark.usefixtures("installed")
def test_an_older_crd_is_refused(own: Cluster) -> None:
    """
    Fields that an old schema does not know would vanish without a word.
    """
    crd = "crd/conntracknodes.conntrack.dev"
    annotate = ("annotate", "--overwrite", crd)
    own.kubectl(*annotate, "conntrack.dev/version=0.0.1")
    said = refusal(own, RELEASE, SYSTEM, "crds.enabled=false")
    own.kubectl(*annotate, "conntrack.dev/version=0.1.0")

    assert "is of version 0.0.1 where this chart needs 0.1.0" in said


@pytest.mark.usefixtures("policed")
@pytest.mark.parametrize(
    ("repository", "policy", "reason"),
    [
        ("missing", "Never", "ErrImageNeverPull"),
        ("127.0.0.1:1/missing", "IfNotPresent", "ImagePullBackOff"),
    ],
)
def test_an_image_that_is_not_there_is_said_by_the_policy(
    own: Cluster, repository: str, policy: str, reason: str
) -> None:
    """
    How many agents are missing, and why; the right image ends it.
    """

    def agents() -> Any:  # noqa: ANN401 - any object
        policy = own.get("conntrackpolicy", "cluster-default")
        return policy["status"].get("agents") or {}

    image = f"agent.image.repository={repository}"
    install(own, "--set", image, "--set", f"image.pullPolicy={policy}")
    wait(lambda: agents().get("reason") == reason, "the reason is said")
    found = agents()
    assert (1, 0, 1) == (found["expected"], found["running"], found["missing"])
    assert "missing:" in found["message"]

    install(own)
    wait(lambda: (agents()["missing"], agents()["reason"]) == (0, ""), "it is over")


@pytest.mark.usefixtures("policed")
@pytest.mark.parametrize(
    ("value", "capabilities", "source"),
    [
        ("agent.netAdmin=false", 0, "ProcStat"),
        ("agent.kernelLog=true", NET_ADMIN | SYSLOG, "Netlink"),
        ("agent.privileged=true", EVERY, "Netlink"),
    ],
)
def test_fewer_and_more_rights(
    own: Cluster, value: str, capabilities: int, source: str
) -> None:
    """
    Without a capability counters come another way; the admission policy lets both be.
    """

    def facts() -> Any:  # noqa: ANN401 - any object
        (node,) = own.get("conntracknodes")["items"]
        return node["status"]["facts"]

    former = container(own, AGENTS)
    install(own, "--set", value)
    wait(
        lambda: settled(own, 1) and container(own, AGENTS) != former,
        "there is a new agent",
    )
    seen = status(own, AGENTS)
    assert capabilities == int(seen["CapEff"], 16) & EVERY
    wait(lambda: facts().get("counters") == source, f"the counters come by {source}")
    assert "NoKernelLog" not in facts().get("capabilities", [])
    own.kubectl("wait", "--for=condition=Ready", "conntrackpolicy/cluster-default")


@pytest.mark.usefixtures("policed")
def test_an_operator_whose_image_is_not_there_is_said_by_helm(own: Cluster) -> None:
    """
    `helm --wait` gives up and names the Deployment; the agents run on as they are.
    """
    before = own.get("pods", "-n", AGENTS)["items"][0]["metadata"]["uid"]
    done = own.helm(
        *("upgrade", RELEASE, CHART, "--namespace", SYSTEM, *values(own)),
        *("--set", "operator.image.repository=missing", "--wait", "--timeout", "15s"),
        check=False,
    )
    pods = own.kubectl("get", "pods", "-n", SYSTEM)
    after = own.get("pods", "-n", AGENTS)["items"][0]["metadata"]["uid"]
    install(own)

    assert 0 != done.returncode
    assert f"{SYSTEM}/conntrack-conntrack-operator" in done.stderr
    assert "ErrImageNeverPull" in pods
    assert before == after


def test_without_crds_it_is_refused(own: Cluster) -> None:
    """
    The last test: without both kinds there is nothing left to test.
    """
    own.helm("uninstall", RELEASE, "--namespace", SYSTEM, "--wait")
    own.kubectl("delete", "crd", "conntrackpolicies.conntrack.dev")
    own.kubectl("delete", "crd", "conntracknodes.conntrack.dev")

    said = refusal(own, RELEASE, SYSTEM, "crds.enabled=false")

    assert "the cluster has no CRD conntrackpolicies.conntrack.dev" in said
    assert "kubectl apply --server-side -f crds/" in said
