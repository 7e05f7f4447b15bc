"""
What each process may ask of the API server, with its own token, as the chart grants it.

The tokens are bound to pods, as the kubelet's are, and so name a node. An admission
policy works some seconds after it was made: nothing is tested before it refuses.
"""

from __future__ import annotations

import copy
import json
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
import yaml
from tests.apiserver.test_node_spec import node as node_object

from conntrack_operator import coverage, daemon_set
from conntrack_operator.coverage import Need
from conntrack_operator.rows import FINALIZER
from control_plane.testing import skip_without_programs
from programs import find_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.apiserver.conftest import Api

    from control_plane import ControlPlane

pytestmark = pytest.mark.apiserver

SYSTEM, AGENTS = "conntrack-system", "conntrack-system-agents"
OPERATOR, AGENT = "conntrack-operator", "conntrack-operator-agent"
OWN, OTHER = "rights-a", "rights-b"

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
KINDS = "/apis/conntrack.dev/v1alpha1"
SETTLE_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody with a token."""

    pool: urllib3.PoolManager
    url: str
    token: str

    def read(self, path: str) -> dict[str, Any]:
        """
        Read an object.
        """
        return self.answer("GET", path)

    def answer(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """
        Send a request that is granted, and give what comes back.
        """
        answer = self._send(method, path, body, "application/json")
        assert answer.status < 300, answer.data
        found: dict[str, Any] = json.loads(answer.data)
        return found

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        content: str = "application/json",
    ) -> tuple[int, str]:
        """
        Send one request.

        Returns:
            Status and the sentence of a refusal.
        """
        answer = self._send(method, path, body, content)
        try:
            said = json.loads(answer.data)
        except ValueError:
            said = {}
        return answer.status, str(said.get("message", ""))

    def _send(
        self, method: str, path: str, body: object, content: str
    ) -> urllib3.BaseHTTPResponse:
        """
        Send one request.
        """
        return self.pool.request(
            method,
            self.url + path,
            body=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": content},
        )


def pod(name: str, namespace: str, account: str, node: str) -> dict[str, Any]:
    """
    Make a pod that runs on a node, for its token.
    """
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "serviceAccountName": account,
            "nodeName": node,
            "containers": [{"name": "x", "image": "x"}],
        },
    }


def status(name: str, generation: int = 1) -> dict[str, Any]:
    """
    Make a status as an agent applies it.
    """
    return {
        "apiVersion": "conntrack.dev/v1alpha1",
        "kind": "ConntrackNode",
        "metadata": {"name": name},
        "status": {"observedGeneration": generation},
    }


def status_path(
    name: str, *, manager: str = "conntrack-agent", force: bool = True
) -> str:
    """
    Give the way to a status, as agents take it.
    """
    query = f"fieldManager={manager}{'&force=true' if force else ''}"
    return f"{KINDS}/conntracknodes/{name}/status?{query}"


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane, api: Api) -> Iterator[ControlPlane]:
    """
    Install what the chart makes, with two nodes and a pod of each process.
    """
    with skip_without_programs():
        helm = find_program("helm")
    done = subprocess.run(
        [
            *(str(helm), "template", OPERATOR, "charts/conntrack-operator"),
            *("--namespace", SYSTEM, "--set", "crds.enabled=false"),
            # The widest template: the operator copies it, and its policies compare.
            *("--set", "agent.kernelLog=true"),
            *("--set", "agent.hostFiles={/etc/sysctl.d,/usr/lib/tuned}"),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    wanted = [
        each
        for each in yaml.safe_load_all(done.stdout)
        if each and each["kind"] not in {"Pod", "Deployment", "DaemonSet", "ConfigMap"}
    ]
    wanted.insert(
        0, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}
    )
    for name in (OWN, OTHER):
        meta = {"name": name}
        wanted.append({"apiVersion": "v1", "kind": "Node", "metadata": meta})
        wanted.append(pod(f"agent-{name}", AGENTS, AGENT, name))
        wanted.append(node_object(name))
    wanted.append(pod("operator", SYSTEM, OPERATOR, OWN))
    meta = {"name": "anybody", "namespace": SYSTEM}
    wanted.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    text = yaml.safe_dump_all(wanted)
    control_plane.kubectl_run("apply", "--server-side", "-f", "-", input=text)
    yield control_plane
    control_plane.kubectl_run("delete", "--wait=false", "-f", "-", input=text)
    assert api


def caller(
    plane: ControlPlane, namespace: str, account: str, pod: str | None
) -> Caller:
    """
    Give somebody a token of an account.
    """
    token = plane.token_for(namespace, account, pod=pod)
    pool = urllib3.PoolManager(ca_certs=str(plane.ca_file))
    return Caller(pool=pool, url=plane.url, token=token)


def until_refused(somebody: Caller, method: str, path: str, body: object) -> None:
    """
    Wait until the admission policies work.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    while somebody.ask(method, path, body, APPLY)[0] < 400:
        assert time.monotonic() < deadline, "the admission policy never refused"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def agent(installed: ControlPlane) -> Caller:
    """
    Give the agent of the first node.
    """
    somebody = caller(installed, AGENTS, AGENT, f"agent-{OWN}")
    until_refused(somebody, "PATCH", status_path(OTHER), status(OTHER))
    return somebody


@pytest.fixture(scope="module")
def operator(installed: ControlPlane) -> Caller:
    """
    Give the operator.
    """
    return caller(installed, SYSTEM, OPERATOR, "operator")


SPEC = {
    "apiVersion": "conntrack.dev/v1alpha1",
    "kind": "ConntrackNode",
    "metadata": {"name": OWN},
    "spec": {"mode": "Observe"},
}
NODES, POLICIES = f"{KINDS}/conntracknodes", f"{KINDS}/conntrackpolicies"
POD = pod("evil", AGENTS, AGENT, OTHER)
APPS = f"/apis/apps/v1/namespaces/{AGENTS}/daemonsets"
DAEMON_SET = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "evil"},
    "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "x", "image": "x"}]},
        },
    },
}
TEMPLATE = f"/api/v1/namespaces/{AGENTS}/podtemplates/{AGENT}"
POLICY = {
    "apiVersion": "conntrack.dev/v1alpha1",
    "kind": "ConntrackPolicy",
    "metadata": {"name": "mine"},
    "spec": {"nodeSelector": {}},
}
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases"
LEASE = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": "conntrack-operator"},
}
REVIEW = "/apis/authentication.k8s.io/v1/tokenreviews"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
GUARDS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TOKEN = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}

AGENT_TABLE: list[tuple[int, str, str, object, str]] = [
    (200, "GET", f"{NODES}/{OWN}", None, ""),
    (200, "GET", f"{NODES}/{OTHER}", None, ""),
    (200, "GET", f"{NODES}?watch=true&timeoutSeconds=1", None, ""),
    (200, "PATCH", status_path(OWN), status(OWN), APPLY),
    (403, "PATCH", status_path(OTHER), status(OTHER), APPLY),
    (403, "PUT", f"{NODES}/{OWN}/status", status(OWN), ""),
    (403, "PATCH", f"{NODES}/{OWN}?fieldManager=x", SPEC, APPLY),
    (403, "PATCH", f"{NODES}/{OWN}", {"metadata": {"finalizers": ["a.b/c"]}}, MERGE),
    (403, "PUT", f"{NODES}/{OWN}", SPEC, ""),
    (403, "POST", NODES, node_object("new"), ""),
    (403, "DELETE", f"{NODES}/{OWN}", None, ""),
    (403, "DELETE", NODES, None, ""),
    (403, "GET", POLICIES, None, ""),
    (403, "POST", POLICIES, POLICY, ""),
    (403, "PATCH", f"{POLICIES}/any", {"spec": {"priority": 9}}, MERGE),
    (403, "DELETE", f"{POLICIES}/any", None, ""),
    (403, "GET", "/api/v1/nodes", None, ""),
    (403, "GET", f"/api/v1/nodes/{OWN}", None, ""),
    (403, "PATCH", f"/api/v1/nodes/{OWN}", {"spec": {"unschedulable": True}}, MERGE),
    (403, "PATCH", f"/api/v1/nodes/{OWN}/status", {"status": {}}, MERGE),
    (403, "GET", "/api/v1/secrets", None, ""),
    (403, "GET", f"/api/v1/namespaces/{AGENTS}/secrets", None, ""),
    (403, "GET", f"/api/v1/namespaces/{AGENTS}/configmaps", None, ""),
    (403, "GET", f"/api/v1/namespaces/{AGENTS}/pods", None, ""),
    (403, "POST", f"/api/v1/namespaces/{AGENTS}/pods", POD, ""),
    (403, "POST", f"/api/v1/namespaces/{AGENTS}/pods/agent-{OWN}/exec", None, ""),
    (403, "DELETE", f"/api/v1/namespaces/{AGENTS}/pods/agent-{OTHER}", None, ""),
    (403, "POST", f"/api/v1/namespaces/{AGENTS}/events", {}, ""),
    (403, "GET", APPS, None, ""),
    (403, "POST", APPS, DAEMON_SET, ""),
    (403, "POST", REVIEW, {"spec": {"token": "x"}}, ""),
    (
        403,
        "POST",
        f"/api/v1/namespaces/{SYSTEM}/serviceaccounts/{OPERATOR}/token",
        TOKEN,
        "",
    ),
    (403, "GET", f"{RBAC}/clusterroles", None, ""),
    (403, "GET", CRD, None, ""),
    (403, "GET", GUARDS, None, ""),
    (403, "DELETE", f"{GUARDS}/{AGENT}-own-node", None, ""),
]

OPERATOR_TABLE: list[tuple[int, str, str, object, str]] = [
    (200, "GET", KINDS, None, ""),
    (200, "GET", POLICIES, None, ""),
    (200, "GET", f"{POLICIES}?watch=true&timeoutSeconds=1", None, ""),
    (200, "GET", NODES, None, ""),
    (200, "GET", f"{NODES}?watch=true&timeoutSeconds=1", None, ""),
    (200, "GET", "/api/v1/nodes", None, ""),
    (200, "GET", f"/api/v1/nodes/{OWN}", None, ""),
    (200, "GET", "/api/v1/nodes?watch=true&timeoutSeconds=1", None, ""),
    (201, "POST", NODES, node_object("rights-new"), ""),
    (200, "DELETE", f"{NODES}/rights-new", None, ""),
    (404, "PATCH", f"{POLICIES}/none", {"metadata": {"finalizers": []}}, MERGE),
    (404, "PATCH", f"{POLICIES}/none/status", {"status": {}}, MERGE),
    (201, "POST", LEASES, LEASE, ""),
    (200, "GET", f"{LEASES}/conntrack-operator", None, ""),
    (403, "GET", f"{LEASES}/another", None, ""),
    (403, "GET", LEASES, None, ""),
    (403, "DELETE", f"{LEASES}/conntrack-operator", None, ""),
    (403, "POST", LEASES.replace(SYSTEM, "kube-system"), LEASE, ""),
    (403, "POST", POLICIES, POLICY, ""),
    (403, "PUT", f"{POLICIES}/none", POLICY, ""),
    (403, "DELETE", f"{POLICIES}/none", None, ""),
    (403, "PATCH", status_path(OWN), status(OWN), APPLY),
    (403, "PATCH", f"/api/v1/nodes/{OWN}", {"spec": {"unschedulable": True}}, MERGE),
    (403, "PATCH", f"/api/v1/nodes/{OWN}/status", {"status": {}}, MERGE),
    (403, "DELETE", f"/api/v1/nodes/{OWN}", None, ""),
    (403, "GET", "/api/v1/secrets", None, ""),
    (403, "GET", f"/api/v1/namespaces/{SYSTEM}/secrets", None, ""),
    (403, "GET", "/api/v1/pods", None, ""),
    (403, "GET", "/api/v1/configmaps", None, ""),
    (403, "POST", f"/api/v1/namespaces/{AGENTS}/pods", POD, ""),
    (403, "POST", f"/api/v1/namespaces/{SYSTEM}/pods", POD, ""),
    (403, "DELETE", f"/api/v1/namespaces/{AGENTS}/pods/agent-{OWN}", None, ""),
    (404, "GET", f"{APPS}/{AGENT}", None, ""),
    (403, "GET", APPS, None, ""),
    (403, "POST", APPS, DAEMON_SET, ""),
    (403, "POST", APPS.replace(AGENTS, SYSTEM), DAEMON_SET, ""),
    (403, "GET", f"{APPS}/evil", None, ""),
    (403, "DELETE", f"{APPS}/evil", None, ""),
    (403, "POST", APPS.replace("daemonsets", "deployments"), DAEMON_SET, ""),
    (200, "GET", TEMPLATE, None, ""),
    (403, "GET", f"/api/v1/namespaces/{AGENTS}/podtemplates", None, ""),
    (403, "PATCH", TEMPLATE, {"template": {}}, MERGE),
    (403, "DELETE", TEMPLATE, None, ""),
    (200, "GET", f"/api/v1/namespaces/{AGENTS}/pods", None, ""),
    (200, "GET", f"/api/v1/namespaces/{AGENTS}/events", None, ""),
    (403, "GET", f"/api/v1/namespaces/{SYSTEM}/pods", None, ""),
    (403, "PATCH", f"{APPS}/{AGENT}", {"metadata": {"labels": {"a": "b"}}}, MERGE),
    (403, "DELETE", f"{APPS}/{AGENT}", None, ""),
    (
        403,
        "POST",
        f"/api/v1/namespaces/{AGENTS}/serviceaccounts/{AGENT}/token",
        TOKEN,
        "",
    ),
    (403, "POST", REVIEW, {"spec": {"token": "x"}}, ""),
    (403, "GET", f"{RBAC}/clusterroles", None, ""),
    (403, "PATCH", f"{RBAC}/clusterroles/{OPERATOR}", {"rules": []}, MERGE),
    (403, "PATCH", f"{CRD}/conntracknodes.conntrack.dev", {"spec": {}}, MERGE),
    (403, "GET", GUARDS, None, ""),
    (403, "DELETE", f"{GUARDS}/{OPERATOR}-no-workloads", None, ""),
]


READ = {"get", "list", "watch"}
AGENT_RIGHTS = {
    "conntracknodes.conntrack.dev": READ,
    "conntracknodes/status.conntrack.dev": {"patch"},
}
OPERATOR_RIGHTS = {
    "nodes": READ,
    "conntrackpolicies.conntrack.dev": {"list", "watch", "patch"},
    "conntrackpolicies/status.conntrack.dev": {"patch"},
    "conntracknodes.conntrack.dev": {"list", "watch", "create", "patch", "delete"},
}
OPERATOR_RIGHTS_IN = {
    "kube-system": {},
    "default": {"events": {"create"}},
    SYSTEM: {
        "leases.coordination.k8s.io": {"create"},
        "leases.coordination.k8s.io conntrack-operator": {"get", "update"},
    },
    AGENTS: {
        "daemonsets.apps": {"create"},
        f"daemonsets.apps {AGENT}": {"get", "update"},
        f"podtemplates {AGENT}": {"get"},
        "pods": {"list"},
        "events": {"list"},
    },
}


def rights(who: Caller, namespace: str) -> dict[str, set[str]]:
    """
    Ask what somebody may do in a namespace and outside of any: resource to verbs.
    """
    review = {"spec": {"namespace": namespace}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    found: dict[str, set[str]] = {}
    for rule in who.answer("POST", path, review)["status"]["resourceRules"]:
        names = [f" {name}" for name in rule.get("resourceNames", [])] or [""]
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                kind = f"{resource}.{group}" if group else resource
                for name in names:
                    found.setdefault(f"{kind}{name}", set()).update(rule["verbs"])
    return found


def told(table: list[tuple[int, str, str, object, str]], who: Caller) -> list[str]:
    """
    Ask everything, and list what was answered otherwise.
    """
    wrong = []
    for code, method, path, body, content in table:
        got, said = who.ask(method, path, body, content or "application/json")
        if got != code:
            wrong.append(f"{method} {path}: {got} instead of {code} {said}")
    return wrong


@pytest.mark.parametrize("namespace", OPERATOR_RIGHTS_IN)
def test_nobody_has_a_right_that_is_not_listed_here(
    installed: ControlPlane, agent: Caller, operator: Caller, namespace: str
) -> None:
    """
    The API server lists every right of both, whichever role it comes from; what every
    account of a cluster has is no right of theirs.
    """
    everybody = rights(caller(installed, SYSTEM, "anybody", None), namespace)
    expected = {**OPERATOR_RIGHTS, **OPERATOR_RIGHTS_IN[namespace]}

    assert {**everybody, **AGENT_RIGHTS} == rights(agent, namespace)
    assert {**everybody, **expected} == rights(operator, namespace)


def test_an_agent_reads_nodes_and_writes_one_status(agent: Caller) -> None:
    """
    Of all requests in the table an agent may do what its work needs, and nothing else.
    """
    assert [] == told(AGENT_TABLE, agent)


def test_the_operator_writes_what_is_its_own_only(operator: Caller) -> None:
    """
    Of all requests in the table the operator may do what its work needs, nothing else.
    """
    assert [] == told(OPERATOR_TABLE, operator)


def test_labels_do_not_come_in_with_a_status(agent: Caller, api: Api) -> None:
    """
    The way to the status leads to nothing else of the object.
    """
    labels = {"metadata": {"labels": {"a": "b"}, "finalizers": ["a.b/c"]}}

    code, said = agent.ask("PATCH", status_path(OWN, force=False), labels, MERGE)

    assert 200 == code, said
    meta = api.send("GET", f"conntracknodes/{OWN}").body["metadata"]
    assert not {"labels", "finalizers"} & set(meta)


def test_an_agent_is_told_why_another_node_is_refused(agent: Caller) -> None:
    """
    The sentence names both nodes: whoever sees it in a log knows what happened.
    """
    _, said = agent.ask("PATCH", status_path(OTHER), status(OTHER), APPLY)

    assert f"this token is of {OWN}, the object is {OTHER}" in said


@pytest.mark.usefixtures("agent")
def test_a_token_of_no_pod_writes_nothing(installed: ControlPlane) -> None:
    """
    A token that somebody asked for by hand names no node.
    """
    unbound = caller(installed, AGENTS, AGENT, None)

    code, said = unbound.ask("PATCH", status_path(OWN), status(OWN), APPLY)

    assert 403 == code
    assert "an agent's token must be that of a pod on a node" in said


def test_an_agent_writes_under_one_name(agent: Caller) -> None:
    """
    The API server notes each name that has written, and an object with ten thousand of
    them is full.
    """
    path = status_path(OWN, manager="another")

    code, said = agent.ask("PATCH", path, status(OWN), APPLY)

    assert 403 == code
    assert "an agent writes as the field manager conntrack-agent" in said


@pytest.mark.usefixtures("agent")
def test_who_speaks_as_an_agent_writes_nothing(installed: ControlPlane) -> None:
    """
    An administrator who impersonates the account has no node's name either; forging it
    takes the right to impersonate extras, as SECURITY.md says.
    """
    done = installed.kubectl_run(
        *(f"--as=system:serviceaccount:{AGENTS}:{AGENT}", "apply", "--server-side"),
        *("--subresource=status", "--force-conflicts", "--filename=-"),
        "--field-manager=conntrack-agent",
        input=json.dumps(status(OWN)),
        check=False,
    )

    assert 0 != done.returncode
    assert "an agent's token must be that of a pod on a node" in done.stderr


@pytest.mark.usefixtures("agent")
def test_more_rights_do_not_make_an_agent_more(installed: ControlPlane) -> None:
    """
    With every right of an administrator an agent still writes its own status only.
    """
    user = f"--serviceaccount={AGENTS}:{AGENT}"
    grant = ("clusterrolebinding", "rights-agent-admin")
    installed.kubectl_run("create", *grant, "--clusterrole=cluster-admin", user)
    try:
        admin = caller(installed, AGENTS, AGENT, f"agent-{OWN}")
        path = f"{NODES}/{OWN}"

        answers = [
            admin.ask("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, MERGE),
            admin.ask("POST", NODES, node_object("new")),
            admin.ask("DELETE", f"{NODES}/{OWN}"),
            admin.ask("POST", POLICIES, POLICY),
        ]
    finally:
        installed.kubectl_run("delete", *grant)

    assert [] == [each for each in answers if each[0] != 403]
    assert {True} == {
        "status of a ConntrackNode and nothing else" in s for _, s in answers
    }


@pytest.mark.usefixtures("written")
def test_more_rights_do_not_let_the_operator_write_workloads(
    installed: ControlPlane, operator: Caller
) -> None:
    """
    With every right of an administrator the operator still makes no pod anywhere.
    """
    user = f"--serviceaccount={SYSTEM}:{OPERATOR}"
    grant = ("clusterrolebinding", "rights-operator-admin")
    installed.kubectl_run("create", *grant, "--clusterrole=cluster-admin", user)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    try:
        until_refused(operator, "POST", f"/api/v1/namespaces/{AGENTS}/secrets", secret)
        answers = [
            operator.ask("POST", APPS.replace(AGENTS, SYSTEM), DAEMON_SET),
            operator.ask("DELETE", f"{APPS}/{AGENT}"),
            operator.ask("PATCH", TEMPLATE, {"template": {}}, MERGE),
            operator.ask("POST", f"/api/v1/namespaces/{AGENTS}/pods", POD),
            operator.ask("DELETE", f"/api/v1/namespaces/{AGENTS}/pods/agent-{OWN}"),
            operator.ask("POST", f"/api/v1/namespaces/{SYSTEM}/secrets", secret),
            operator.ask("DELETE", f"{RBAC}/clusterrolebindings/{grant[1]}"),
        ]
    finally:
        installed.kubectl_run("delete", *grant)

    assert [] == [each for each in answers if each[0] != 403]
    assert {True} == {"ValidatingAdmissionPolicy" in said for _, said in answers}
    assert "the operator writes conntrack.dev objects" in answers[1][1]


@pytest.mark.usefixtures("written")
def test_the_operator_never_edits_a_wish(
    installed: ControlPlane, operator: Caller
) -> None:
    """
    Of a policy it writes status and its own finalizer; the rest is a person's. An owner
    that does not exist would have the policy deleted by Kubernetes itself.
    """
    path = f"{POLICIES}/mine"
    theirs, ours = "a.b/c", FINALIZER
    wish = {**POLICY, "metadata": {"name": "mine", "finalizers": [theirs]}}
    owner = {"apiVersion": "v1", "kind": "Node", "name": OWN, "uid": "gone"}
    installed.kubectl_run("apply", "-f", "-", input=json.dumps(wish))

    def patch(path: str = path, /, **fields: object) -> tuple[int, str]:
        return operator.ask("PATCH", path, fields, MERGE)

    try:
        may = [
            patch(metadata={"finalizers": [theirs, ours]}),
            patch(f"{path}/status", status={}),
            patch(metadata={"finalizers": [theirs]}),
            operator.ask("PATCH", f"{path}?fieldManager=x", POLICY, APPLY),
        ]
        may_not = [
            patch(spec={"priority": 9}),
            patch(metadata={"ownerReferences": [owner]}),
            patch(metadata={"labels": {"a": "b"}}),
            patch(metadata={"annotations": {"a": "b"}}),
            patch(metadata={"finalizers": [theirs, "x.y/z"]}),
            patch(metadata={"finalizers": []}),
        ]
    finally:
        done = json.dumps({"metadata": {"finalizers": None}})
        mine = ("conntrackpolicy", "mine")
        installed.kubectl_run("patch", *mine, "--type=merge", "-p", done)
        installed.kubectl_run("delete", *mine)

    assert {200} == {code for code, _ in may}, may
    assert {403} == {code for code, _ in may_not}, may_not
    assert {True} == {"of a policy the operator writes" in said for _, said in may_not}


SELECTED = frozenset({frozenset({Need("matchExpressions", "pool", "In", ("web",))})})


def daemons(operator: Caller, live: dict[str, Any] | None = None) -> dict[str, Any]:
    """
    Make the DaemonSet as the operator makes it.
    """
    given = daemon_set.template(operator.read(TEMPLATE))
    assert given is not None
    made: dict[str, Any] = copy.deepcopy(dict(daemon_set.wanted(given, SELECTED, live)))
    return made


def pod_spec(made: dict[str, Any]) -> dict[str, Any]:
    """
    Give the spec of the pods.
    """
    found: dict[str, Any] = made["spec"]["template"]["spec"]
    return found


def container(made: dict[str, Any]) -> dict[str, Any]:
    """
    Give the one container of the pods.
    """
    found: dict[str, Any] = pod_spec(made)["containers"][0]
    return found


ETC = {"name": "etc", "hostPath": {"path": "/etc"}}
POD_AFFINITY = {
    "requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "a", "labelSelector": {}}
    ]
}
BENT: dict[str, Callable[[dict[str, Any]], object]] = {
    "another image": lambda made: container(made).update(image="evil"),
    "another command": lambda made: container(made).update(command=["sh"]),
    "other arguments": lambda made: container(made).update(args=["--state-dir=/"]),
    "privileged": lambda made: container(made).update(
        securityContext={"privileged": True}
    ),
    "one more capability": lambda made: container(made)["securityContext"][
        "capabilities"
    ]["add"].append("SYS_ADMIN"),
    "a writable root": lambda made: container(made)["securityContext"].update(
        readOnlyRootFilesystem=False
    ),
    "no seccomp": lambda made: pod_spec(made).update(securityContext={}),
    "the host's processes": lambda made: pod_spec(made).update(hostPID=True),
    "the host's shared memory": lambda made: pod_spec(made).update(hostIPC=True),
    "another network": lambda made: pod_spec(made).update(hostNetwork=False),
    "another folder of the host": lambda made: pod_spec(made)["volumes"].append(ETC),
    "a wider folder": lambda made: pod_spec(made)["volumes"][0]["hostPath"].update(
        path="/"
    ),
    "a mount elsewhere": lambda made: container(made)["volumeMounts"][0].update(
        mountPath="/etc"
    ),
    "another account": lambda made: pod_spec(made).update(
        serviceAccountName="default", serviceAccount="default"
    ),
    "an init container": lambda made: pod_spec(made).update(
        initContainers=[{"name": "x", "image": "x"}]
    ),
    "one more container": lambda made: pod_spec(made)["containers"].append(
        {"name": "x", "image": "x"}
    ),
    "one more variable": lambda made: container(made)["env"].append(
        {"name": "LD_PRELOAD", "value": "x"}
    ),
    "another node selector": lambda made: pod_spec(made).update(nodeSelector={}),
    "no tolerations": lambda made: pod_spec(made).pop("tolerations"),
    "an affinity to pods": lambda made: pod_spec(made)["affinity"].update(
        podAffinity=POD_AFFINITY
    ),
    "one more label": lambda made: made["spec"]["template"]["metadata"][
        "labels"
    ].update(x="y"),
    "one more annotation": lambda made: made["spec"]["template"]["metadata"][
        "annotations"
    ].update({"container.apparmor.security.beta.kubernetes.io/agent": "unconfined"}),
    "pods that cannot be deleted": lambda made: made["spec"]["template"][
        "metadata"
    ].update(finalizers=["a.b/c"]),
    "another name": lambda made: made["metadata"].update(name="evil"),
}


@pytest.fixture(scope="module")
def written(installed: ControlPlane, operator: Caller) -> dict[str, Any]:
    """
    Create the agents' DaemonSet, with the operator's token.
    """
    dry = f"{APPS}?dryRun=All"
    deadline = time.monotonic() + SETTLE_SECONDS
    while "must be those" not in operator.ask("POST", dry, bent(operator))[1]:
        assert time.monotonic() < deadline, "the admission policy never refused"
        time.sleep(0.1)
    assert 201 == operator.ask("POST", APPS, daemons(operator))[0]
    assert installed
    return operator.read(f"{APPS}/{AGENT}")


def bent(operator: Caller) -> dict[str, Any]:
    """
    Make a DaemonSet that must not be.
    """
    made = daemons(operator)
    BENT["another image"](made)
    return made


def test_what_was_written_is_what_is_wanted(
    operator: Caller, written: dict[str, Any]
) -> None:
    """
    The API server fills in the same defaults in both objects: there is no difference.
    """
    assert not daemon_set.differs(written, daemons(operator, written))
    assert SELECTED <= daemon_set.covered(written)


@pytest.mark.parametrize("what", BENT)
def test_the_operator_writes_agents_of_one_shape(
    operator: Caller, written: dict[str, Any], what: str
) -> None:
    """
    The pods are those of the template, when created and when changed.
    """
    new, changed = daemons(operator), daemons(operator, written)
    BENT[what](new)
    BENT[what](changed)

    code, said = operator.ask("POST", f"{APPS}?dryRun=All", new)
    assert (403, True) == (code, "ValidatingAdmissionPolicy" in said), said
    if what != "another name":
        code, said = operator.ask("PUT", f"{APPS}/{AGENT}", changed)
        assert (403, True) == (code, "ValidatingAdmissionPolicy" in said), said


@pytest.mark.parametrize(
    ("what", "field"),
    [("no tolerations", "tolerations"), ("another image", "containers")],
)
def test_the_operator_is_told_what_differs(
    operator: Caller, written: dict[str, Any], what: str, field: str
) -> None:
    """
    Also a field that is missing.
    """
    changed = daemons(operator, written)
    BENT[what](changed)

    _, said = operator.ask("PUT", f"{APPS}/{AGENT}", changed)

    assert said.endswith(f"these differ in {field}")


@pytest.mark.usefixtures("written")
def test_the_operator_may_say_where_agents_run(operator: Caller) -> None:
    """
    Another selection of nodes, a person's restart and another pace are no other shape.
    """
    live = operator.read(f"{APPS}/{AGENT}")
    given = daemon_set.template(operator.read(TEMPLATE))
    assert given is not None
    for where in (coverage.NO_NODE, coverage.EVERY_NODE, SELECTED):
        made = copy.deepcopy(dict(daemon_set.wanted(given, where, live)))
        made["spec"]["updateStrategy"] = {"type": "OnDelete"}
        notes = made["spec"]["template"]["metadata"]["annotations"]
        notes[daemon_set.RESTARTED] = "2026-01-01T00:00:00Z"
        code, said = operator.ask("PUT", f"{APPS}/{AGENT}", made)
        assert 200 == code, said
        live = operator.read(f"{APPS}/{AGENT}")
        assert where == daemon_set.covered(live)
