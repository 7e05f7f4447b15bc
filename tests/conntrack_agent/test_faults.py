"""The real agent process, killed or refused at its system calls that write."""

import itertools
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

import pytest
from _pytest.mark import ParameterSet
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from conntrack_agent.agent import Agent
from conntrack_agent.fake_kernel import BOOT_ID
from conntrack_agent.journal import DiskJournal
from conntrack_agent.kernel import LinuxKernel
from conntrack_agent.observations import BUCKETS, COUNT, HASHSIZE, LIMIT
from conntrack_agent.testing import (
    ESTABLISHED,
    FakeClock,
    conntrack_node,
    node_spec,
    tree,
)
from conntrack_api.codec import to_object
from conntrack_api.growth import NodeGrowth
from conntrack_api.node import ConntrackNode, NodeMode, NodeSpec
from conntrack_api.settings import SETTINGS

FIXTURE = Path(__file__).parent / "fixtures" / "linux-6.12"
NOW = "2026-01-01T00:00:00Z"
MAX, HASH = "nf_conntrack_max", "nf_conntrack_buckets"
CALLS = "openat,write,fsync,rename,unlink,mkdir"
FILES = (*(f"proc/sys/net/{each.file}" for each in SETTINGS), HASHSIZE)
SEVERAL = {
    each.name: 17 + number
    for number, each in enumerate(SETTINGS)
    if "_timeout_" in each.name and "sctp" in each.name
}


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What the node went through, and what it is told now."""

    wish: NodeSpec
    before: NodeSpec | None = None
    """Carried out by an earlier agent."""
    reboot: bool = False
    """The machine was started anew since: the earlier wish is to be met again."""
    entries: int | None = None
    """Flows that are tracked by now; ``None``: as many as the tree has."""
    spoilt: bool = False
    """Another program took a value back while the change soaked."""
    writes: int
    """Kernel files that have to be written."""


RAISE = {MAX: 262144, HASH: 131072, ESTABLISHED: 86400}
GROWS = NodeGrowth(at_percent=80, factor=2, ceiling=1_048_576)
LOWER = {MAX: 32768, HASH: 8192, ESTABLISHED: 432000}
SCENARIOS: Final = {
    "raise": Scenario(wish=node_spec(RAISE), writes=3),
    "lower": Scenario(wish=node_spec(LOWER), writes=2),
    "timeouts": Scenario(wish=node_spec(SEVERAL), writes=len(SEVERAL)),
    "another": Scenario(
        before=node_spec(RAISE), wish=node_spec(LOWER, revision="r2"), writes=3
    ),
    "revert": Scenario(
        before=node_spec(RAISE),
        wish=node_spec(RAISE, mode=NodeMode.REVERT, revision="r2"),
        writes=3,
    ),
    "taken back": Scenario(
        before=node_spec(RAISE, soak_seconds=3600),
        wish=node_spec(RAISE, soak_seconds=3600),
        spoilt=True,
        writes=3,
    ),
    "growth": Scenario(
        before=replace(node_spec(RAISE), growth=GROWS),
        wish=replace(node_spec(RAISE), growth=GROWS),
        entries=250_000,
        writes=2,
    ),
    "reboot": Scenario(
        before=node_spec(RAISE),
        wish=node_spec(RAISE | SEVERAL, revision="r2"),
        reboot=True,
        writes=3 + len(SEVERAL),
    ),
}


class Quiet(ThreadingHTTPServer):
    """Says nothing of a client that was killed."""

    def handle_error(self, *_: object) -> None:
        """Go on."""


class ApiServer:
    """A node's object over HTTPS, and every status that was written."""

    def __init__(self, folder: Path) -> None:
        """Listen, with a certificate of its own."""
        self.ca = folder / "ca.crt"
        self.node: dict[str, Any] = {}
        self.statuses: list[dict[str, Any]] = []
        self.reported = threading.Event()
        self.ends = threading.Event()
        server = Quiet(("127.0.0.1", 0), self._handler())
        server.daemon_threads = True
        server.block_on_close = False
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate(self.ca))
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = f"https://127.0.0.1:{server.server_address[1]}"
        self._server = server
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def tell(self, node: ConntrackNode) -> None:
        """Have this object from now on."""
        self.node = {
            "metadata": {
                "name": node.name,
                "uid": node.uid,
                "generation": node.generation,
                "resourceVersion": node.resource_version,
            },
            "spec": to_object(node.spec),
        }
        self.statuses.clear()
        self.reported.clear()

    def stop(self) -> None:
        """Answer no more."""
        self.ends.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                """Give the object, or a stream in which nothing happens."""
                if "watch=true" not in self.path:
                    self._answer(api.node)
                    return
                self.send_response(200)
                self.end_headers()
                self.wfile.flush()
                api.ends.wait()

            def do_PATCH(self) -> None:
                """Take the status."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                api.statuses.append(json.loads(body)["status"])
                self._answer({})
                api.reported.set()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def _answer(self, content: dict[str, Any]) -> None:
                text = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        return Handler


def certificate(ca: Path) -> Path:
    """Make a certificate for this machine; give the file with its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    address = x509.IPAddress(IPv4Address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=5))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    ca.write_bytes(pem)
    both = ca.with_name("server.pem")
    both.write_bytes(pem + private)
    return both


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One API server for all."""
    made = ApiServer(tmp_path_factory.mktemp("server"))
    yield made
    made.stop()


@pytest.fixture(scope="module", autouse=True)
def _tracing() -> None:
    """Skip where no process may be traced."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    done = subprocess.run(
        ["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("processes cannot be traced here (ptrace)")


@dataclass(frozen=True)
class Point:
    """The n-th call of a name, on a file of the kernel or of the journal."""

    call: str
    number: int
    line: str
    """As the tracer wrote it."""


@dataclass
class Life:
    """One run of the process under the tracer."""

    trace: list[str]
    killed: bool
    said: str = ""
    """The process's log."""
    status: Mapping[str, Any] = field(default_factory=dict)

    @property
    def points(self) -> list[Point]:
        """Every system call that may change a file."""
        counted: Counter[str] = Counter()
        found = []
        for line in self.trace:
            call = line.partition("(")[0].split()[-1]
            counted[call] += 1
            if call != "openat" or "O_WRONLY" in line:
                found.append(Point(call, counted[call], line))
        return found

    def first(self, call: str, word: str) -> int:
        """Number of the first writing call of a name that has a word in it."""
        return next(
            each.number
            for each in self.points
            if each.call == call and word in each.line
        )

    @property
    def written(self) -> list[str]:
        """The kernel's files that took a value, in order."""
        pattern = re.compile(r"write\(\d+<[^>]*/host/([^>]*)>.*= [1-9]\d*$")
        return [found[1] for line in self.trace if (found := pattern.search(line))]

    @property
    def ready(self) -> dict[str, Any]:
        """What the node said about itself."""
        found: dict[str, Any] = next(
            each for each in self.status["conditions"] if each["type"] == "Ready"
        )
        return found


@dataclass
class Machine:
    """A node of ordinary files: its kernel and its disk."""

    folder: Path

    @property
    def root(self) -> Path:
        """The host's files."""
        return self.folder / "host"

    @property
    def values(self) -> dict[str, str]:
        """Content of every file of the kernel that may be written."""
        files = [each for each in FILES if (self.root / each).exists()]
        return {each: (self.root / each).read_text() for each in files}

    def copy(self, folder: Path) -> "Machine":
        """Make another one just like it."""
        shutil.copytree(self.folder, folder)
        return Machine(folder)

    def mend(self, before: Mapping[str, str]) -> None:
        """
        Fill the file that a kill has left empty: opening a sysctl to write does not.
        """
        for file, text in self.values.items():
            if not text:
                (self.root / file).write_text(before[file])

    def agent(self, clock: FakeClock) -> Agent:
        """Start an agent within this process."""
        journal = DiskJournal(self.folder / "state", "n1")
        return Agent(LinuxKernel(self.root), journal, clock=clock, chance=lambda: 0.5)

    def recover(self, node: ConntrackNode | None) -> int:
        """Run an agent until nothing happens any more; give its kernel writes."""
        clock, writes = FakeClock(), 0
        agent = self.agent(clock)
        if node:
            agent.accept(node)
        for _ in range(6):
            before = self.values
            clock.sleep(11)
            agent.pass_once(NOW)
            after = self.values
            writes += sum(1 for each in after if after[each] != before[each])
        return writes

    def live(self, server: ApiServer, inject: str = "") -> Life:
        """Run the process until it reports or dies."""
        server.reported.clear()
        log = self.folder / "trace"
        (self.folder / "token").write_text("token")
        state = self.folder / "state"
        watched = [state, state / "journal.new", state / "journal.json"]
        watched += [self.root / each for each in FILES]
        command = [
            *("strace", "-f", "-y", "-qq", "-s", "64", "-o", str(log)),
            *("-e", f"trace={CALLS}", "-e", "signal=none"),
            *(["-e", f"inject={inject}"] if inject else []),
            *(word for each in watched for word in ("-P", str(each))),
            *(sys.executable, "-m", "conntrack_agent", "--node=n1"),
            *(f"--server={server.url}", "--observe-seconds=60", "--start-seconds=0"),
            *(f"--host-root={self.root}", f"--state-dir={state}"),
            *(f"--token-file={self.folder / 'token'}", f"--ca-file={server.ca}"),
        ]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(
            command, env=environment, stderr=subprocess.PIPE, start_new_session=True
        ) as process:

            def wait() -> None:
                process.wait()
                server.reported.set()

            ended = threading.Thread(target=wait, daemon=True)
            ended.start()
            assert server.reported.wait(60), "neither an answer nor an end"
            if server.statuses:
                os.killpg(process.pid, signal.SIGTERM)
            ended.join(60)
            assert process.stderr
            said = process.stderr.read().decode()
        assert "Traceback" not in said
        trace = [
            line
            for line in log.read_text().splitlines()
            if re.match(rf"\d+ +({CALLS.replace(',', '|')})\(", line)
        ]
        status = server.statuses[-1] if server.statuses else {}
        return Life(trace=trace, killed=not status, said=said, status=status)


def machine(scenario: Scenario, folder: Path) -> Machine:
    """Make a node that went through what a scenario says."""
    folder.mkdir()
    made = Machine(folder)
    tree(FIXTURE, made.root)
    original = made.values
    (folder / "state").mkdir(mode=0o700)
    if scenario.before:
        clock = FakeClock()
        agent = made.agent(clock)
        agent.accept(conntrack_node(scenario.before))
        assert agent.pass_once(NOW) is not None
    if scenario.entries is not None:
        count = made.root / COUNT
        count.chmod(0o644)
        count.write_text(f"{scenario.entries}\n")
    if scenario.spoilt:
        (made.root / "proc/sys/net/netfilter" / ESTABLISHED).write_text("7\n")
    if scenario.reboot:
        for file, text in original.items():
            (made.root / file).write_text(text)
        boot = made.root / BOOT_ID
        boot.chmod(0o644)
        boot.write_text("second-boot\n")
    return made


def kill_everywhere(name: str, server: ApiServer, tmp_path: Path, *, step: int) -> int:
    """Kill the process at its points, and see what becomes of the node."""
    scenario = SCENARIOS[name]
    node = conntrack_node(scenario.wish, generation=2)
    fresh = machine(scenario, tmp_path / "fresh")
    old = fresh.values
    whole = fresh.copy(tmp_path / "whole")
    server.tell(node)
    unharmed = whole.live(server)
    expected = "False" if scenario.spoilt else "True"
    assert expected == unharmed.ready["status"], unharmed.ready
    assert scenario.writes == len(unharmed.written)
    new, points = whole.values, unharmed.points
    assert old != new
    earlier = old
    if scenario.reboot:
        rested = fresh.copy(tmp_path / "rested")
        rested.recover(None)
        earlier = rested.values
    for index, point in enumerate(points):
        if index % step:
            continue
        server.tell(node)
        hurt = fresh.copy(tmp_path / f"{index}")
        life = hurt.live(server, f"{point.call}:signal=KILL:when={point.number}")
        assert life.killed, point
        hurt.mend(old)
        # What was overwritten is on disk already.
        known = DiskJournal(hurt.folder / "state", "n1").load().baseline
        assert {Path(each).name for each in life.written} <= known.keys(), point
        # Alone it finishes what it knows of; told again it does all of it. No file
        # that has taken its value is written a second time.
        alone = hurt.copy(tmp_path / f"{index}-alone")
        wrote = len(life.written) + alone.recover(None)
        assert alone.values in (earlier, new), point
        assert wrote <= scenario.writes, (point, wrote)
        wrote = len(life.written) + hurt.recover(node)
        assert new == hurt.values, point
        assert scenario.writes == wrote, (point, wrote)
        shutil.rmtree(alone.folder)
        shutil.rmtree(hurt.folder)
    return len(points)


@pytest.mark.parametrize("name", ["raise", "revert", "taken back"])
def test_some_kills(name: str, server: ApiServer, tmp_path: Path) -> None:
    """Old values or new, never a mixture: every 7th point."""
    kill_everywhere(name, server, tmp_path, step=7)


@pytest.mark.faults
@pytest.mark.parametrize("name", SCENARIOS)
def test_all_kills(name: str, server: ApiServer, tmp_path: Path) -> None:
    """Old values or new, never a mixture: every point, more than 200 altogether."""
    points = kill_everywhere(name, server, tmp_path, step=1)

    # The disk: remove, make, fill, sync, rename, open the folder, sync it.
    assert points >= 4 * 6 + 2 * SCENARIOS[name].writes


def sample(
    calls: list[str], numbers: list[str], *always: tuple[str, str]
) -> list[ParameterSet]:
    """Pair every call with every error; but for some only in the long run."""
    return [
        pytest.param(
            *pair,
            id="-".join(pair),
            marks=[] if pair in always else [pytest.mark.faults],
        )
        for pair in itertools.product(calls, numbers)
    ]


KERNEL_ERRORS = ["EPERM", "EACCES", "EROFS", "EINVAL", "ENOMEM", "EIO", "EOPNOTSUPP"]


@pytest.mark.parametrize(
    ("call", "number"),
    sample(
        ["openat", "write"], KERNEL_ERRORS, ("openat", "EROFS"), ("write", "ENOMEM")
    ),
)
def test_a_refused_write_is_told_and_hides_no_other(
    call: str, number: str, server: ApiServer, tmp_path: Path
) -> None:
    """What the kernel refuses keeps its value; the rest is set; the error is named."""
    scenario = SCENARIOS["timeouts"]
    node = machine(scenario, tmp_path / "node")
    old = node.values
    server.tell(conntrack_node(scenario.wish))
    whole = node.copy(tmp_path / "whole").live(server)
    victim = whole.written[1]
    at = whole.first(call, victim)
    server.tell(conntrack_node(scenario.wish))

    life = node.live(server, f"{call}:error={number}:when={at}")

    node.mend(old)
    assert "WriteRefused" == life.ready["reason"]
    setting = victim.rpartition("/")[2]
    assert [setting] == [each["setting"] for each in life.status["failures"]]
    # A file that was opened to be written is empty now, which a sysctl would not be;
    # so the error is looked for in the log.
    assert f"{setting}: " in life.said
    assert f"({number})" in life.said.replace("ENOTSUP)", "EOPNOTSUPP)")
    wanted = {f"proc/sys/net/netfilter/{key}": v for key, v in SEVERAL.items()}
    for file, value in wanted.items():
        assert (old[file] if file == victim else f"{value}\n") == node.values[file]


@pytest.mark.parametrize("taken", [0, 2])
def test_a_short_write_is_no_success(
    taken: int, server: ApiServer, tmp_path: Path
) -> None:
    """A value of which the kernel took a part is not as asked, and that is said."""
    scenario = Scenario(wish=node_spec({ESTABLISHED: 86400}), writes=1)
    node = machine(scenario, tmp_path / "node")
    server.tell(conntrack_node(scenario.wish))
    whole = node.copy(tmp_path / "whole").live(server)
    at = whole.first("write", ESTABLISHED)
    server.tell(conntrack_node(scenario.wish))

    life = node.live(server, f"write:retval={taken}:when={at}")

    assert "False" == life.ready["status"]
    assert f"only {taken} of 6 bytes" in life.said


@pytest.mark.parametrize(
    ("call", "number"),
    sample(
        ["openat", "write", "fsync", "rename"],
        ["ENOSPC", "EROFS", "EIO", "EDQUOT"],
        ("write", "ENOSPC"),
        ("fsync", "EIO"),
    ),
)
def test_without_a_journal_nothing_is_written(
    call: str, number: str, server: ApiServer, tmp_path: Path
) -> None:
    """A disk that refuses: the kernel keeps its values, and the reason is told."""
    node = machine(SCENARIOS["raise"], tmp_path / "node")
    old = node.values
    server.tell(conntrack_node(SCENARIOS["raise"].wish))
    whole = node.copy(tmp_path / "whole").live(server)
    first = whole.first(call, "journal.new")
    server.tell(conntrack_node(SCENARIOS["raise"].wish))

    # Every later call fails, too; those of a kernel file are refused all the same.
    life = node.live(server, f"{call}:error={number}:when={first}+")

    assert "JournalUnavailable" == life.ready["reason"]
    assert old == node.values


def test_the_size_is_written_in_its_order(server: ApiServer, tmp_path: Path) -> None:
    """Growing, the buckets come first; shrinking, the limit."""
    orders = {}
    for name in ("raise", "lower"):
        node = machine(SCENARIOS[name], tmp_path / name)
        server.tell(conntrack_node(SCENARIOS[name].wish))
        orders[name] = node.live(server).written[:2]

    assert {"raise": [BUCKETS, LIMIT], "lower": [LIMIT, BUCKETS]} == orders
