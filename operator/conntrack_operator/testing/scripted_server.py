"""
An API server that does what a script says, faults included.

It answers the first request with the first reply, the second with the second, and so
on. When the script is at its end it says so and lets everybody wait.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from conntrack_operator.testing.listening import listen


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer."""

    body: Mapping[str, Any] | str = field(default_factory=dict)
    """JSON, or text that is none."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A watch: events, then the end."""

    events: Sequence[Mapping[str, Any]] = ()
    rest: str = ""
    """Half a line, as a connection that breaks leaves it."""
    cut: bool = False
    """End without a proper end."""
    silent: bool = False
    """Do not end at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request, as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any

    def __str__(self) -> str:
        """
        Say what matters for a count: ``list``, ``list next`` or ``watch 7``.
        """
        if "watch" in self.query:
            return f"watch {self.query['resourceVersion']}"
        return "list next" if "continue" in self.query else "list"


class ScriptedServer:
    """Serves one script."""

    def __init__(self, *script: Answer | Stream) -> None:
        """
        Take the replies in their order.
        """
        self._script = list(script)
        self._over = asyncio.Event()
        self._closing = asyncio.Event()
        self.requests: list[Seen] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        """
        Listen on a free port of this machine.
        """
        self._runner, self.url = await listen(self._reply)
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
        self._closing.set()
        await self._runner.cleanup()

    async def over(self) -> None:
        """
        Wait until all replies were given and one more was asked for.
        """
        async with asyncio.timeout(10):
            await self._over.wait()

    async def _reply(self, request: web.Request) -> web.StreamResponse:
        """
        Give the next reply.
        """
        text = await request.text()
        self.requests.append(
            Seen(
                method=request.method,
                path=request.path,
                query=dict(request.query),
                headers=dict(request.headers),
                body=json.loads(text) if text else None,
            )
        )
        if not self._script:
            self._over.set()
            await self._closing.wait()
            return web.Response(status=503)
        reply = self._script.pop(0)
        if isinstance(reply, Stream):
            return await self._stream(request, reply)
        body = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
        return web.Response(text=body, status=reply.status, headers=reply.headers)

    async def _stream(self, request: web.Request, reply: Stream) -> web.StreamResponse:
        """
        Send the events of one watch, and end it as it says.
        """
        response = web.StreamResponse()
        await response.prepare(request)
        lines = "".join(f"{json.dumps(each)}\n" for each in reply.events)
        await response.write((lines + reply.rest).encode())
        if reply.silent:
            await self._closing.wait()
        if reply.cut and request.transport is not None:
            request.transport.abort()
        return response
