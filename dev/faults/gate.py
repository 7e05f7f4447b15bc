"""
A gate between one operator and the API server: it passes requests on, and counts.

Writes pass one after the other, so that "the seventh write" is the same one in every
run. Renewals of the lease pass uncounted, since they come by the clock.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

import aiohttp
from aiohttp import web

from conntrack_operator.testing.listening import listen

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from control_plane import ControlPlane

_HOP_BY_HOP: Final = {"host", "content-length", "transfer-encoding", "connection"}
_TOO_OLD: Final = 410


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One write of the operator, as it came."""

    number: int
    """Counted from 1 since the gate was last told to count anew."""
    method: str
    path: str

    @property
    def kind(self) -> str:
        """
        Name what is written: ``node``, ``policy``, ``agents`` or ``event``.
        """
        kinds = {
            "conntracknodes": "node",
            "conntrackpolicies": "policy",
            "daemonsets": "agents",
        }
        found = (kinds[each] for each in self.path.split("/") if each in kinds)
        return next(found, "event")


@dataclass(slots=True)
class Seen:
    """What has passed since the gate was last told to count anew."""

    writes: list[Write] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """What the API server said to writes that it refused."""
    too_old: int = 0
    """Watches and lists that were answered with 410."""


class Gate:
    """Passes on the requests of one operator; an asynchronous context."""

    def __init__(self, plane: ControlPlane) -> None:
        """
        Say where the API server is.
        """
        self._server = plane.url
        self._tls = ssl.create_default_context(cafile=str(plane.ca_file))
        self._turn = asyncio.Lock()
        self._open = asyncio.Event()
        self._open.set()
        self._streams: set[asyncio.Task[object]] = set()
        self.url = ""
        self.seen = Seen()
        self.before: Callable[[Write], object] = lambda _: None
        """Called before a write is passed on; raise `HungUp` to pass nothing on."""
        self.after: Callable[[Write], object] = lambda _: None
        """Called when a write is answered; raise `HungUp` to lose the answer."""
        self.hides = False
        """Leave all policies out of lists, as a server with an old cache would."""
        self.hold: Callable[[Write], asyncio.Event | None] = lambda _: None
        """Gives what a write has to wait for on its way."""

    async def __aenter__(self) -> Self:
        """
        Listen on a free port of this machine.
        """
        self._session = aiohttp.ClientSession()
        self._runner, self.url = await listen(self._pass_on)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        Hang up on everybody.
        """
        self.cut()
        await self._runner.cleanup()
        await self._session.close()

    def count_anew(self) -> None:
        """
        Forget what has passed.
        """
        self.seen = Seen()

    def cut(self) -> None:
        """
        Break every watch, and let nothing pass until `mend`.
        """
        self._open.clear()
        for each in self._streams:
            each.cancel()

    def mend(self) -> None:
        """
        Let requests pass again.
        """
        self._open.set()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        """
        Pass one request on.
        """
        if not self._open.is_set():
            raise web.HTTPServiceUnavailable
        body = await request.read()
        if request.method == "GET" or "/leases" in request.path:
            return await self._ask(request, body)
        async with self._turn:
            number = len(self.seen.writes) + 1
            write = Write(number=number, method=request.method, path=request.path)
            self.seen.writes.append(write)
            try:
                self.before(write)
                held = self.hold(write)
                if held is not None:
                    await asyncio.shield(held.wait())
                response = await self._ask(request, body)
                self.after(write)
            except HungUp:
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()  # to nobody
            return response

    async def _ask(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """
        Ask the API server, and give its answer; of a watch as it comes.
        """
        headers = {
            key: value
            for key, value in request.headers.items()
            if key.lower() not in _HOP_BY_HOP
        }
        try:
            async with self._session.request(
                request.method,
                self._server + request.path_qs,
                data=body or None,
                headers=headers,
                ssl=self._tls,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            ) as answer:
                if "watch" in request.query:
                    return await self._stream(request, answer)
                content = await answer.read()
                if self.hides and request.path.endswith("/conntrackpolicies"):
                    content = json.dumps({**json.loads(content), "items": []}).encode()
                self._note(request, answer.status, content)
                return web.Response(
                    body=content,
                    status=answer.status,
                    content_type=answer.content_type,
                )
        except aiohttp.ClientError as error:
            raise web.HTTPBadGateway from error

    async def _stream(
        self, request: web.Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        """
        Pass a watch on, line by line.
        """
        response = web.StreamResponse(status=answer.status)
        response.content_type = answer.content_type
        await response.prepare(request)
        if (task := asyncio.current_task()) is not None:
            self._streams.add(task)
            task.add_done_callback(self._streams.discard)
        with suppress(ConnectionError, aiohttp.ClientError):
            async for line in answer.content:
                if b'"type":"ERROR"' in line:
                    self._note(request, json.loads(line)["object"]["code"], line)
                await response.write(line)
        return response

    def _note(self, request: web.Request, status: int, content: bytes) -> None:
        """
        Count what was refused.
        """
        self.seen.too_old += status == _TOO_OLD
        if request.method != "GET" and status >= 400 and "/leases" not in request.path:  # noqa: PLR2004 - HTTP
            self.seen.refused.append(str(json.loads(content).get("message", "")))


class HungUp(ConnectionError):
    """The operator was killed, so there is nobody to answer."""
