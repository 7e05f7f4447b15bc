"""
What the chart refuses to render, and what it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.charts.conftest import Helm


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (["agent.hostNetwork=false"], "the host's network namespace only"),
        (
            ["agent.namespace.name=conntrack-system"],
            "set agent.namespace.create=false to share it",
        ),
        (["agent.namespace.name=kube-system"], "cannot be made by a chart"),
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
        ("operator.livenessPort=99999", "livenessPort"),
        ("agent.metrics.address=example.com", "/agent/metrics/address"),
        ("monitoring.podMonitor.interval=often", "/monitoring/podMonitor/interval"),
        ("crds.enabled=yes", "/crds/enabled"),
    ],
)
def test_a_misspelt_value_is_refused_by_name(
    helm: Helm, setting: str, words: str
) -> None:
    """
    The schema is closed everywhere but for maps that are the user's own.
    """
    assert words in helm.refusal(setting)


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
