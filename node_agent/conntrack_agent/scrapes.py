"""
Answers scrapes: one connection after the other, each for some seconds at most.

Whoever reaches the port can keep others from reading, and nothing else: neither threads
nor memory grow with the connections, and the pause after each bounds what they cost.
"""

import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Final

from conntrack_agent.errors import ConfigError

try:
    from prometheus_client import CollectorRegistry
    from prometheus_client import generate_latest as rendered
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ConfigError(
        "--metrics-address: prometheus_client is not installed"
    ) from error

Request = socket.socket | tuple[bytes, socket.socket]
"""As `socketserver` calls a connection, since it knows datagrams, too."""

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

PATIENCE: Final = 2.0
"""Seconds of silence after which a client is hung up on."""

PAUSE: Final = 0.02
"""Seconds after each connection; with it, scrapes without end cost some percent."""


class Server(socketserver.TCPServer):
    """Listens at one address."""

    allow_reuse_address = True
    request_queue_size = 16

    def __init__(
        self,
        address: tuple[str, int],
        collector: Collector,
        *,
        patience: float = PATIENCE,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """
        Listen; `OSError` where that cannot be.

        Args:
            address: Host and port.
            collector: What to answer.
            patience: Seconds of silence that are waited for.
            sleep: Waits some seconds.
        """
        host, port = address
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self.address_family, *_, place = found[0]
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(collector)
        self._patience = patience
        self._sleep = sleep
        # Not `HTTPServer`: that one asks the DNS for our name before it listens.
        super().__init__((str(place[0]), port), Handler)

    def get_request(self) -> tuple[socket.socket, object]:
        """
        Take the next connection; without a file to spare it is still there afterwards.
        """
        try:
            connection, client = super().get_request()
        except OSError:
            self._sleep(PAUSE)
            raise
        connection.settimeout(self._patience)
        return connection, client

    def shutdown_request(self, request: Request) -> None:
        """
        Hang up, and rest.
        """
        super().shutdown_request(request)
        self._sleep(PAUSE)

    def handle_error(self, request: Request, client_address: object) -> None:
        """
        Say what is ours to mend; a client that hangs up is not.
        """
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def answer(self) -> Callable[[], None]:
        """
        Answer from a thread of its own.

        Returns:
            What ends it.
        """
        thread = threading.Thread(
            target=self.serve_forever, name="scrapes", daemon=True
        )
        thread.start()

        def end() -> None:
            self.shutdown()
            self.server_close()
            thread.join()

        return end


class Handler(BaseHTTPRequestHandler):
    """One scrape."""

    server: Server

    def do_GET(self) -> None:
        """
        Give every metric.
        """
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404)
            return
        content = rendered(self.server.registry)
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """
        Say nothing of it.
        """


def serve(address: tuple[str, int], collector: Collector) -> Callable[[], None]:
    """
    Answer scrapes from a thread of its own.

    Args:
        address: Host and port to listen at.
        collector: What to answer.

    Returns:
        What ends it.

    Raises:
        ConfigError: Nothing can listen there.
    """
    try:
        return Server(address, collector).answer()
    except OSError as error:
        host, port = address
        raise ConfigError(
            f"--metrics-address: cannot listen at {host} port {port}: {error.strerror}"
        ) from error
