"""
What the tokens of the running pods are worth: the tables of tests/apiserver, once more.
"""

from __future__ import annotations

import base64
import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
import yaml
from tests.apiserver.test_node_spec import node as node_object
from tests.apiserver.test_rights import (
    AGENT_TABLE,
    BENT,
    OTHER,
    OWN,
    POD,
    Caller,
    told,
)
from tests.e2e.conftest import AGENT, AGENTS, SYSTEM, daemon_set
from tests.e2e.test_2_rights import container

from e2e.layout import NODE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster import Cluster

pytestmark = pytest.mark.e2e

TOKEN = "cat /var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - no secret
APPS = f"/apis/apps/v1/namespaces/{AGENTS}/daemonsets"


def somebody(cluster: Cluster, namespace: str) -> Caller:
    """
    Take the token out of the one pod of a namespace.
    """
    (config,) = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"]
    authority = base64.b64decode(config["cluster"]["certificate-authority-data"])
    return Caller(
        pool=urllib3.PoolManager(ca_cert_data=authority.decode()),
        url=config["cluster"]["server"],
        token=cluster.inside(container(cluster, namespace), TOKEN),
    )


@pytest.fixture
def other(policed: Cluster) -> Iterator[Cluster]:
    """
    Have the object of another node.
    """
    policed.kubectl("apply", "-f", "-", given=json.dumps(node_object(OTHER)))
    yield policed
    policed.kubectl("delete", "--ignore-not-found", "conntracknode", OTHER)


def test_the_agents_own_token(other: Cluster) -> None:
    """
    It reads nodes and writes one status; the other requests of the table are refused.
    """
    agent = somebody(other, AGENTS)
    text = json.dumps(AGENT_TABLE).replace(OWN, NODE)
    # The agent that runs has something better to say of its node.
    here = json.loads(text.replace("force=true", "force=true&dryRun=All"))

    assert [] == told(here, agent)
    assert 25 <= len(here)
    print(*(f"{row[0]} {row[1]} {row[2]}" for row in here), sep="\n")  # noqa: T201 - for `pytest -s`


@pytest.mark.parametrize("what", sorted(set(BENT) - {"another name"}))
def test_the_operators_own_token_bends_no_agent(policed: Cluster, what: str) -> None:
    """
    The agents' DaemonSet stays in the shape of its template.
    """
    operator = somebody(policed, SYSTEM)
    changed: dict[str, Any] = copy.deepcopy(daemon_set(policed))
    BENT[what](changed)

    code, said = operator.ask("PUT", f"{APPS}/{AGENT}?dryRun=All", changed)

    assert (403, True) == (code, "ValidatingAdmissionPolicy" in said), said


def test_the_operators_own_token_makes_no_pod(policed: Cluster) -> None:
    """
    Neither a pod nor another DaemonSet, in either namespace, and no secret is read.
    """
    operator = somebody(policed, SYSTEM)
    evil = copy.deepcopy(daemon_set(policed))
    evil["metadata"] = {"name": "evil"}
    answers = [
        operator.ask("POST", f"{APPS}?dryRun=All", evil),
        operator.ask("POST", APPS.replace(AGENTS, SYSTEM) + "?dryRun=All", evil),
        operator.ask("POST", f"/api/v1/namespaces/{AGENTS}/pods?dryRun=All", POD),
        operator.ask("POST", f"/api/v1/namespaces/{SYSTEM}/pods?dryRun=All", POD),
        operator.ask("GET", "/api/v1/secrets"),
        operator.ask("DELETE", f"{APPS}/{AGENT}?dryRun=All"),
    ]

    assert {403} == {code for code, _ in answers}, answers
