"""
What the chart makes of its values.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.charts.conftest import CHART, ROOT, one, pod_specs, pod_template

from conntrack_agent.configured import SYSCTL_CONF, configured
from conntrack_agent.tuned import ACTIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.charts.conftest import Helm

EVERYTHING = (
    "operator.networkPolicy.enabled=true",
    "apiServer.host=192.0.2.1",
    'global.imagePullSecrets:=["pull"]',
    "commonLabels.team=net",
    "operator.nodeSelector.pool=infra",
    "operator.priorityClassName=system-cluster-critical",
    "agent.nodeSelector.pool=all",
    "operator.metrics.enabled=true",
    "agent.metrics.enabled=true",
    "agent.kernelLog=true",
    'agent.hostFiles:=["/etc/sysctl.d"]',
    "monitoring.podMonitor.enabled=true",
    "monitoring.podMonitor.interval=30s",
)


def test_lint_finds_nothing(helm: Helm) -> None:
    """
    Also in strict mode.
    """
    done = helm.run("lint", "--strict", str(CHART))

    assert 0 == done.returncode, done.stdout


@pytest.mark.parametrize("sets", [(), EVERYTHING], ids=["defaults", "everything"])
def test_nothing_is_null_or_empty(helm: Helm, sets: tuple[str, ...]) -> None:
    """
    GitOps tools never stop to see a difference where a field is null or an empty map.
    """
    objects = helm.render(*sets)
    ours = [each for each in objects if each["kind"] != "CustomResourceDefinition"]

    assert [] == [path for each in ours for path in empty(each, each["kind"])]


def empty(value: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - any YAML value
    """
    Name what holds nothing.
    """
    if value in (None, {}, []):
        yield path
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from empty(each, f"{path}.{key}")
    elif isinstance(value, list):
        for each in value:
            yield from empty(each, path)


def test_one_registry_reaches_every_image(helm: Helm) -> None:
    """
    Also the image that `helm test` runs.
    """
    objects = helm.render("global.imageRegistry=mirror.example", "image.tag=v7")
    images = {
        container["image"]
        for spec in pod_specs(objects).values()
        for container in spec["containers"] + spec.get("initContainers", [])
    }

    assert {
        "mirror.example/conntrack-operator:v7",
        "mirror.example/conntrack-agent:v7",
    } == images


def test_pull_secrets_are_names_or_references(helm: Helm) -> None:
    """
    A parent chart hands down whatever its other charts take.
    """
    sets = 'global.imagePullSecrets:=["a",{"name":"b"}]'

    assert {"[{'name': 'a'}, {'name': 'b'}]"} == {
        str(spec["imagePullSecrets"]) for spec in pod_specs(helm.render(sets)).values()
    }


def test_a_digest_wins_over_the_tag(helm: Helm) -> None:
    """
    What was verified is what runs.
    """
    digest = "sha256:" + "0" * 64
    spec = pod_specs(helm.render(f"agent.image.digest={digest}", "image.tag=v7"))

    agent = spec["PodTemplate/one-conntrack-operator-agent"]["containers"][0]
    assert f"conntrack-agent@{digest}" == agent["image"]


def test_the_flavour_is_the_end_of_the_tag(helm: Helm) -> None:
    """
    ``debug`` changes both images and nothing else.
    """
    plain, debug = helm.template().stdout, helm.template("image.flavour=debug").stdout

    assert plain.count(":0.1.0") == debug.count(":0.1.0-debug")
    assert plain == debug.replace(":0.1.0-debug", ":0.1.0")


def test_the_agent_has_these_rights_and_no_more(helm: Helm) -> None:
    """
    Every right that a scanner would report stands here.
    """
    spec = pod_specs(helm.render())["PodTemplate/one-conntrack-operator-agent"]
    container = spec["containers"][0]

    assert spec["hostNetwork"] is True
    assert not {"hostPID", "hostIPC", "initContainers"} & set(spec)
    assert {
        "runAsUser": 0,
        "runAsGroup": 0,
        "readOnlyRootFilesystem": True,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
    } == container["securityContext"]
    assert {"seccompProfile": {"type": "RuntimeDefault"}} == spec["securityContext"]
    assert {
        "/host/proc/sys/net": "/proc/sys/net",
        "/host/sys/module": "/sys/module",
        "/var/lib/conntrack-operator": "/var/lib/conntrack-operator",
    } == {
        mount["mountPath"]: volume["hostPath"]["path"]
        for mount, volume in zip(
            container["volumeMounts"], spec["volumes"], strict=True
        )
    }


def test_without_netlink_the_agent_has_no_capability(helm: Helm) -> None:
    """
    The kernel lets root write these files without any.
    """
    spec = pod_specs(helm.render("agent.netAdmin=false"))
    container = spec["PodTemplate/one-conntrack-operator-agent"]["containers"][0]

    assert {"drop": ["ALL"]} == container["securityContext"]["capabilities"]


@pytest.mark.parametrize(
    ("sets", "added"),
    [
        ((), ["NET_ADMIN"]),
        (("agent.kernelLog=true",), ["NET_ADMIN", "SYSLOG"]),
        (("agent.kernelLog=true", "agent.netAdmin=false"), ["SYSLOG"]),
        (("agent.kernelLog=true", "agent.privileged=true"), None),
    ],
)
def test_the_log_of_the_kernel_takes_a_right_of_its_own(
    helm: Helm, sets: tuple[str, ...], added: list[str] | None
) -> None:
    """
    The agent is told, and has the capability, only where somebody asks for it.
    """
    spec = pod_specs(helm.render(*sets))["PodTemplate/one-conntrack-operator-agent"]
    container = spec["containers"][0]

    capabilities = container["securityContext"].get("capabilities", {})
    assert added == capabilities.get("add")
    assert ("agent.kernelLog=true" in sets) is (
        "--kernel-log=read" in container["args"]
    )


def test_no_configuration_of_the_host_is_mounted_unless_named(helm: Helm) -> None:
    """
    Each directory at its own path below one, read-only; a missing one is not created.
    """
    wanted = ["/etc/sysctl.d", "/usr/lib/tuned"]
    name = "PodTemplate/one-conntrack-operator-agent"
    plain = pod_specs(helm.render())[name]
    spec = pod_specs(helm.render(f"agent.hostFiles:={json.dumps(wanted)}"))[name]
    container = spec["containers"][0]

    more = [each for each in spec["volumes"] if each not in plain["volumes"]]
    assert [
        {"name": name, "hostPath": {"path": path, "type": "Directory"}}
        for name, path in zip(
            ("files-etc-sysctl-d", "files-usr-lib-tuned"), wanted, strict=True
        )
    ] == more
    mounts = container["volumeMounts"][len(plain["containers"][0]["volumeMounts"]) :]
    assert [
        {"name": each["name"], "mountPath": f"/host/files{path}", "readOnly": True}
        for each, path in zip(more, wanted, strict=True)
    ] == mounts
    assert "--host-files=/host/files" in container["args"]
    assert "host-files" not in str(plain)


def test_whatever_an_agent_reads_may_be_named_and_nothing_else(helm: Helm) -> None:
    """
    The schema's list is that of the agent's own code, but for a single file.
    """
    schema = json.loads((CHART / "values.schema.json").read_text())
    named = schema["properties"]["agent"]["properties"]["hostFiles"]["items"]["enum"]
    looked = Looked()
    configured(looked)

    folders = {each for each in looked.asked if each != SYSCTL_CONF}
    assert folders == {each for each in folders if each.startswith(tuple(named))}
    assert set(named) == {
        each for each in named if any(path.startswith(each) for path in folders)
    }
    spec = pod_specs(helm.render(f"agent.hostFiles:={json.dumps(named)}"))
    volumes = spec["PodTemplate/one-conntrack-operator-agent"]["volumes"]
    assert len(volumes) == len({each["name"] for each in volumes})


class Looked:
    """
    Files that note what is asked for; TuneD has an active profile.
    """

    def __init__(self) -> None:
        """
        Start with nothing asked for.
        """
        self.asked: set[str] = set()

    def names(self, folder: str) -> tuple[str, ...]:
        """
        List a folder.
        """
        self.asked.add(folder)
        return ()

    def read(self, file: str) -> str:
        """
        Read a file.
        """
        self.asked.add(file)
        return "balanced" if file == ACTIVE else ""


def test_privileged_is_one_switch(helm: Helm) -> None:
    """
    Capabilities and the ban of escalation would contradict it.
    """
    spec = pod_specs(helm.render("agent.privileged=true"))
    context = spec["PodTemplate/one-conntrack-operator-agent"]["containers"][0][
        "securityContext"
    ]

    assert context["privileged"] is True
    assert not {"capabilities", "allowPrivilegeEscalation"} & set(context)


def test_everything_else_is_restricted(helm: Helm) -> None:
    """
    All pods but the agents' hold to the Pod Security level ``restricted``.
    """
    specs = pod_specs(helm.render())
    del specs["PodTemplate/one-conntrack-operator-agent"]

    for spec in specs.values():
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert "hostNetwork" not in spec
        context = spec["containers"][0]["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert {"drop": ["ALL"]} == context["capabilities"]


def test_why_a_process_ended_stands_in_its_pod(helm: Helm) -> None:
    """
    `kubectl describe pod` and the policies say it, and nobody has to ask for logs.
    """
    specs = pod_specs(helm.render())
    del specs["Pod/one-conntrack-operator-test"]

    for spec in specs.values():
        policy = spec["containers"][0]["terminationMessagePolicy"]
        assert "FallbackToLogsOnError" == policy


def test_no_role_has_a_wildcard_or_reads_secrets(helm: Helm) -> None:
    """
    Roles name what they grant.
    """
    for each in helm.render():
        for rule in each.get("rules", []) if each["kind"].endswith("Role") else []:
            granted = rule["verbs"] + rule["resources"] + rule["apiGroups"]
            assert not {"*", "secrets", "escalate", "bind"} & set(granted)


def test_only_changed_settings_restart_pods(helm: Helm) -> None:
    """
    The checksum is of the values: a log level restarts the operator and no agent.
    """

    def sums(*sets: str) -> list[str]:
        objects = helm.render(*sets)
        found = (one(objects, kind) for kind in ("Deployment", "PodTemplate"))
        key = "checksum/config"
        return [pod_template(each)["metadata"]["annotations"][key] for each in found]

    before, after = sums(), sums("operator.config.logLevel=debug")

    assert before[0] != after[0]
    assert before[1] == after[1]


def test_agents_stay_off_virtual_nodes(helm: Helm) -> None:
    """
    Those have no kernel of their own; an affinity of the user's replaces the rule.
    """
    name = "PodTemplate/one-conntrack-operator-agent"
    default = pod_specs(helm.render())[name]["affinity"]
    own = pod_specs(helm.render('agent.affinity:={"nodeAffinity":{"x":[]}}'))[name]
    off = pod_specs(helm.render("agent.excludeVirtualNodes=false"))[name]

    assert "fargate" in str(default)
    assert "virtual-kubelet" in str(default)
    assert {"nodeAffinity": {"x": []}} == own["affinity"]
    assert "affinity" not in off


@pytest.mark.parametrize("name", ["conntrackpolicies", "conntracknodes"])
def test_crds_are_those_of_the_checkout(helm: Helm, name: str) -> None:
    """
    The chart's copy says the same, and stays when the chart goes if wanted.
    """
    path = ROOT / "crds" / f"{name}.yaml"
    wanted = yaml.safe_load(path.read_text())
    full = f"{name}.conntrack.dev"

    kept = one(helm.render(), "CustomResourceDefinition", full)
    loose = one(helm.render("crds.keep=false"), "CustomResourceDefinition", full)
    without = helm.render("crds.enabled=false")

    assert wanted["spec"] == kept["spec"] == loose["spec"]
    # By this the chart knows CRDs that kubectl applied.
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = {"conntrack.dev/version": about["appVersion"]}
    assert version == wanted["metadata"]["annotations"]
    assert version.items() <= kept["metadata"]["annotations"].items()
    assert "keep" == kept["metadata"]["annotations"]["helm.sh/resource-policy"]
    assert "helm.sh/resource-policy" not in loose["metadata"]["annotations"]
    assert "CustomResourceDefinition" not in {each["kind"] for each in without}


def test_a_pods_label_wins_over_one_for_every_object(helm: Helm) -> None:
    """
    And stands there once, see `Strict`.
    """
    objects = helm.render(
        "commonLabels.team=all", "commonLabels.at=here", "agent.podLabels.team=net"
    )
    found = {
        each["kind"]: pod_template(each)["metadata"]["labels"]
        for each in objects
        if each["kind"] in ("Deployment", "PodTemplate")
    }

    agent, operator = found["PodTemplate"], found["Deployment"]
    assert ("net", "here") == (agent["team"], agent["at"])
    assert ("all", "here") == (operator["team"], operator["at"])


@pytest.mark.parametrize(
    ("namespace", "override"),
    [("conntrack-system", "n" * 80), ("n" * 62, "n" * 80), ("n" * 56, f"{'n' * 44}--")],
)
def test_names_stay_short_and_distinct(
    helm: Helm, namespace: str, override: str
) -> None:
    """
    However long release and namespace are called, and wherever a name is cut.
    """
    words = ("one", str(CHART), "--namespace", namespace)
    done = helm.run("template", *words, "--set", f"fullnameOverride={override}x")
    assert 0 == done.returncode, done.stderr
    objects = [each for each in yaml.safe_load_all(done.stdout) if each]

    names = [
        each["metadata"][key]
        for each in objects
        if each["kind"] != "CustomResourceDefinition"
        for key in ("name", "namespace")
        if key in each["metadata"]
    ]
    form = re.compile("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
    assert [] == [name for name in names if not form.fullmatch(name)]
    keys = [
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for each in objects
    ]
    assert len(keys) == len(set(keys))


def test_roles_can_be_left_out(helm: Helm) -> None:
    """
    For clusters where others make them.
    """
    objects = helm.render(
        "rbac.create=false", "rbac.bindAgentToNode=false", "rbac.guardOperator=false"
    )

    kinds = {each["kind"] for each in objects}
    assert not {kind for kind in kinds if re.search("Role|Admission", kind)}


def test_the_operator_may_speak_to_the_api_server_that_was_named(helm: Helm) -> None:
    """
    Whatever its port, and without naming it twice.
    """
    sets = ("operator.networkPolicy.enabled=true", "apiServer.host=192.0.2.1")
    policy = one(helm.render(*sets, "apiServer.port=8443"), "NetworkPolicy")
    usual = one(helm.render(*sets), "NetworkPolicy")

    assert [443, 6443, 8443] == [
        each["port"] for each in policy["spec"]["egress"][1]["ports"]
    ]
    assert [443, 6443] == [each["port"] for each in usual["spec"]["egress"][1]["ports"]]


def test_metrics_are_off_by_default(helm: Helm) -> None:
    """
    Nothing listens that nobody asked for.
    """
    text = helm.template("crds.enabled=false").stdout

    assert not re.search("(?i)metrics|PodMonitor", text)


def test_metrics_are_one_switch_for_each_process(helm: Helm) -> None:
    """
    The process is told, the port has a name, and the policy of the network lets it in.
    """
    objects = helm.render(*EVERYTHING, "agent.metrics.port=9999")
    config = one(objects, "ConfigMap", "one-conntrack-operator")["data"]
    specs = pod_specs(objects)
    operator = specs["Deployment/one-conntrack-operator"]["containers"][0]
    agent = specs["PodTemplate/one-conntrack-operator-agent"]["containers"][0]

    assert "8081" == config["CONNTRACK_OPERATOR_METRICS_PORT"]
    assert {"name": "metrics", "containerPort": 8081} in operator["ports"]
    (ingress,) = one(objects, "NetworkPolicy")["spec"]["ingress"]
    assert {"port": 8081} in ingress["ports"]
    assert [{"name": "metrics", "containerPort": 9999, "hostPort": 9999}] == agent[
        "ports"
    ]
    assert "--metrics-address=[$(HOST_IP)]:9999" in agent["args"]
    assert "HOST_IP" in {each["name"] for each in agent["env"]}


def test_an_address_replaces_that_of_the_node(helm: Helm) -> None:
    """
    Also one of IPv6.
    """
    sets = ("agent.metrics.enabled=true", "agent.metrics.address=::1")
    spec = pod_specs(helm.render(*sets))["PodTemplate/one-conntrack-operator-agent"]
    container = spec["containers"][0]

    assert "--metrics-address=[::1]:9464" in container["args"]
    assert "HOST_IP" not in {each["name"] for each in container["env"]}


def test_pod_monitors_find_the_pods(helm: Helm) -> None:
    """
    One in each namespace, selecting by labels that the pods have.
    """
    objects = helm.render(*EVERYTHING, "monitoring.podMonitor.labels.release=prom")
    monitors = [each for each in objects if each["kind"] == "PodMonitor"]
    pods = [
        pod_template(one(objects, "Deployment"))["metadata"]["labels"],
        pod_template(one(objects, "PodTemplate"))["metadata"]["labels"],
    ]

    assert 2 == len(monitors)
    for monitor, labels in zip(monitors, pods, strict=True):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= labels.items()
        assert "prom" == monitor["metadata"]["labels"]["release"]
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert ("metrics", "30s") == (endpoint["port"], endpoint["interval"])
