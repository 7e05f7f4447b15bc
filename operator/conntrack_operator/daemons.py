"""
The agents' DaemonSet as the stages see it: verbs on objects.

Says which request each verb is; `transport` sends it. Decides nothing.
"""

from collections.abc import Sequence
from typing import Final

from conntrack_operator.errors import NotFound
from conntrack_operator.rows import Json
from conntrack_operator.transport import Request, Transport

SOME: Final = 20
"""Pods or events that are looked at to learn why agents are missing."""

MANY: Final = 200
"""Running pods among which one that is not ready is looked for."""


class ApiDaemons:
    """One PodTemplate, and the DaemonSet of the same name beside it."""

    def __init__(self, transport: Transport, *, namespace: str, name: str) -> None:
        """
        Say which one.

        Args:
            transport: Sends the requests.
            namespace: The agents'.
            name: Of the template and of the DaemonSet.
        """
        self._transport = transport
        self._core = f"/api/v1/namespaces/{namespace}"
        self._apps = f"/apis/apps/v1/namespaces/{namespace}/daemonsets"
        self._name = name

    async def template(self) -> Json | None:
        """
        Read the template; ``None`` when there is none, which is never a command.
        """
        return await self._one(f"{self._core}/podtemplates/{self._name}")

    async def daemon_set(self) -> Json | None:
        """
        Read the DaemonSet; ``None`` when there is none.
        """
        return await self._one(f"{self._apps}/{self._name}")

    async def create(self, wanted: Json) -> Json:
        """
        Create the DaemonSet; give it as stored.

        Raises:
            Conflict: There is one already.
            Forbidden: We may not, or an admission policy refuses this shape.
        """
        request = Request(method="POST", path=self._apps, body=wanted)
        return await self._transport.call(request)

    async def replace(self, wanted: Json) -> Json:
        """
        Replace exactly the version that the object names; give it as stored.

        Raises:
            Conflict: Somebody has changed it meanwhile.
            Forbidden: We may not, or an admission policy refuses this shape.
        """
        path = f"{self._apps}/{self._name}"
        return await self._transport.call(Request(method="PUT", path=path, body=wanted))

    async def failures(self) -> Sequence[Json]:
        """
        List some events that say why a pod could not be created.
        """
        which = f"involvedObject.name={self._name},reason=FailedCreate"
        return await self._some("events", {"fieldSelector": which})

    async def pods(self, selector: Json) -> Sequence[Json]:
        """
        List some pods that are not ready: pending ones, else among the running.

        Args:
            selector: The DaemonSet's own, of equal labels.
        """
        labels = ",".join(f"{key}={value}" for key, value in selector.items())
        params = {"labelSelector": labels, "fieldSelector": "status.phase=Pending"}
        pending = await self._some("pods", params)
        if pending:
            return pending
        params = {"labelSelector": labels, "limit": str(MANY)}
        return await self._some("pods", params)

    async def _one(self, path: str) -> Json | None:
        """
        Read one object.
        """
        try:
            return await self._transport.call(Request(path=path))
        except NotFound:
            return None

    async def _some(self, plural: str, params: dict[str, str]) -> Sequence[Json]:
        """
        List the first few.
        """
        request = Request(
            path=f"{self._core}/{plural}", params={"limit": str(SOME), **params}
        )
        found: Sequence[Json] = (await self._transport.call(request)).get("items") or ()
        return found
