"""
The agents' DaemonSet: what it should be, made of the template and a coverage.

Computes only. The template is a PodTemplate, so that the API server has filled in the
defaults of both objects: equal content is equal, and nothing is written for it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from conntrack_api import GROUP
from conntrack_operator.coverage import NO_NODE, Coverage, read, written
from conntrack_operator.errors import ConfigInvalid
from conntrack_operator.rows import Json, metadata

API: Final = "apps/v1"

STRATEGY: Final = f"{GROUP}/update-strategy"
"""Annotation of the template: the DaemonSet's ``updateStrategy`` as JSON."""

SELECTOR: Final = ("name", "instance", "component")
"""Recommended labels that say whose pods are whose; a selector never changes."""

RESTARTED: Final = "kubectl.kubernetes.io/restartedAt"
"""Annotation of pods: a person said ``kubectl rollout restart``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What the operator was given to make the DaemonSet of."""

    name: str
    namespace: str
    uid: str
    pod: Json
    """Metadata and spec of a pod, with the API server's defaults."""
    strategy: Json
    """``updateStrategy``; empty: the API server's default."""

    @property
    def coverage(self) -> Coverage:
        """
        Give the nodes that the template itself lets agents run on.
        """
        return read((self.pod.get("spec") or {}).get("affinity"))


def template(obj: Json) -> Template | None:
    """
    Read a PodTemplate; one that is being deleted is none.

    Raises:
        ConfigInvalid: Nothing can be made of it.
    """
    meta = metadata(obj)
    if meta.get("deletionTimestamp"):
        return None
    text = (meta.get("annotations") or {}).get(STRATEGY) or "{}"
    try:
        strategy = json.loads(text)
    except ValueError:
        strategy = None
    if not isinstance(strategy, dict):
        raise ConfigInvalid(
            f"annotation {STRATEGY} of the PodTemplate {meta['name']}: invalid value "
            f"{text!r}, must be the updateStrategy of a DaemonSet as JSON"
        )
    found = Template(
        name=meta["name"],
        namespace=str(meta.get("namespace", "")),
        uid=meta["uid"],
        pod=obj.get("template") or {},
        strategy=strategy,
    )
    missing = [key for key in _keys() if key not in _labels(found)]
    if missing:
        raise ConfigInvalid(
            f"template.metadata.labels of the PodTemplate {found.name}: "
            f"{', '.join(missing)} must be there, since the DaemonSet selects by it"
        )
    return found


def covered(live: Json | None) -> Coverage:
    """
    Give the nodes that a DaemonSet runs agents on; none where there is no DaemonSet.
    """
    if live is None:
        return NO_NODE
    return read((live["spec"]["template"].get("spec") or {}).get("affinity"))


def wanted(given: Template, coverage: Coverage, live: Json | None) -> Json:
    """
    Make the DaemonSet that should be there.

    Args:
        given: The template.
        coverage: Where its agents should run.
        live: The present one; what is not ours in it stays.

    Returns:
        A whole object: to be created, or to replace exactly the present version.
    """
    keys = {key: _labels(given)[key] for key in _keys()}
    meta: dict[str, Any] = {
        "name": given.name,
        "namespace": given.namespace,
        "labels": keys | {"app.kubernetes.io/managed-by": "conntrack-operator"},
        "ownerReferences": [_owner(given)],
    }
    spec: dict[str, Any] = {"selector": {"matchLabels": keys}}
    if live is not None:
        labels = (live["metadata"].get("labels") or {}) | meta["labels"]
        meta = {**live["metadata"], **meta, "labels": labels}
        others = live["metadata"].get("ownerReferences") or ()
        meta["ownerReferences"] = [
            *(each for each in others if each.get("kind") != _OWNER), _owner(given)
        ]  # fmt: skip
        spec = dict(live["spec"])  # a selector never changes
    if given.strategy:
        spec["updateStrategy"] = given.strategy
    spec["template"] = _pod(given, coverage, live)
    return {"apiVersion": API, "kind": "DaemonSet", "metadata": meta, "spec": spec}


def differs(live: Json | None, desired: Json) -> bool:
    """
    Tell whether the DaemonSet has to be written.

    Args:
        live: As the API server has it.
        desired: As `wanted` made it of the same.
    """
    if live is None:
        return True
    pods = live["spec"]["template"] != desired["spec"]["template"]
    owners, owned = (
        [each["uid"] for each in one["metadata"].get("ownerReferences") or ()]
        for one in (live, desired)
    )
    strategy = desired["spec"].get("updateStrategy")
    moved = not _within(strategy, live["spec"].get("updateStrategy"))
    return pods or owners != owned or moved


def gist(obj: Json | None) -> object:
    """
    Reduce a DaemonSet to what is compared: all that does not change by itself.
    """
    return obj and (obj["spec"], obj["metadata"].get("ownerReferences"))


_OWNER: Final = "PodTemplate"


def _owner(given: Template) -> Json:
    """
    Refer to the template: who deletes it, by uninstalling, deletes the agents.
    """
    return {"apiVersion": "v1", "kind": _OWNER, "name": given.name, "uid": given.uid}


def _pod(given: Template, coverage: Coverage, live: Json | None) -> Json:
    """
    Put the coverage into the template; keep that a person restarted the pods.
    """
    meta = dict(given.pod.get("metadata") or {})
    former = (live or {}).get("spec", {}).get("template", {}).get("metadata", {})
    restarted = (former.get("annotations") or {}).get(RESTARTED)
    if restarted:
        meta["annotations"] = {**(meta.get("annotations") or {}), RESTARTED: restarted}
    spec = dict(given.pod.get("spec") or {})
    affinity = written(spec.pop("affinity", None), coverage)
    if affinity is not None:
        spec["affinity"] = affinity
    return {"metadata": meta, "spec": spec}


def _labels(given: Template) -> Mapping[str, str]:
    """
    Give the labels of the pods.
    """
    return (given.pod.get("metadata") or {}).get("labels") or {}


def _keys() -> list[str]:
    """
    List the labels that the DaemonSet selects its pods by.
    """
    return [f"app.kubernetes.io/{each}" for each in SELECTOR]


def _within(part: object, whole: object) -> bool:
    """
    Tell whether all that is in one value is in the other: defaults may be added.
    """
    if isinstance(part, Mapping) and isinstance(whole, Mapping):
        return all(key in whole and _within(part[key], whole[key]) for key in part)
    return part == whole or part is None
