"""The port where metrics are read: what it costs, whoever connects to it."""

import errno
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection, RemoteDisconnected

import pytest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from conntrack_agent.errors import ConfigError
from conntrack_agent.scrapes import PAUSE, Server, serve

MANY = 30


class Nothing(Collector):
    """Metrics of something that has none."""

    def collect(self) -> Iterator[Metric]:
        """Give nothing."""
        yield from ()


class Broken(Collector):
    """Metrics that cannot be made."""

    def collect(self) -> Iterator[Metric]:
        """Fail."""
        raise ValueError("ours to mend")


@pytest.fixture
def rests() -> list[float]:
    """Every pause that a server made."""
    return []


@pytest.fixture
def server(rests: list[float]) -> Iterator[Server]:
    """A server that waits a moment for silent clients."""
    made = Server(("127.0.0.1", 0), Nothing(), patience=0.01, sleep=rests.append)
    end = made.answer()
    yield made
    end()


def place(server: Server) -> tuple[str, int]:
    """Where it listens."""
    host, port = server.server_address[:2]
    return str(host), port


def scrape(server: Server, path: str = "/metrics") -> int:
    """Read something once; give the code of the answer."""
    with closing(HTTPConnection(*place(server), timeout=60)) as client:
        client.request("GET", path)
        return client.getresponse().status


def test_silent_clients_cost_no_threads_and_are_hung_up_on(server: Server) -> None:
    """However many there are, and whoever comes after them is answered."""
    before = threading.active_count()
    clients = [socket.create_connection(place(server), 60) for _ in range(MANY)]

    assert 200 == scrape(server)
    assert before == threading.active_count()
    for each in clients:
        with each:
            assert b"" == each.recv(1)


def test_each_connection_is_followed_by_a_rest(
    server: Server, rests: list[float]
) -> None:
    """So scrapes without end do not take the processor, whatever they ask for."""
    paths = ("/metrics", "/metrics?name[]=x", "/", "/metrics/")
    codes = [scrape(server, path) for path in paths]
    socket.create_connection(place(server)).close()
    assert 200 == scrape(server)

    assert [200, 200, 404, 404] == codes
    assert [PAUSE] * 5 == rests[:5]


def test_a_client_that_hangs_up_is_no_news(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nor does it end the server."""
    for _ in range(3):
        client = socket.create_connection(place(server))
        client.sendall(b"GET /metr")
        # Lets the kernel answer with a reset at once.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0" + bytes(4))
        client.close()
    assert 200 == scrape(server)

    assert ("", "") == capfd.readouterr()


def test_without_a_file_to_spare_it_rests_and_goes_on(
    server: Server, rests: list[float]
) -> None:
    """A connection that cannot be taken stays, and must not be asked for in a loop."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare: list[int] = []
    with socket.socket() as client:
        resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 9, limits[1]))
        try:
            with suppress(OSError):
                while True:
                    spare.append(os.dup(client.fileno()))
            client.connect(place(server))
            until = time.monotonic() + 60
            while not rests and time.monotonic() < until:
                time.sleep(0.001)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for each in spare:
                os.close(each)

    assert PAUSE == rests[0]
    assert 200 == scrape(server)


def test_what_is_ours_to_mend_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    """A scrape that fails says where; the next one is answered, too."""
    server = Server(("127.0.0.1", 0), Broken())
    end = server.answer()
    for _ in range(2):
        with pytest.raises(RemoteDisconnected):
            scrape(server)
    end()

    assert 2 == capfd.readouterr().err.count("ValueError: ours to mend")


def test_an_address_of_the_next_protocol_is_listened_at() -> None:
    """Nodes may have no other."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    server = Server(("::1", 0), Nothing())
    end = server.answer()
    assert 200 == scrape(server)
    end()


def test_an_address_in_use_is_said() -> None:
    """The agent does not start without the metrics that were asked for."""
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(ConfigError, match="cannot listen at 127") as info,
    ):
        serve(other.getsockname(), Nothing())

    assert isinstance(info.value.__cause__, OSError)
    assert errno.EADDRINUSE == info.value.__cause__.errno
