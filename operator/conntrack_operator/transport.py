"""
HTTP to the API server: one request at a time, and the translation of what goes wrong.

The one module that sees status codes and the HTTP library. It retries nothing but a
request whose token the server no longer accepts.
"""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from conntrack_operator.access import Credentials
from conntrack_operator.errors import (
    ClusterError,
    ConfigInvalid,
    Unavailable,
    from_status,
)
from conntrack_operator.rows import Json

JSON: Final = "application/json"

TIMEOUT: Final = aiohttp.ClientTimeout(total=30, sock_connect=5)
"""Of everything but a watch."""

SILENCE_SECONDS: Final = 90.0
"""Bookmarks come every minute: a watch that is silent for longer is dead."""

LONGEST_PAUSE: Final = 300.0
"""Seconds; a server that asks for more means something else, or somebody else."""

_OBJECT: Final = re.compile(r" \w+:<[^<>]*>")
"""Where the HTTP library shows an object of Python instead of a word."""

_UNAUTHORIZED: Final = 401
_FIRST_ERROR: Final = 400
_LONGEST_LINE: Final = 16 * 1024 * 1024
"""Bytes of one watch event; etcd's own limit is a tenth of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of the API server."""

    path: str
    method: str = "GET"
    params: Mapping[str, str] = field(default_factory=dict)
    body: Json | None = None
    content_type: str = JSON
    accept: str = JSON


class Transport:
    """A connection pool that knows who we are."""

    def __init__(
        self, credentials: Credentials, *, silence: float = SILENCE_SECONDS
    ) -> None:
        """
        Prepare; nothing is opened before the context is entered.

        Args:
            credentials: Tell where the server is, and who we are.
            silence: Seconds after which a silent watch counts as dead.
        """
        self._watching = aiohttp.ClientTimeout(
            total=None, sock_connect=5, sock_read=silence
        )
        self._credentials = credentials
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        """
        Open the connection pool.
        """
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        Close the connection pool.
        """
        await self._session.close()

    async def call(self, request: Request) -> Json:
        """
        Send a request and read the whole answer.

        Returns:
            The JSON object that came back.

        Raises:
            ClusterError: Anything but a good answer.
        """
        async with self._open(request, TIMEOUT) as response:
            return parse(await response.read())

    async def lines(self, request: Request) -> AsyncGenerator[Json, None]:
        """
        Send a request whose answer is one JSON object on each line, without an end.

        Yields:
            The objects as they come. A last line that was cut off is not one.

        Raises:
            ClusterError: No good answer, a broken stream, or silence.
        """
        async with self._open(request, self._watching) as response:
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    yield parse(line)
                if len(rest) > _LONGEST_LINE:
                    raise Unavailable("a line of the watch is too long")

    @asynccontextmanager
    async def _open(
        self, request: Request, limits: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """
        Give the answer as soon as its head is there and good; translate failures.
        """
        try:
            response = await self._send(request, limits)
            if response.status == _UNAUTHORIZED:
                response.release()
                self._credentials.forget()
                response = await self._send(request, limits)
            async with response:
                if response.status >= _FIRST_ERROR:
                    raise await _refusal(response)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError, ConfigInvalid) as error:
            text = f"{type(error).__name__}: {error}" if str(error) else repr(error)
            text = _OBJECT.sub("", text)
            raise Unavailable(f"{request.method} {request.path}: {text}") from error

    async def _send(
        self, request: Request, limits: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """
        Send a request with the present credentials.
        """
        access = await self._credentials.access()
        headers = {"Accept": request.accept}
        if access.token:
            headers["Authorization"] = f"Bearer {access.token}"
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        return await self._session.request(
            request.method,
            access.server + request.path,
            params=request.params,
            data=None if request.body is None else json.dumps(request.body),
            headers=headers,
            timeout=limits,
            ssl=access.tls,
            server_hostname=access.server_name,
        )


def parse(content: bytes) -> Json:
    """
    Read a JSON object.

    Raises:
        Unavailable: It is not one: cut off, or from something between us and the
            API server.
    """
    try:
        value: Any = json.loads(content)
    except ValueError as error:
        raise Unavailable("the answer is not JSON") from error
    if not isinstance(value, dict):
        raise Unavailable("the answer is not a JSON object")
    return value


async def _refusal(response: aiohttp.ClientResponse) -> ClusterError:
    """
    Make the error of an answer that is not good.
    """
    try:
        message = str(parse(await response.read()).get("message", ""))
    except Unavailable:
        message = response.reason or ""
    pause = response.headers.get("Retry-After", "")
    seconds = min(float(pause), LONGEST_PAUSE) if pause.isdecimal() else None
    return from_status(response.status, message, seconds)
