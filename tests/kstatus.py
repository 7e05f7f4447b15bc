"""
Health as Argo CD, Flux and `helm --wait` read it, for our kinds and those of a release.

A port of the rules of kubernetes-sigs/cli-utils, `pkg/kstatus/status`. They call an
object without status healthy; `mute` finds the ones of our kinds that would pass so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    Json = Mapping[str, Any]


def health(each: Json) -> str:
    """
    Read an object's health.

    Returns:
        ``Current``, ``InProgress``, ``Failed`` or ``Terminating``.
    """
    status = each.get("status", {})
    conditions = {each["type"]: each for each in status.get("conditions", ())}
    if "deletionTimestamp" in each["metadata"]:
        return "Terminating"
    generation = each["metadata"].get("generation")
    if status.get("observedGeneration", generation) != generation:
        return "InProgress"
    for name, condition in conditions.items():
        if name in ("Reconciling", "Stalled") and condition["status"] == "True":
            return "InProgress" if name == "Reconciling" else "Failed"
    if each["kind"] in _OF_KIND:
        return _OF_KIND[each["kind"]](each.get("spec", {}), status, conditions)
    return _by(conditions, "Ready", missing="Current")


def mute(each: Json) -> bool:
    """
    Tell whether an object of our kinds is called healthy for want of an answer.
    """
    status = each.get("status", {})
    answered = status.get("observedGeneration") == each["metadata"]["generation"]
    types = {each["type"] for each in status.get("conditions", ())}
    return "observedGeneration" not in status or (answered and "Ready" not in types)


def _by(conditions: dict[str, Json], name: str, missing: str = "InProgress") -> str:
    if name not in conditions:
        return missing
    return "Current" if conditions[name]["status"] == "True" else "InProgress"


def _deployment(spec: Json, status: Json, conditions: dict[str, Json]) -> str:
    progress = conditions.get("Progressing", {})
    if progress.get("reason") == "ProgressDeadlineExceeded":
        return "Failed"
    wanted = spec.get("replicas", 1)
    counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    if any(status.get(name, 0) != wanted for name in counts):
        return "InProgress"
    return _by(conditions, "Available")


def _daemon_set(_: Json, status: Json, __: dict[str, Json]) -> str:
    wanted = status.get("desiredNumberScheduled", -1)
    counts = (
        "currentNumberScheduled",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberReady",
    )
    if "observedGeneration" not in status or wanted < 0:
        return "InProgress"
    behind = any(status.get(name, 0) < wanted for name in counts)
    return "InProgress" if behind else "Current"


def _definition(_: Json, __: Json, conditions: dict[str, Json]) -> str:
    if conditions.get("NamesAccepted", {}).get("status") == "False":
        return "Failed"
    return _by(conditions, "Established")


_OF_KIND = {
    "Deployment": _deployment,
    "DaemonSet": _daemon_set,
    "CustomResourceDefinition": _definition,
}
