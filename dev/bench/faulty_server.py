"""
An API server with one object that misbehaves as it is told, and the list of its faults.
"""

import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from conntrack_agent.testing import ESTABLISHED, FakeClock, conntrack_node, node_spec
from conntrack_api.codec import to_object
from conntrack_api.node import ConntrackNode

GOAL: Final = 3600
"""Value of the wish that comes once the server is well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How a server answers for an hour."""

    name: str
    code: int = 200
    """Of every answer, or of watches alone where `stream` is given."""
    headers: dict[str, str] = field(default_factory=dict)
    stream: str | None = None
    """What a watch says before it ends; ``None``: as `code` says."""
    silent: bool = False
    """A watch neither says anything nor ends."""
    generation: int = 3
    """Of the object as this server knows it."""


def _error(code: int) -> str:
    """Make the event by which a watch reports an error."""
    content = {"code": code, "message": "injected"}
    return json.dumps({"type": "ERROR", "object": content}) + "\n"


_OLD: Final = json.dumps({"type": "MODIFIED", "object": {"metadata": {}}})[:30]

FAULTS: Final = (
    Fault(name="410 as an event", stream=_error(410)),
    Fault(name="410 as the status of a watch", code=410, stream=""),
    Fault(name="401", code=401),
    Fault(name="403", code=403),
    Fault(name="404", code=404),
    Fault(name="409", code=409),
    *(
        Fault(
            name=f"429, Retry-After: {value}", code=429, headers={"Retry-After": value}
        )
        for value in ("1", "32", "banana", "-1", "99999999")
    ),
    Fault(name="429 without Retry-After", code=429),
    Fault(name="500", code=500),
    Fault(name="500 in the stream", stream=_error(500)),
    Fault(name="silence", stream="", silent=True),
    Fault(name="half a line, then the end", stream=_OLD),
    Fault(name="clean close at once", stream=""),
    Fault(name="older generation after a failover", stream="", generation=2),
)


class Server(ThreadingHTTPServer):
    """An API server with one object, and a count of its requests."""

    daemon_threads = True

    def __init__(self, clock: FakeClock) -> None:
        """Listen on a free port of loopback."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault: Fault | None = None
        self.generation = 3
        self.requests: list[float] = []
        self.clock = clock
        self.quiet = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def object(self) -> ConntrackNode:
        """Give the object as this server knows it."""
        known = self.fault.generation if self.fault else self.generation
        timeout = {2: 7, 3: 86400, 4: GOAL}[known]
        spec = node_spec({ESTABLISHED: timeout}, revision=f"r{known}")
        return conntrack_node(spec, generation=known)


class Handler(BaseHTTPRequestHandler):
    """Answers as the fault says."""

    server: Server

    def do_GET(self) -> None:
        """Read or watch."""
        self.server.requests.append(self.server.clock())
        fault, watch = self.server.fault, "watch=" in self.path
        if fault is None or (fault.stream is not None and not watch):
            self._object()
        elif fault.code != 200:  # noqa: PLR2004 - HTTP
            self._refuse(fault)
        elif fault.silent:
            self._head(200, {})
            self.server.quiet.wait(1)
        else:
            self._head(200, {})
            self.wfile.write((fault.stream or "").encode())

    def do_PATCH(self) -> None:
        """Take a status."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(self.server.clock())
        fault = self.server.fault
        if fault and fault.stream is None:
            self._refuse(fault)
        else:
            self._object()

    def handle(self) -> None:
        """Answer; a client that hangs up first is none of our business."""
        with suppress(OSError):
            super().handle()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _object(self) -> None:
        node = self.server.object()
        meta = {
            "name": node.name,
            "uid": node.uid,
            "generation": node.generation,
            "resourceVersion": node.resource_version,
        }
        self._head(200, {})
        self.wfile.write(
            json.dumps({"metadata": meta, "spec": to_object(node.spec)}).encode()
        )

    def _refuse(self, fault: Fault) -> None:
        self._head(fault.code, fault.headers)
        self.wfile.write(b'{"message": "injected"}')

    def _head(self, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
