import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import aiohttp
import kopf
import pytest
from aiohttp import web

from conntrack_operator import handlers
from conntrack_operator.access import Credentials
from conntrack_operator.testing import FakeTime
from conntrack_operator.testing.listening import listen

CredentialsFor = Callable[[str], Credentials]
GROUP = "/apis/conntrack.dev/v1alpha1"
EXTENSIONS = "/apis/apiextensions.k8s.io/v1"


def resource(name: str, kind: str) -> dict[str, object]:
    """Announce a kind of object."""
    verbs = ["get", "list", "watch", "patch"]
    names = {"name": name, "singularName": kind.lower(), "kind": kind}
    return {**names, "namespaced": False, "verbs": verbs}


def group(name: str, version: str) -> dict[str, object]:
    """Announce a group of kinds."""
    one = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [one], "preferredVersion": one}


DISCOVERY = {
    # kopf waits for these two kinds, though it is told not to look at them.
    "/api": {"versions": ["v1"]},
    "/api/v1": {"resources": [resource("namespaces", "Namespace")]},
    EXTENSIONS: {
        "resources": [resource("customresourcedefinitions", "CustomResourceDefinition")]
    },
    "/apis": {
        "groups": [
            group("apiextensions.k8s.io", "v1"),
            group("conntrack.dev", "v1alpha1"),
        ]
    },
    GROUP: {"resources": [resource("conntrackpolicies", "ConntrackPolicy")]},
}
POLICY = {
    "apiVersion": "conntrack.dev/v1alpha1",
    "kind": "ConntrackPolicy",
    "metadata": {"name": "default", "uid": "u", "resourceVersion": "1"},
    "spec": {"nodeSelector": {}},
}


class OnePolicy:
    """An API server with one policy, which a person edits at once."""

    def __init__(self) -> None:
        """Start without requests."""
        self.seen: list[tuple[str, str]] = []
        self._closing = asyncio.Event()

    async def reply(self, request: web.Request) -> web.StreamResponse:
        """Answer what kopf asks."""
        self.seen.append((request.method, request.path))
        if request.path in DISCOVERY:
            return web.json_response(DISCOVERY[request.path])
        if request.path == f"{GROUP}/conntrackpolicies" and "watch" in request.query:
            response = web.StreamResponse()
            await response.prepare(request)
            event = {"type": "MODIFIED", "object": POLICY}
            await response.write(f"{json.dumps(event)}\n".encode())
            await self._closing.wait()
            return response
        if request.path == f"{GROUP}/conntrackpolicies":
            meta = {"resourceVersion": "1"}
            return web.json_response({"metadata": meta, "items": [POLICY]})
        return web.json_response({"code": 404}, status=404)

    def hang_up(self) -> None:
        """End all watches."""
        self._closing.set()

    @asynccontextmanager
    async def listen(self) -> AsyncGenerator[str, None]:
        """Listen on a free port of this machine."""
        runner, url = await listen(self.reply)
        try:
            yield url
        finally:
            self.hang_up()
            await runner.cleanup()


async def probe(url: str) -> int:
    """Ask for /healthz until somebody answers; give the status."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while True:
            try:
                async with session.get(url) as response:
                    return response.status
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(("silent_for", "expected"), [(599.0, 200), (601.0, 500)])
async def test_kopf_rings_and_touches_nothing(
    credentials_for: CredentialsFor,
    unused_tcp_port: int,
    silent_for: float,
    expected: int,
) -> None:
    """Kopf logs in as we do, rings for every policy, writes nothing, and is probed."""
    server, rung, stop = OnePolicy(), asyncio.Event(), asyncio.Event()
    rings: list[int] = []
    time = FakeTime()

    def ring() -> None:
        rings.append(1)
        if len(rings) > 1:
            rung.set()

    async with server.listen() as url, asyncio.timeout(120):
        last = time.now - silent_for
        shell = asyncio.create_task(
            kopf.operator(
                registry=handlers.registry(
                    ring, credentials_for(url), lambda: {"a loop": last}, time.clock
                ),
                settings=handlers.settings(),
                clusterwide=True,
                stop_flag=stop,
                liveness_endpoint=f"http://127.0.0.1:{unused_tcp_port}/healthz",
            )
        )
        waiting = asyncio.create_task(rung.wait())
        await asyncio.wait([waiting, shell], return_when=asyncio.FIRST_COMPLETED)
        assert rung.is_set()
        health = await probe(f"http://127.0.0.1:{unused_tcp_port}/healthz")
        server.hang_up()
        stop.set()
        await shell

    assert 2 <= len(rings)
    assert expected == health
    assert {"GET"} == {method for method, _ in server.seen}


def test_backoffs_never_end_and_start_anew() -> None:
    """Kopf gives up when its pauses are used up; these are not."""
    pauses = handlers.EndlessBackoffs()

    for _ in range(2):
        turn = iter(pauses)
        first = next(turn)
        later = [next(turn) for _ in range(1000)]
        assert first <= 2
        assert max(later) <= 60


def test_kopf_leaves_what_others_own() -> None:
    """Kopf's defaults would pause for, and remove things of, other operators."""
    settings = handlers.settings()

    assert settings.scanning.disabled
    assert settings.peering.standalone
    assert not settings.posting.enabled
    assert settings.persistence.finalizer.startswith("conntrack.dev/")
