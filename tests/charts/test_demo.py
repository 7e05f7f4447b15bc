"""
The demo's rights, written out in one file, are those that the chart grants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from tests.charts.conftest import ROOT

if TYPE_CHECKING:
    from tests.charts.conftest import Helm, Json

AGENTS = "conntrack-system-agents"
"""Where the chart's operator keeps a DaemonSet, and the demo starts processes."""


def granted(objects: list[Json]) -> dict[tuple[str, str], list[Any]]:
    """
    Find who is granted what: process and namespace to rules.
    """
    roles = {
        (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"])
        : each["rules"]
        for each in objects
        if each["kind"] in {"Role", "ClusterRole"}
    }  # fmt: skip
    found = {}
    for each in objects:
        if each["kind"] in {"RoleBinding", "ClusterRoleBinding"}:
            namespace = each["metadata"].get("namespace", "")
            (subject,) = each["subjects"]
            who = "agent" if subject["name"].endswith("agent") else "operator"
            role = each["roleRef"]
            found[who, namespace] = roles[role["kind"], namespace, role["name"]]
    return found


def test_the_demo_grants_what_the_chart_grants(helm: Helm) -> None:
    """
    What works in the demo works installed: no verb more, none less.
    """
    text = (ROOT / "dev" / "demo" / "rbac.yaml").read_text()
    chart = granted(helm.render())
    of_agents = chart.pop(("operator", AGENTS))

    assert {"daemonsets", "podtemplates", "pods", "events"} == {
        resource for rule in of_agents for resource in rule["resources"]
    }
    assert chart == granted(list(yaml.safe_load_all(text)))
