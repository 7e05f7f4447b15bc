"""
What the chart refuses to render, and what it says.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.charts.conftest import CHART

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.charts.conftest import Helm, Json


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (["agent.hostNetwork=false"], "the host's network namespace only"),
        (
            ["agent.namespace.name=conntrack-system"],
            "set agent.namespace.create=false to share it",
        ),
        (["agent.namespace.name=kube-system"], "cannot be made by a chart"),
        (["agent.namespace.name=default"], "cannot be made by a chart"),
        (
            [
                "agent.namespace.create=false",
                "agent.serviceAccount.name=x",
                "operator.serviceAccount.name=x",
            ],
            "must not share the service account",
        ),
        (
            ["agent.privileged=true", "agent.netAdmin=false"],
            "agent.netAdmin=false cannot hold",
        ),
        (
            [
                "agent.excludeVirtualNodes=false",
                'agent.affinity:={"nodeAffinity":{}}',
            ],
            "has no effect beside agent.affinity",
        ),
        (["monitoring.podMonitor.enabled=true"], "finds nothing to scrape"),
        (
            ["operator.metrics.enabled=true", "operator.metrics.port=8080"],
            "two servers cannot share a port",
        ),
        (
            ["image.flavour=debug", f"agent.image.digest=sha256:{'0' * 64}"],
            "a digest wins over the tag",
        ),
        (
            [
                "monitoring.podMonitor.enabled=true",
                "agent.metrics.enabled=true",
                "agent.metrics.address=127.0.0.1",
            ],
            "agent.metrics.address=127.0.0.1 cannot be reached from another host",
        ),
        (["agent.stateDir=/run/conntrack"], "must outlive a reboot"),
        (["agent.stateDir=/proc/sys/net"], "must outlive a reboot"),
        (
            [r"commonLabels.app\.kubernetes\.io/name=x"],
            "commonLabels: the label app.kubernetes.io/name is the chart's own",
        ),
        (
            [r"agent.podLabels.app\.kubernetes\.io/component=operator"],
            "agent.podLabels: the label app.kubernetes.io/component is the chart's own",
        ),
        (
            ["operator.podAnnotations.checksum/config=x"],
            "operator.podAnnotations: the annotation checksum/config is the chart's",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(
    helm: Helm, sets: list[str], words: str
) -> None:
    """
    A bad combination ends before anything is installed.
    """
    assert words in helm.refusal(*sets)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("agent.hostnetwork=true", "'hostnetwork' not allowed"),
        ("operator.config.loglevel=debug", "'loglevel' not allowed"),
        ("operator.config.logLevel=loud", "/operator/config/logLevel"),
        ("agent.image.digest=latest", "/agent/image/digest"),
        ("agent.stateDir=relative", "/agent/stateDir"),
        ("agent.stateDir=/", "/agent/stateDir"),
        ('agent.hostFiles:=["/etc"]', "/agent/hostFiles/0"),
        ('agent.hostFiles:=["/etc/sysctl.conf"]', "/agent/hostFiles/0"),
        ('agent.hostFiles:=["/etc/sysctl.d/../shadow"]', "/agent/hostFiles/0"),
        ('agent.hostFiles:=["/etc/tuned","/etc/tuned"]', "/agent/hostFiles"),
        ("agent.updateStrategy.maxUnavailable=0%", "maxUnavailable"),
        ("agent.config.observeSeconds=0", "observeSeconds"),
        ("agent.config.observeSeconds=0.05", "observeSeconds"),
        ("agent.config.observeSeconds=60.1", "observeSeconds"),
        ("operator.livenessPort=99999", "livenessPort"),
        ("agent.metrics.address=example.com", "/agent/metrics/address"),
        ("monitoring.podMonitor.interval=often", "/monitoring/podMonitor/interval"),
        ("crds.enabled=yes", "/crds/enabled"),
        ("fullnameOverride=Our_Own", "/fullnameOverride"),
        ("nameOverride=our own", "/nameOverride"),
        (f"agent.namespace.name={'n' * 64}", "/agent/namespace/name"),
        ("agent.serviceAccount.name=A", "/agent/serviceAccount/name"),
        ("agent.priorityClassName=very high", "/agent/priorityClassName"),
        ("image.registry=https://registry.example.com", "/image/registry"),
        ("global.imageRegistry=registry example", "/global/imageRegistry"),
        ("image.tag=conntrack:1", "/image/tag"),
        ("agent.image.repository=", "/agent/image/repository"),
        ("operator.image.repository=operator:1", "/operator/image/repository"),
        ('global.imagePullSecrets:=[""]', "/global/imagePullSecrets/0"),
        ("apiServer.host=https://192.0.2.1", "/apiServer/host"),
        ("apiServer.host=192.0.2.1:6443", "/apiServer/host"),
        ("agent.stateDir=/var/lib/../x", "/agent/stateDir"),
        ("agent.stateDir=/var/lib/x: y", "/agent/stateDir"),
        ("agent.metrics.address=abc", "/agent/metrics/address"),
        ("agent.updateStrategy.maxUnavailable=9999999999", "maxUnavailable"),
        ("operator.resources.limit.memory=1Gi", "'limit' not allowed"),
        ("operator.resources.limits.memory=1 GB", "/operator/resources/limits/memory"),
        ("agent.resources.limits.memory=-1", "/agent/resources/limits/memory"),
        ('agent.tolerations:=[{"kye":"x"}]', "'kye' not allowed"),
        ('operator.affinity:={"nodeAfinity":{}}', "'nodeAfinity' not allowed"),
        ('operator.extraEnv:=[{"value":"x"}]', "missing property 'name'"),
        ('operator.networkPolicy.apiServerCIDRs:=["192.0.2.1"]', "apiServerCIDRs/0"),
        ("operator.networkPolicy.apiServerPorts:=[]", "apiServerPorts"),
        ("commonLabels.team=net work", "/commonLabels/team"),
        ('global.imagePullSecrets:=[{"nam":"x"}]', "/global/imagePullSecrets/0"),
        ('extraObjects:=[{"metadata":{}}]', "missing properties 'apiVersion', 'kind'"),
    ],
)
def test_a_misspelt_value_is_refused_by_name(
    helm: Helm, setting: str, words: str
) -> None:
    """
    The schema is closed everywhere but for maps that are the user's own.
    """
    assert words in helm.refusal(setting)


@pytest.mark.parametrize(
    "setting",
    [
        "apiServer.host=fd00::1",
        "global.imageRegistry=[fd00::1]:5000/mirror/",
        "operator.image.repository=registry.example.com:5000/net/conntrack__operator",
        "agent.serviceAccount.name=their.account",
        "agent.metrics.address=::",
        "agent.config.observeSeconds=0.5",
        "agent.config.observeSeconds=60",
        "agent.config.observeSeconds:=0.5",
        "agent.resources:={}",
        'agent.resources:={"limits":{"memory":0.5,"cpu":"1e3"}}',
        "agent.priorityClassName=",
        'operator.networkPolicy.apiServerCIDRs:=["fd00::/8"]',
    ],
)
def test_what_kubernetes_takes_the_schema_takes(helm: Helm, setting: str) -> None:
    """
    Forms that are right and seldom.
    """
    assert helm.render(setting)


def test_a_value_that_was_taken_away_is_named(helm: Helm) -> None:
    """
    `null` takes a default away, and `helm upgrade --reuse-values` lacks what is new in
    the chart: no template then stumbles over it.
    """
    assert "at '/operator': missing property 'metrics'" in helm.refusal(
        "operator.metrics=null"
    )
    assert "at '/crds': missing property 'keep'" in helm.refusal("crds.keep=null")


def test_what_may_be_empty_may_be_missing(helm: Helm) -> None:
    """
    All of it at once, with every switch on that asks for more.
    """
    on = (
        "operator.networkPolicy.enabled=true",
        "operator.metrics.enabled=true",
        "agent.metrics.enabled=true",
        "monitoring.podMonitor.enabled=true",
    )
    schema = json.loads((CHART / "values.schema.json").read_text())
    missing = tuple(f"{path}=null" for path in optional(schema))

    assert {"image.tag=null", "agent.tolerations=null"} < set(missing)
    assert helm.render(*missing)
    assert helm.render(*on, *missing)


def optional(schema: Json, at: str = "") -> Iterator[str]:
    """
    Name what the schema does not require.
    """
    for name, each in schema["properties"].items():
        if name not in schema["required"]:
            yield f"{at}{name}"
        elif "required" in each:
            yield from optional(each, f"{at}{name}.")


def test_a_parent_chart_may_use_global(helm: Helm) -> None:
    """
    Helm hands `global` to every chart, whatever is in it.
    """
    assert helm.render("global.theirs=1")


def test_an_older_cluster_is_refused(helm: Helm) -> None:
    """
    Below 1.33 the node's name is in no token, and the admission policy would be a hope.
    """
    chart = "charts/conntrack-operator"
    done = helm.run("template", "one", chart, "--kube-version", "1.32.0")

    assert 0 != done.returncode
    assert ">=1.33.0-0" in done.stderr
