from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conntrack_api.conditions import Condition, ConditionStatus
from conntrack_api.policy_status import NodeCounts, PolicyStatus
from conntrack_operator.access import Credentials
from conntrack_operator.cluster import ApiCluster
from conntrack_operator.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    KindsMissing,
    NotFound,
    Unavailable,
)
from conntrack_operator.plan import wish
from conntrack_operator.rows import FINALIZER
from conntrack_operator.testing import (
    Answer,
    ScriptedServer,
    Stream,
    conntrack_node,
    policy,
    policy_row,
)
from conntrack_operator.transport import Transport

CredentialsFor = Callable[[str], Credentials]
Session = tuple[ApiCluster, ScriptedServer]
STORED = {
    "metadata": {"name": "n1", "uid": "u", "generation": 2, "resourceVersion": "7"},
    "spec": {
        "policyRef": {"name": "default", "uid": "uid-default", "generation": 1},
        "nodeUID": "uid-n1",
        "revision": "abc",
        "mode": "Enforce",
    },
}


@pytest.fixture
def session(
    credentials_for: CredentialsFor,
) -> Callable[..., Any]:
    """Connect a cluster to a server with a script."""

    @asynccontextmanager
    async def connect(*script: Answer | Stream) -> AsyncGenerator[Session, None]:
        async with (
            ScriptedServer(*script) as server,
            Transport(credentials_for(server.url)) as transport,
        ):
            yield ApiCluster(transport), server

    return connect


async def test_nodes_are_asked_for_as_metadata(session: Callable[..., Any]) -> None:
    """Of a Node nothing but its metadata crosses the network."""
    empty = Answer(body={"metadata": {"resourceVersion": "1"}})
    async with session(empty, Stream()) as (cluster, server):
        async with aclosing(cluster.nodes().pages()) as pages:
            assert [([], "1")] == [each async for each in pages]
        async with aclosing(cluster.nodes().watch("1", 1234)) as events:
            assert [] == [each async for each in events]

    listed, watched = server.requests
    assert "/api/v1/nodes" == listed.path == watched.path
    assert {"limit": "500"} == listed.query
    expected = {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "resourceVersion": "1",
        "timeoutSeconds": "1234",
    }
    assert expected == watched.query
    kind = "as=PartialObjectMetadata{};g=meta.k8s.io;v=v1,application/json"
    assert kind.format("List") in listed.headers["Accept"]
    assert kind.format("") in watched.headers["Accept"]
    assert "Bearer first" == listed.headers["Authorization"]


async def test_apply_conntrack_node(session: Callable[..., Any]) -> None:
    """A spec is applied by the server, as ours, owned by the Node's UID."""
    spec = wish(policy()).numbers
    seen = replace(conntrack_node(spec=spec), uid="u", resource_version="6")
    async with session(Answer(body=STORED)) as (cluster, server):
        row = await cluster.apply_conntrack_node("n1", spec, current=seen)

    assert ("n1", "u", 2, "7") == (
        row.name,
        row.uid,
        row.generation,
        row.resource_version,
    )
    (sent,) = server.requests
    assert "PATCH" == sent.method
    assert "/apis/conntrack.dev/v1alpha1/conntracknodes/n1" == sent.path
    assert {"fieldManager": "conntrack-operator", "force": "true"} == sent.query
    assert "application/apply-patch+yaml" == sent.headers["Content-Type"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": spec.node_uid}
    meta = {"name": "n1", "uid": "u", "resourceVersion": "6"}
    expected = {**meta, "ownerReferences": [owner]}
    assert expected == sent.body["metadata"]
    assert spec.revision == sent.body["spec"]["revision"]


async def test_object_that_should_not_exist_is_created(
    session: Callable[..., Any],
) -> None:
    """A request that comes late finds the object, and is refused by the server."""
    spec = wish(policy()).facts_first
    taken = Answer(status=409, body={"message": "already exists"})
    async with session(Answer(body=STORED), taken) as (cluster, server):
        await cluster.apply_conntrack_node("n1", spec, current=None)
        with pytest.raises(Conflict):
            await cluster.apply_conntrack_node("n1", spec, current=None)

    sent, _ = server.requests
    assert "POST" == sent.method
    assert "/apis/conntrack.dev/v1alpha1/conntracknodes" == sent.path
    assert {"fieldManager": "conntrack-operator"} == sent.query
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": spec.node_uid}
    assert {"name": "n1", "ownerReferences": [owner]} == sent.body["metadata"]
    assert spec.revision == sent.body["spec"]["revision"]


async def test_delete_names_the_very_version(session: Callable[..., Any]) -> None:
    """A deletion holds only for the object that was looked at."""
    row = conntrack_node(spec=None)
    async with session(Answer()) as (cluster, server):
        await cluster.delete_conntrack_node(row)

    (sent,) = server.requests
    assert "DELETE" == sent.method
    expected = {"uid": row.uid, "resourceVersion": row.resource_version}
    assert expected == sent.body["preconditions"]


async def test_policy_status_is_applied_to_the_subresource(
    session: Callable[..., Any],
) -> None:
    """A status never touches the spec, and speaks of one policy only."""
    said = Condition(
        type="Ready",
        status=ConditionStatus.TRUE,
        reason="AllNodesUpToDate",
        message="1 of 1 node up to date.",
        observed_generation=1,
    )
    status = PolicyStatus(nodes=NodeCounts(matched=1), conditions=(said,))
    async with session(Answer()) as (cluster, server):
        await cluster.apply_policy_status(policy_row(policy()), status)

    (sent,) = server.requests
    path = "/apis/conntrack.dev/v1alpha1/conntrackpolicies/default/status"
    assert path == sent.path
    assert {"name": "default"} == sent.body["metadata"]
    assert 1 == sent.body["status"]["nodes"]["matched"]
    assert "spec" not in sent.body


async def test_finalizers_are_written_to_the_version_that_was_read(
    session: Callable[..., Any],
) -> None:
    """A policy that somebody edited meanwhile is not overwritten."""
    async with session(Answer()) as (cluster, server):
        await cluster.set_finalizers(policy_row(policy()), (FINALIZER,))

    (sent,) = server.requests
    meta = {"uid": "uid-default", "resourceVersion": "1", "finalizers": [FINALIZER]}
    assert {"metadata": meta} == sent.body
    assert "application/merge-patch+json" == sent.headers["Content-Type"]


async def test_kinds_that_are_served(session: Callable[..., Any]) -> None:
    """Both kinds must be there; what is missing is named with what helps."""
    every = [
        {"name": f"{kind}{part}"}
        for kind in ("conntracknodes", "conntrackpolicies")
        for part in ("", "/status")
    ]
    script = (
        Answer(body={"resources": every}),
        Answer(body={"resources": every[:3]}),
        Answer(body={"resources": every[1:]}),
        Answer(status=404),
    )
    async with session(*script) as (cluster, _):
        await cluster.check_kinds()
        with pytest.raises(KindsMissing, match="serve conntrackpolicies/status of"):
            await cluster.check_kinds()
        with pytest.raises(KindsMissing, match="not serve conntracknodes of"):
            await cluster.check_kinds()
        with pytest.raises(KindsMissing, match="kubectl apply -f crds/"):
            await cluster.check_kinds()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(status=400), Invalid),
        (Answer(status=403), Forbidden),
        (Answer(status=404), NotFound),
        (Answer(status=409), Conflict),
        (Answer(status=410), Gone),
        (Answer(status=422), Invalid),
        (Answer(status=429), Unavailable),
        (Answer(status=500), Unavailable),
        (Answer(status=502, body="<html>"), Unavailable),
        (Answer(body="<html>"), Unavailable),
        (Answer(body="[]"), Unavailable),
        (Answer(body={"metadata": {}}), Unavailable),
    ],
)
async def test_errors_are_translated(
    session: Callable[..., Any], answer: Answer, expected: type[ClusterError]
) -> None:
    """Nobody above sees a status code or an exception of the HTTP library."""
    async with session(answer) as (cluster, _):
        with pytest.raises(expected):
            await cluster.node("n1")


async def test_servers_words_and_wish_are_kept(session: Callable[..., Any]) -> None:
    """The message reaches the person, the pause reaches the one who waits."""
    body = {"message": "slow down"}
    answer = Answer(status=429, body=body, headers={"Retry-After": "7"})
    async with session(answer) as (cluster, _):
        with pytest.raises(Unavailable, match="429: slow down") as caught:
            await cluster.node("n1")

    assert 7 == caught.value.retry_after


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("1", 1), ("86400", 300), ("9" * 400, 300), ("-5", None), ("banana", None)],
)
async def test_pause_that_a_server_asks_for(
    session: Callable[..., Any], header: str, seconds: float | None
) -> None:
    """What is no number is not heard, and no typing error stops us for a day."""
    answer = Answer(status=429, headers={"Retry-After": header})
    async with session(answer) as (cluster, _):
        with pytest.raises(Unavailable) as caught:
            await cluster.node("n1")

    assert seconds == caught.value.retry_after


async def test_nobody_listens(credentials_for: CredentialsFor) -> None:
    """No server at all is one without an answer, and is named in plain words."""
    async with ScriptedServer() as server:
        url = server.url
    async with Transport(credentials_for(url)) as transport:
        with pytest.raises(Unavailable, match=r"^GET /api/v1/nodes/n1: ") as caught:
            await ApiCluster(transport).node("n1")

    host = url.removeprefix("http://")
    assert f"Cannot connect to host {host} [" in str(caught.value)


async def test_expired_token_is_read_again_once(
    credentials_for: CredentialsFor, write_kubeconfig: Callable[..., Path]
) -> None:
    """A token that the server no longer accepts is replaced, and asked for once."""
    node = Answer(body={"metadata": {"name": "n1", "uid": "u"}})
    refused = Answer(status=401)
    async with (
        ScriptedServer(node, refused, node, refused, refused) as server,
        Transport(credentials_for(server.url)) as transport,
    ):
        cluster = ApiCluster(transport)
        await cluster.node("n1")
        write_kubeconfig(server.url, token="second")  # noqa: S106 - not one
        await cluster.node("n1")
        with pytest.raises(Forbidden):
            await cluster.node("n1")

    sent = [each.headers["Authorization"] for each in server.requests]
    assert ["first", "first", "second", "second", "second"] == [
        each.removeprefix("Bearer ") for each in sent
    ]
