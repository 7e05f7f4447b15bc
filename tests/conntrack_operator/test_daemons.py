from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from conntrack_operator.access import Credentials
from conntrack_operator.cluster import ApiCluster
from conntrack_operator.daemons import MANY, SOME, ApiDaemons
from conntrack_operator.errors import Conflict, Forbidden
from conntrack_operator.testing import Answer, ScriptedServer
from conntrack_operator.transport import Transport

CredentialsFor = Callable[[str], Credentials]
Session = tuple[ApiDaemons, ScriptedServer]
APPS = "/apis/apps/v1/namespaces/agents/daemonsets"
CORE = "/api/v1/namespaces/agents"


@pytest.fixture
def session(credentials_for: CredentialsFor) -> Callable[..., Any]:
    """Connect to a server with a script."""

    @asynccontextmanager
    async def connect(*script: Answer) -> AsyncGenerator[Session, None]:
        async with (
            ScriptedServer(*script) as server,
            Transport(credentials_for(server.url)) as transport,
        ):
            yield ApiCluster(transport).daemons("agents", "agent"), server

    return connect


async def test_what_is_not_there_is_none(session: Callable[..., Any]) -> None:
    """Both objects are asked for by name; a 404 is an answer, a refusal an error."""
    async with session(Answer(status=404), Answer(status=404), Answer(status=403)) as (
        daemons,
        server,
    ):
        assert None is await daemons.template()
        assert None is await daemons.daemon_set()
        with pytest.raises(Forbidden):
            await daemons.template()

    paths = [f"{CORE}/podtemplates/agent", f"{APPS}/agent"]
    assert paths == [each.path for each in server.requests[:2]]


async def test_writes(session: Callable[..., Any]) -> None:
    """One creates, the other replaces the very version in the object."""
    made = {"metadata": {"name": "agent", "resourceVersion": "7"}}
    async with session(Answer(body=made), Answer(status=409)) as (daemons, server):
        assert made == await daemons.create(made)
        with pytest.raises(Conflict):
            await daemons.replace(made)

    assert [("POST", APPS, made), ("PUT", f"{APPS}/agent", made)] == [
        (each.method, each.path, each.body) for each in server.requests
    ]


async def test_lists_are_short(session: Callable[..., Any]) -> None:
    """However large the fleet: pending pods first, some running ones without."""
    one: dict[str, Any] = {"items": [{"status": {}}]}
    async with session(
        Answer(body=one), Answer(body=one), Answer(body={"items": []}), Answer(body=one)
    ) as (daemons, server):
        assert 1 == len(await daemons.failures())
        assert 1 == len(await daemons.pods({"a": "b", "c": "d"}))
        assert 1 == len(await daemons.pods({"a": "b"}))

    events, pending, _, running = (each.query for each in server.requests)
    chosen = "involvedObject.name=agent,reason=FailedCreate"
    assert {"fieldSelector": chosen, "limit": str(SOME)} == events
    assert {
        "labelSelector": "a=b,c=d",
        "fieldSelector": "status.phase=Pending",
        "limit": str(SOME),
    } == pending
    assert {"labelSelector": "a=b", "limit": str(MANY)} == running
