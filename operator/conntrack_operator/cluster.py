"""
The cluster as the stages see it: verbs on rows.

Says which request each verb is; `transport` sends it. Decides nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from conntrack_api import API_VERSION, GROUP, VERSION, node, policy
from conntrack_api.codec import to_object
from conntrack_api.node import NodeSpec
from conntrack_api.policy_status import PolicyStatus
from conntrack_operator.collection import METADATA, Collection
from conntrack_operator.config import DEFAULT_NAMESPACE
from conntrack_operator.daemons import ApiDaemons
from conntrack_operator.errors import KindsMissing, NotFound
from conntrack_operator.events import Event, event_object
from conntrack_operator.leases import ApiLease
from conntrack_operator.rows import (
    ConntrackNodeRow,
    Json,
    NodeRow,
    PolicyRow,
    conntrack_node_row,
    node_row,
    policy_row,
)
from conntrack_operator.transport import Request, Transport

FIELD_MANAGER: Final = "conntrack-operator"
"""Who we are in ``managedFields``; never changes, or fields would have two owners."""

HALTS: Final = f"{FIELD_MANAGER}-halts"
"""Owner of ``status.haltedGeneration`` alone: no other status, however old, has it."""

GROUP_PATH: Final = f"/apis/{GROUP}/{VERSION}"
POLICIES: Final = f"{GROUP_PATH}/{policy.PLURAL}"
CONNTRACK_NODES: Final = f"{GROUP_PATH}/{node.PLURAL}"
NODES: Final = "/api/v1/nodes"
EVENTS: Final = "/api/v1/namespaces/default/events"

_APPLY: Final = "application/apply-patch+yaml"
_MERGE: Final = "application/merge-patch+json"


class ApiCluster:
    """The cluster behind its API server."""

    def __init__(
        self, transport: Transport, *, namespace: str = DEFAULT_NAMESPACE
    ) -> None:
        """
        Take the way to the API server.

        Args:
            transport: Sends the requests.
            namespace: Where our lease is.
        """
        self._transport = transport
        self._namespace = namespace

    def nodes(self) -> Collection:
        """
        Give all Nodes.
        """
        return Collection(self._transport, NODES, metadata=True)

    def conntrack_nodes(self) -> Collection:
        """
        Give all ConntrackNodes.
        """
        return Collection(self._transport, CONNTRACK_NODES)

    def daemons(self, namespace: str, name: str) -> ApiDaemons:
        """
        Give the agents' template, and the DaemonSet of the same name.
        """
        return ApiDaemons(self._transport, namespace=namespace, name=name)

    def lease(self) -> ApiLease:
        """
        Give our lease.
        """
        return ApiLease(self._transport, self._namespace)

    async def check_kinds(self) -> None:
        """
        Make sure that both our kinds are served, and their statuses.

        Raises:
            KindsMissing: With the command that helps.
            ClusterError: No answer.
        """
        try:
            served = await self._transport.call(Request(path=GROUP_PATH))
        except NotFound:
            served = {}
        names = {each.get("name") for each in served.get("resources") or ()}
        kinds = {policy.PLURAL, node.PLURAL}
        if missing := sorted((kinds | {f"{each}/status" for each in kinds}) - names):
            raise KindsMissing(
                f"the API server does not serve {' and '.join(missing)} of "
                f"{API_VERSION}: run `kubectl apply -f crds/` and start again"
            )

    async def policies(self) -> tuple[PolicyRow, ...]:
        """
        List all policies, freshly and completely.
        """
        pages = Collection(self._transport, POLICIES).pages()
        return tuple([policy_row(obj) async for items, _ in pages for obj in items])

    async def node(self, name: str) -> NodeRow:
        """
        Read one Node, freshly.

        Raises:
            NotFound: There is none; which is never a command.
        """
        request = Request(path=f"{NODES}/{name}", accept=METADATA)
        return node_row(await self._transport.call(request))

    async def apply_conntrack_node(
        self, name: str, spec: NodeSpec, *, current: ConntrackNodeRow | None
    ) -> ConntrackNodeRow:
        """
        Make a node's object have this spec.

        Args:
            name: Name of the node and of its object.
            spec: The whole spec: what is not in it is removed.
            current: The object that was decided about; ``None``: there was none. Its
                version, or that it is new, makes a request that is late undo nothing.

        Returns:
            The object as stored.

        Raises:
            Conflict: It is another one now, or has changed meanwhile.
            Invalid: The spec breaks a rule of the CRD.
        """
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": spec.node_uid}
        meta: dict[str, Any] = {"name": name, "ownerReferences": [owner]}
        path, content = CONNTRACK_NODES, {"spec": to_object(spec)}
        if current is not None:
            meta |= {"uid": current.uid, "resourceVersion": current.resource_version}
            applied = await self._apply(f"{path}/{name}", node.KIND, meta, content)
            return conntrack_node_row(applied)
        params = {"fieldManager": FIELD_MANAGER}
        body = {
            "apiVersion": API_VERSION,
            "kind": node.KIND,
            "metadata": meta,
            **content,
        }
        request = Request(method="POST", path=path, params=params, body=body)
        return conntrack_node_row(await self._transport.call(request))

    async def delete_conntrack_node(self, row: ConntrackNodeRow) -> None:
        """
        Delete exactly this object in exactly this version.

        Raises:
            Conflict: It has changed meanwhile.
        """
        this = {"uid": row.uid, "resourceVersion": row.resource_version}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": this}
        path = f"{CONNTRACK_NODES}/{row.name}"
        await self._transport.call(Request(method="DELETE", path=path, body=body))

    async def apply_policy_status(self, row: PolicyRow, status: PolicyStatus) -> None:
        """
        Replace what we said about whatever has the name now, but for its halt.
        """
        said = to_object(replace(status, halted_generation=None))
        await self._say({"name": row.name}, said, FIELD_MANAGER)

    async def record_halt(self, row: PolicyRow) -> None:
        """
        Write down that the rollout of a policy's present generation has halted.

        Bound to its version: in a status the API server overlooks the UID.

        Raises:
            Conflict: It is another one now, or has changed meanwhile.
            Invalid: That of a later generation has.
        """
        meta = {"name": row.name, "resourceVersion": row.resource_version}
        await self._say(meta, {"haltedGeneration": row.generation}, HALTS)

    async def set_finalizers(self, row: PolicyRow, finalizers: tuple[str, ...]) -> None:
        """
        Replace a policy's finalizers, if nobody has changed it meanwhile.

        A merge patch with the version in it, because the server answers it with 409;
        the failed test of a JSON patch would look like invalid content.

        Raises:
            Conflict: Somebody has changed it.
        """
        meta = {
            "uid": row.uid,
            "resourceVersion": row.resource_version,
            "finalizers": list(finalizers),
        }
        request = Request(
            method="PATCH",
            path=f"{POLICIES}/{row.name}",
            params={"fieldManager": FIELD_MANAGER},
            body={"metadata": meta},
            content_type=_MERGE,
        )
        await self._transport.call(request)

    async def post_event(self, event: Event, now: datetime) -> None:
        """
        Tell people that something happened to one of our objects.
        """
        request = Request(method="POST", path=EVENTS, body=event_object(event, now))
        await self._transport.call(request)

    async def _say(self, meta: Mapping[str, str], status: Json, owner: str) -> None:
        """
        Apply a part of a policy's status.
        """
        path = f"{POLICIES}/{meta['name']}/status"
        await self._apply(path, policy.KIND, meta, {"status": status}, owner)

    async def _apply(
        self,
        path: str,
        kind: str,
        meta: Json,
        content: Mapping[str, Json],
        owner: str = FIELD_MANAGER,
    ) -> Json:
        """
        Apply on the server's side, as the one owner of these fields.
        """
        request = Request(
            method="PATCH",
            path=path,
            params={"fieldManager": owner, "force": "true"},
            body={"apiVersion": API_VERSION, "kind": kind, "metadata": meta, **content},
            content_type=_APPLY,
        )
        return await self._transport.call(request)
