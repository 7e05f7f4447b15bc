"""
The agents' template and DaemonSet in memory, with the API server's rules that matter.
"""

import copy
from collections.abc import Sequence
from typing import Any

from conntrack_operator.errors import ClusterError, Conflict
from conntrack_operator.rows import Json

NAME = "agent"


def pod_template(image: str = "agent:1", **spec: object) -> dict[str, Any]:
    """
    Make a template; without arguments it lets agents run on every node.
    """
    labels = {
        f"app.kubernetes.io/{key}": "x" for key in ("name", "instance", "component")
    }
    return {
        "metadata": {"name": NAME, "namespace": "agents", "uid": "uid-template"},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "agent", "image": image}], **spec},
        },
    }


class FakeDaemons:
    """A namespace with a template and, sooner or later, a DaemonSet."""

    def __init__(self) -> None:
        """
        Start with a template alone.
        """
        self.given: dict[str, Any] | None = pod_template()
        self.live: dict[str, Any] | None = None
        self.calls: list[str] = []
        """Every request, by verb."""
        self.answers: dict[str, list[ClusterError]] = {}
        """Errors to answer next, by verb."""
        self.told: list[Json] = []
        """Events that say why pods could not be created."""
        self.pending: list[Json] = []
        """Pods that are not ready."""
        self.webhook: dict[str, Any] = {}
        """What somebody puts into the pods' spec, whatever is written."""

    @property
    def writes(self) -> list[str]:
        """
        List the writes that were tried.
        """
        return [each for each in self.calls if each in ("create", "replace")]

    def status(self, expected: int, ready: int, scheduled: int | None = None) -> None:
        """
        Count the agents, as the DaemonSet controller does.
        """
        assert self.live is not None  # noqa: S101 - only what is there has a status
        self.live["status"] = {
            "observedGeneration": self.live["metadata"]["generation"],
            "desiredNumberScheduled": expected,
            "currentNumberScheduled": expected if scheduled is None else scheduled,
            "numberReady": ready,
        }

    async def template(self) -> Json | None:
        """
        Read the template.
        """
        self._call("template")
        return copy.deepcopy(self.given)

    async def daemon_set(self) -> Json | None:
        """
        Read the DaemonSet.
        """
        self._call("daemon_set")
        return copy.deepcopy(self.live)

    async def create(self, wanted: Json) -> Json:
        """
        Create the DaemonSet.
        """
        self._call("create")
        if self.live is not None:
            raise Conflict(NAME)
        return self._store(wanted, 1)

    async def replace(self, wanted: Json) -> Json:
        """
        Replace the DaemonSet.
        """
        self._call("replace")
        live = self.live
        if live is None or live["metadata"] != {**live["metadata"], **_version(wanted)}:
            raise Conflict(NAME)
        return self._store(wanted, live["metadata"]["generation"] + 1)

    async def failures(self) -> Sequence[Json]:
        """
        List events.
        """
        self._call("failures")
        return self.told

    async def pods(self, selector: Json) -> Sequence[Json]:
        """
        List pods.
        """
        self._call("pods")
        assert selector  # noqa: S101 - or all pods of the namespace would be meant
        return self.pending

    def _store(self, wanted: Json, generation: int) -> Json:
        """
        Keep what was written, with a default that nobody asked for.
        """
        stored: dict[str, Any] = copy.deepcopy(dict(wanted))
        stored["metadata"] |= {
            "uid": "uid-daemons",
            "generation": generation,
            "resourceVersion": str(generation),
        }
        stored["spec"].setdefault("revisionHistoryLimit", 10)
        stored["spec"]["template"]["spec"] |= self.webhook
        self.live = stored
        return copy.deepcopy(stored)

    def _call(self, verb: str) -> None:
        """
        Note a call, and answer with the next error that a test ordered for its verb.
        """
        self.calls.append(verb)
        if self.answers.get(verb):
            raise self.answers[verb].pop(0)


def _version(wanted: Json) -> Json:
    """
    Give the version that is meant.
    """
    return {"resourceVersion": wanted["metadata"].get("resourceVersion")}
