"""The client of the API server, against one that does everything wrong."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from conntrack_agent.answers import MAX_OBJECT
from conntrack_agent.cluster import ApiCluster
from conntrack_agent.errors import (
    ClusterError,
    Expired,
    Invalid,
    NotFound,
    Overloaded,
    Refused,
    Unavailable,
    Unreachable,
)
from conntrack_agent.follow import Follower, News
from conntrack_agent.testing import FakeClock, conntrack_node, node_spec
from conntrack_api.codec import to_object
from conntrack_api.node import NodeStatus

COLLECTION: Final = "/apis/conntrack.dev/v1alpha1/conntracknodes"
Answer = Callable[[ssl.SSLSocket], None]


class Authority:
    """A CA with one server certificate for this machine."""

    def __init__(self, folder: Path, name: str) -> None:
        """Make both, on disk."""
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
                critical=False,
            )
            .sign(key, hashes.SHA256())
        )
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        file = folder / f"{name}.pem"
        file.write_bytes(self.certificate + pem)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(file)


class Server:
    """Takes one request a connection, notes it, and answers as it was told to."""

    def __init__(self, authority: Authority) -> None:
        """Listen."""
        self.authority = authority
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[Answer] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def lines(self) -> list[str]:
        """Method and path of every request."""
        return [line for line, _, _ in self.requests]

    def stop(self) -> None:
        """Stop listening."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(60)

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self._socket.accept()
            except OSError:
                return
            raw.settimeout(60)
            try:
                with self.authority.context.wrap_socket(raw, server_side=True) as peer:
                    self._answer(peer)
            except OSError:
                raw.close()

    def _answer(self, peer: ssl.SSLSocket) -> None:
        text = b""
        while b"\r\n\r\n" not in text:
            more = peer.recv(65536)
            if not more:
                return
            text += more
        head, _, body = text.partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in rest)
        while len(body) < int(headers.get("content-length", "0")):
            body += peer.recv(65536)
        self.requests.append((first.rpartition(" ")[0], headers, body))
        answer = self.answers.pop(0) if self.answers else reply(500, {})
        answer(peer)


def reply(code: int, body: object, **headers: str) -> Answer:
    """A whole answer of JSON, or of text as it is."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    extra = "".join(f"{key.replace('_', '-')}: {v}\r\n" for key, v in headers.items())

    def answer(peer: ssl.SSLSocket) -> None:
        head = f"HTTP/1.1 {code} X\r\nContent-Length: {len(text)}\r\n{extra}"
        peer.sendall(f"{head}Connection: close\r\n\r\n".encode() + text)

    return answer


def stream(*chunks: bytes, end: str = "clean") -> Answer:
    """A chunked answer: ends cleanly, or breaks off, or falls silent."""

    def answer(peer: ssl.SSLSocket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for chunk in chunks:
            peer.sendall(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        if end == "clean":
            peer.sendall(b"0\r\n\r\n")
        elif end == "silence":
            peer.recv(1)

    return answer


def obj(generation: int = 1, **changes: object) -> dict[str, object]:
    """This node's object as the API server gives it."""
    meta = {
        "name": "n1",
        "uid": "object-uid",
        "generation": generation,
        "resourceVersion": f"{1000 + generation}",
    }
    spec = to_object(node_spec())
    return {"metadata": meta, "spec": spec, **changes}


def event(type_: str, content: object) -> bytes:
    """One line of a watch."""
    return json.dumps({"type": type_, "object": content}).encode() + b"\n"


@pytest.fixture(scope="module")
def authorities(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Authority, Authority]:
    """Two CAs that do not know each other."""
    folder = tmp_path_factory.mktemp("authorities")
    return Authority(folder, "one"), Authority(folder, "two")


@pytest.fixture
def server(authorities: tuple[Authority, Authority]) -> Iterator[Server]:
    """A server of the first CA."""
    server = Server(authorities[0])
    yield server
    server.stop()


@pytest.fixture
def cluster(server: Server, tmp_path: Path) -> ApiCluster:
    """A client that trusts it."""
    (tmp_path / "ca.crt").write_bytes(server.authority.certificate)
    (tmp_path / "token").write_text("first-token\n")
    return ApiCluster(
        server=server.url,
        node="n1",
        ca_file=tmp_path / "ca.crt",
        token_file=tmp_path / "token",
        silence=0.3,
        chance=lambda: 0.5,
    )


def test_the_object_is_read(server: Server, cluster: ApiCluster) -> None:
    """One GET of one object, with the token."""
    server.answers = [reply(200, obj(3))]

    node = cluster.get()

    assert conntrack_node(generation=3) == node
    ((line, headers, _),) = server.requests
    assert f"GET {COLLECTION}/n1" == line
    assert "bearer first-token" == headers["authorization"]
    assert headers["user-agent"].startswith("conntrack-agent/")


def test_the_object_is_watched_by_name(server: Server, cluster: ApiCluster) -> None:
    """One watch with a field selector; bookmarks are not news; deletion is."""
    server.answers = [
        stream(
            event("MODIFIED", obj(2)),
            event("BOOKMARK", {"metadata": {"resourceVersion": "9"}}),
            event("DELETED", obj(2)),
        )
    ]

    news = list(cluster.watch("1001"))

    assert [conntrack_node(generation=2), None] == news
    (line,) = server.lines
    assert line.startswith(f"GET {COLLECTION}?")
    for part in (
        "fieldSelector=metadata.name%3Dn1",
        "watch=true",
        "allowWatchBookmarks=true",
        "resourceVersion=1001",
        "timeoutSeconds=2700",
    ):
        assert part in line


def test_lines_may_be_cut_anywhere(server: Server, cluster: ApiCluster) -> None:
    """How the stream is cut into chunks does not matter."""
    text = event("MODIFIED", obj(2)) + event("MODIFIED", obj(3))
    server.answers = [stream(*(text[i : i + 7] for i in range(0, len(text), 7)))]

    news = list(cluster.watch("1"))

    assert [2, 3] == [each.generation for each in news if each]


def test_the_status_is_applied(server: Server, cluster: ApiCluster) -> None:
    """One server-side apply of the status alone, which names the object meant."""
    server.answers = [reply(200, obj())]

    cluster.apply_status("object-uid", NodeStatus(observed_generation=4))

    ((line, headers, body),) = server.requests
    assert f"PATCH {COLLECTION}/n1/status?fieldManager=conntrack-agent&force=true" == (
        line
    )
    assert "application/apply-patch+yaml" == headers["content-type"]
    expected = {
        "apiVersion": "conntrack.dev/v1alpha1",
        "kind": "ConntrackNode",
        "metadata": {"name": "n1", "uid": "object-uid"},
        "status": to_object(NodeStatus(observed_generation=4)),
    }
    assert expected == json.loads(body)


CODES: list[tuple[int, type[ClusterError]]] = [
    (301, Unavailable),
    (400, Invalid),
    (401, Refused),
    (403, Refused),
    (404, NotFound),
    (409, Invalid),
    (410, Expired),
    (418, Unavailable),
    (422, Invalid),
    (429, Overloaded),
    (500, Unavailable),
    (503, Unavailable),
]


@pytest.mark.parametrize(("code", "expected"), CODES)
@pytest.mark.parametrize("verb", ["get", "watch", "apply_status"])
def test_every_status_code_has_one_name(
    server: Server,
    cluster: ApiCluster,
    verb: str,
    code: int,
    expected: type[ClusterError],
) -> None:
    """One request, one error, with what the server said; no redirect is followed."""
    said = {"message": "this is why", "code": code}
    server.answers = [reply(code, said, Location=f"{server.url}/elsewhere")]

    with pytest.raises(ClusterError, match=f"{code}: this is why") as caught:
        ask(cluster, verb)

    assert expected is type(caught.value)
    assert 1 == len(server.requests)


def ask(cluster: ApiCluster, verb: str) -> None:
    """Send one request of a kind."""
    if verb == "get":
        cluster.get()
    elif verb == "watch":
        list(cluster.watch("1"))
    else:
        cluster.apply_status("object-uid", NodeStatus())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("3600", 3600.0),
        ("3601", None),
        ("99999999999999999999", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
        ("soon", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_whole_seconds(
    server: Server, cluster: ApiCluster, value: str, expected: float | None
) -> None:
    """What the server asks for is kept if it makes sense, and is none otherwise."""
    server.answers = [reply(429, {"message": "slow"}, Retry_After=value)]

    with pytest.raises(Unavailable) as caught:
        cluster.get()

    assert expected == caught.value.retry_after


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"7", b"null", b"\xff\xfe", b"[" * 50_000, b'"x"'],
    ids=lambda body: repr(body[:8]),
)
@pytest.mark.parametrize("code", [200, 500])
def test_answers_that_are_no_object(
    server: Server, cluster: ApiCluster, body: bytes, code: int
) -> None:
    """What is not an object is a broken answer, whatever it is."""
    server.answers = [reply(code, body)]

    with pytest.raises(Unavailable):
        cluster.get()


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"metadata": None, "spec": {}},
        {"metadata": [], "spec": {}},
        {"metadata": {"uid": 7, "generation": 1}},
        {"metadata": {"uid": "", "generation": 1}},
        {"metadata": {"uid": "u", "generation": "1"}},
    ],
)
def test_an_object_without_identity_is_a_broken_answer(
    server: Server, cluster: ApiCluster, content: object
) -> None:
    """Every object in an API server has a UID and a generation."""
    server.answers = [reply(200, content)]

    with pytest.raises(Unavailable):
        cluster.get()


def test_a_spec_that_does_not_hold_is_refused(
    server: Server, cluster: ApiCluster
) -> None:
    """Numbers out of their bounds never reach the kernel, whoever let them in."""
    spec = to_object(node_spec({"nf_conntrack_max": 5}))
    server.answers = [reply(200, obj(spec=spec))]

    with pytest.raises(Invalid, match=r"spec\.settings\.nf_conntrack_max"):
        cluster.get()


def test_the_object_of_another_node_is_refused(
    server: Server, cluster: ApiCluster
) -> None:
    """A server that mixes answers up must not make one node like another."""
    meta = {"name": "n2", "uid": "u", "generation": 1, "resourceVersion": "7"}
    other = {**obj(), "metadata": meta}
    server.answers = [reply(200, other), stream(event("MODIFIED", other))]

    with pytest.raises(Unavailable, match="the object of 'n2'"):
        cluster.get()
    with pytest.raises(Unavailable, match="the object of 'n2'"):
        list(cluster.watch("1"))


def test_an_endless_answer_is_not_read(server: Server, cluster: ApiCluster) -> None:
    """An answer is read as far as anything of ours can be long."""
    server.answers = [reply(200, b" " * (MAX_OBJECT + 2))]

    with pytest.raises(Unavailable, match="more than"):
        cluster.get()


def cut(peer: ssl.SSLSocket) -> None:
    """Promise more than is sent."""
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")


def hang_up(peer: ssl.SSLSocket) -> None:
    """Close without a word."""


def garbage(peer: ssl.SSLSocket) -> None:
    """Speak another protocol."""
    peer.sendall(b"\x00\x01\x02 hello\r\n\r\n")


@pytest.mark.parametrize("answer", [cut, hang_up, garbage])
@pytest.mark.parametrize("verb", ["get", "watch", "apply_status"])
def test_a_broken_connection_is_one_error(
    server: Server, cluster: ApiCluster, answer: Answer, verb: str
) -> None:
    """Nothing is tried again behind the caller's back."""
    server.answers = [answer]

    with pytest.raises(Unavailable):
        ask(cluster, verb)

    assert 1 == len(server.requests)


@pytest.mark.parametrize(
    ("answer", "news", "expected"),
    [
        (stream(), 0, None),
        (stream(event("MODIFIED", obj(2)), b'{"type": "MODI'), 1, None),
        (stream(event("MODIFIED", obj(2)), end="cut"), 1, Unreachable),
        (stream(event("MODIFIED", obj(2)), end="silence"), 1, Unreachable),
        (stream(end="silence"), 0, Unreachable),
        (stream(event("ERROR", {"code": 410, "message": "old"})), 0, Expired),
        (stream(event("ERROR", {"code": 500, "message": "no"})), 0, Unavailable),
        (stream(event("ERROR", {"code": 429})), 0, Overloaded),
        (stream(event("ERROR", {"code": 401})), 0, Refused),
        (stream(event("ERROR", {"code": [410]})), 0, Unavailable),
        (stream(event("ERROR", {})), 0, Unavailable),
        (stream(event("ERROR", None)), 0, Unavailable),
        (stream(event("MODIFIED", [1])), 0, Unavailable),
        (stream(event("MODIFIED", {})), 0, Unavailable),
        (stream(event("MODIFIED", obj(spec={}))), 0, Invalid),
        (stream(event("UNHEARD", obj())), 0, None),
        (stream(b"not json\n"), 0, Unavailable),
        (stream(b"\n"), 0, Unavailable),
        (stream(b"[1]\n"), 0, Unavailable),
        (stream(*[b"x" * 65536] * 20), 0, Unavailable),
    ],
)
def test_every_end_of_a_watch(
    server: Server,
    cluster: ApiCluster,
    answer: Answer,
    news: int,
    expected: type[ClusterError] | None,
) -> None:
    """Whole lines are told; the end is none, or exactly one error."""
    server.answers = [answer]
    told: list[News] = []

    if expected is None:
        for each in cluster.watch("1"):
            told.append(each)  # noqa: PERF402 - so that a broken end keeps what came
    else:
        with pytest.raises(ClusterError) as caught:  # noqa: PT012 - the same
            for each in cluster.watch("1"):
                told.append(each)  # noqa: PERF402
        assert expected is type(caught.value)

    assert news == len(told)
    assert 1 == len(server.requests)


def test_a_watch_that_is_left_is_hung_up(server: Server, cluster: ApiCluster) -> None:
    """Nobody keeps a connection open that nobody reads."""
    ended = threading.Event()

    def answer(peer: ssl.SSLSocket) -> None:
        stream(event("MODIFIED", obj(2)), end="open")(peer)
        if peer.recv(1) == b"":
            ended.set()

    server.answers = [answer]
    watch = cluster.watch("1")
    next(watch)

    watch.close()

    assert ended.wait(60)


def test_the_token_is_read_for_every_request(
    server: Server, cluster: ApiCluster, tmp_path: Path
) -> None:
    """A token that the kubelet has replaced is used at once."""
    server.answers = [reply(200, obj()), reply(200, obj())]
    cluster.get()
    (tmp_path / "token").write_text("second-token")
    cluster.get()

    assert ["bearer first-token", "bearer second-token"] == [
        headers["authorization"] for _, headers, _ in server.requests
    ]


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"a\r\nb: c", b"\xff"])
def test_a_token_in_the_middle_of_being_replaced(
    server: Server, cluster: ApiCluster, tmp_path: Path, content: bytes
) -> None:
    """What is not one word is not sent."""
    (tmp_path / "token").write_bytes(content)

    with pytest.raises(Refused, match="token cannot be read"):
        cluster.get()

    assert [] == server.requests


@pytest.mark.parametrize("name", ["token", "ca.crt"])
def test_missing_credentials(
    server: Server, cluster: ApiCluster, tmp_path: Path, name: str
) -> None:
    """A file that is not there yet is one error, and no request."""
    (tmp_path / name).unlink()

    with pytest.raises(Refused, match="cannot be read"):
        cluster.get()

    assert [] == server.requests


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"# none\n", b"CERTIFICATE", b"\xff\xfe"]
)
def test_an_empty_bundle_trusts_nobody(
    server: Server, cluster: ApiCluster, tmp_path: Path, content: bytes
) -> None:
    """Without a certificate in it, the system's own authorities are not used."""
    (tmp_path / "ca.crt").write_bytes(content)

    with pytest.raises(Refused, match="CA bundle cannot be read"):
        cluster.get()

    assert [] == server.requests


def test_comments_in_a_bundle_may_be_in_any_language(
    server: Server, cluster: ApiCluster, tmp_path: Path
) -> None:
    """Only the certificates count."""
    server.answers = [reply(200, obj())]
    bundle = "# Autorité\n".encode() + server.authority.certificate
    (tmp_path / "ca.crt").write_bytes(bundle)

    assert 1 == cluster.get().generation


def test_a_server_of_another_authority_is_not_trusted(
    server: Server, cluster: ApiCluster, authorities: tuple[Authority, Authority]
) -> None:
    """The token is not shown to a server that the bundle does not know."""
    server.authority = authorities[1]

    with pytest.raises(Unavailable, match=r"(?i)certificate"):
        cluster.get()

    assert [] == server.requests


def test_a_rotated_ca_is_taken_up(
    server: Server,
    cluster: ApiCluster,
    authorities: tuple[Authority, Authority],
    tmp_path: Path,
) -> None:
    """A changed bundle holds from the next request on."""
    server.answers = [reply(200, obj(1)), reply(200, obj(2))]
    cluster.get()
    server.authority = authorities[1]
    (tmp_path / "ca.crt").write_bytes(authorities[1].certificate)

    assert 2 == cluster.get().generation


def test_a_server_that_is_not_there(tmp_path: Path, cluster: ApiCluster) -> None:
    """A refused connection is one error in the same words every time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    away = ApiCluster(
        server=f"https://127.0.0.1:{port}",
        node="n1",
        ca_file=tmp_path / "ca.crt",
        token_file=tmp_path / "token",
    )
    texts = set()
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            away.get()
        texts.add(str(caught.value))

    assert 1 == len(texts)
    assert isinstance(cluster, ApiCluster)


def test_an_object_that_is_made_and_taken_away(
    server: Server, cluster: ApiCluster
) -> None:
    """The follower, over the wire: 404, made, deleted; two requests in that round."""
    server.answers = [
        reply(404, {"message": "not found"}),
        stream(event("ADDED", obj(1)), event("DELETED", obj(1))),
    ]
    told: list[News] = []
    clock = FakeClock()

    Follower(cluster, told.append, clock=clock, sleep=clock.sleep).follow_once()

    assert [None, conntrack_node(), None] == told
    assert 2 == len(server.requests)
