"""
One cluster for all tests of this folder: a real node of this machine, or a given one.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from control_plane import ControlPlaneError, ControlPlaneUnavailable, find_binaries
from demo.errors import DemoFailed
from e2e.cluster import Cluster, real_node, wait
from e2e.errors import NodeFailed, NodeUnavailable
from e2e.nested import nested_node
from image.errors import ImageUnavailable
from programs import find_program

if TYPE_CHECKING:
    from collections.abc import Iterator

KUBECONFIG = "CONNTRACK_E2E_KUBECONFIG"
"""Environment variable: a cluster to use instead of a node of our own."""

VALUES = "CONNTRACK_E2E_VALUES"
"""Environment variable: a file of values for the chart there, such as a registry."""

KIND = "CONNTRACK_E2E_KIND"
"""Environment variable: 1 for a cluster of kind."""

CANNOT = (NodeUnavailable, ImageUnavailable, ControlPlaneUnavailable)
UNAVAILABLE = 3
"""Exit code where this machine cannot be a node."""

RELEASE, SYSTEM, AGENTS = "conntrack", "conntrack-system", "conntrack-system-agents"
OPERATOR = "conntrack-conntrack-operator"
AGENT = f"{OPERATOR}-agent"
CRDS = ("crd/conntrackpolicies.conntrack.dev", "crd/conntracknodes.conntrack.dev")
POLICY = "conntrackpolicy/cluster-default"
UNINSTALL = ("uninstall", RELEASE, "--namespace", SYSTEM, "--wait")
RELEASE_BY_HAND = ("--type=merge", "-p", '{"metadata":{"finalizers":null}}')
SOON = "--timeout=60s"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """
    Bring up the cluster, or take the one that was named.
    """
    try:
        named_file(VALUES)
        if given := named_file(KUBECONFIG):
            with somebody_elses(given) as cluster:
                yield cluster
            return
        with nested_node() if os.environ.get(KIND) == "1" else real_node() as node:
            yield node
    except (*CANNOT, DemoFailed) as error:
        pytest.exit(str(error), returncode=UNAVAILABLE)
    except (NodeFailed, ControlPlaneError) as error:
        pytest.exit(str(error), returncode=1)


def named_file(variable: str) -> Path | None:
    """
    Find the file that a variable of the command line names; nothing named is fine.

    Raises:
        NodeUnavailable: It is not there. kubectl would take another cluster then.
    """
    word = variable.removeprefix("CONNTRACK_E2E_")
    if not (given := os.environ.get(variable)):
        return None
    if variable == VALUES and not os.environ.get(KUBECONFIG):
        raise NodeUnavailable(
            f"{word} goes with KUBECONFIG: a node of our own has its own"
        )
    file = Path(given).absolute()
    if not file.exists():
        raise NodeUnavailable(f"{word}: no file {file}")
    return file


@contextmanager
def somebody_elses(kubeconfig: Path) -> Iterator[Cluster]:
    """
    Take a cluster that runs already, touch nothing of it, and leave nothing there.

    Raises:
        NodeUnavailable:
            It does not answer, or has what we would change and remove: a
            conntrack-operator, or a namespace of the same name.
    """
    kubectl = shutil.which("kubectl")
    cluster = Cluster(
        kubeconfig=kubeconfig,
        kubectl_program=Path(kubectl) if kubectl else find_binaries().kubectl,
        helm_program=find_program("helm"),
    )
    spaces = (f"namespace/{SYSTEM}", f"namespace/{AGENTS}")
    words = ("get", "--ignore-not-found", "-o", "name", *CRDS, *spaces)
    try:
        there = cluster.kubectl(*words)
    except NodeFailed as error:
        said = str(error).splitlines()[-1]
        raise NodeUnavailable(
            f"the cluster that KUBECONFIG={kubeconfig} names does not answer: {said}"
        ) from error
    if there:
        raise NodeUnavailable(
            f"this run would change and remove what is there: {' '.join(there.split())}"
        )
    yield cluster
    cluster.kubectl("delete", "--ignore-not-found", *CRDS, f"namespace/{SYSTEM}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """
    Name every test that somebody else's cluster or a nested node was spared.
    """
    skipped = terminalreporter.stats.get("skipped", ())
    if skipped and (os.environ.get(KUBECONFIG) or os.environ.get(KIND) == "1"):
        terminalreporter.write_line("left out, since the node is not our own:")
        for each in skipped:
            terminalreporter.write_line(f"  {each.nodeid}")


@pytest.fixture
def own(cluster: Cluster) -> Cluster:
    """
    Give the cluster if it is our own: its kernel may be changed and looked at.
    """
    if cluster.layout is None:
        pytest.skip("this changes or looks into the node, so only on our own")
    return cluster


@pytest.fixture
def nested(cluster: Cluster) -> Cluster:
    """
    Give the cluster if its node is a container, whose timeouts may be changed.
    """
    if not cluster.nested:
        pytest.skip("this is about a node that is a container: make e2e-kind")
    return cluster


def values(cluster: Cluster) -> list[str]:
    """
    Give the values of every installation, as arguments of helm.
    """
    if cluster.nested or cluster.layout is not None:
        return ["--set", "image.pullPolicy=Never"]
    given = named_file(VALUES)
    return ["--values", str(given)] if given else []


def install(
    cluster: Cluster, *more: str, chart: str = "charts/conntrack-operator"
) -> None:
    """
    Install or upgrade our release, and wait until it is ready.
    """
    done = cluster.helm(
        *("upgrade", "--install", RELEASE, chart),
        *("--namespace", SYSTEM, "--create-namespace", "--wait", "--timeout", "120s"),
        *(*values(cluster), *more),
        check=False,
    )
    assert 0 == done.returncode, done.stderr + cluster.kubectl("get", "events", "-A")


def daemon_set(cluster: Cluster) -> Any:  # noqa: ANN401 - any object
    """
    Read the agents' DaemonSet; nothing while there is none.
    """
    found = cluster.get("daemonsets", "-n", AGENTS)["items"]
    return next((each for each in found if each["metadata"]["name"] == AGENT), None)


def settled(cluster: Cluster, agents: int) -> bool:
    """
    Tell whether so many agents run and no other, all of them as the template is now.
    """
    found = daemon_set(cluster)
    templates = cluster.get("podtemplates", "-n", AGENTS)["items"]
    if found is None or [AGENT] != [each["metadata"]["name"] for each in templates]:
        return False
    status, now = found["status"], found["metadata"]["generation"]
    counts = ("desiredNumberScheduled", "numberReady", "updatedNumberScheduled")
    return bool(
        gist(templates[0]["template"]) == gist(found["spec"]["template"])
        and status.get("observedGeneration") == now
        and {agents} == {status.get(each, 0) for each in counts}
        and agents == len(cluster.get("pods", "-n", AGENTS)["items"])
    )


def gist(template: Any) -> Any:  # noqa: ANN401 - any template of pods
    """
    Give what the operator takes over: all but the selection of nodes.
    """
    spec = {key: value for key, value in template["spec"].items() if key != "affinity"}
    return spec, template["metadata"].get("annotations")


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> Iterator[Cluster]:
    """
    Install once for all tests that only look.
    """
    install(cluster)
    yield cluster
    cluster.helm(*UNINSTALL, check=False)


@pytest.fixture
def policed(own: Cluster, installed: Cluster) -> Cluster:
    """
    Install, and have a policy that every node obeys.
    """
    installed.kubectl("apply", "-f", "examples/cluster-default.yaml")
    ready = ("wait", "--for=condition=Ready", "conntrackpolicy/cluster-default")
    own.kubectl(*ready, "--timeout=60s")
    wait(lambda: settled(own, 1), "the agent is ready")
    return own


@pytest.fixture
def fresh(own: Cluster) -> Iterator[Cluster]:
    """
    Install; whatever a test leaves is removed afterwards.
    """
    install(own)
    yield own
    own.helm(*UNINSTALL, check=False)
    own.kubectl("patch", POLICY, *RELEASE_BY_HAND, check=False)
    own.kubectl("delete", "--ignore-not-found", SOON, *CRDS)
    spaces = (f"namespace/{SYSTEM}", f"namespace/{AGENTS}")
    own.kubectl("delete", "--ignore-not-found", SOON, *spaces)
