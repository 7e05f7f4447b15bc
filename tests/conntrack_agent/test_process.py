"""The agent as a process: how it starts, works alone, and ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conntrack_agent.fake_kernel import BOOT_ID
from conntrack_agent.journal import DiskJournal
from conntrack_agent.memory import Accepted, Memory
from conntrack_agent.testing import ESTABLISHED, node_spec, tree

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host of ordinary files."""
    return tree(FIXTURES / "linux-6.12", tmp_path / "host")


def command(tmp_path: Path, *more: str) -> list[str]:
    """The command line of an agent without an API server."""
    return [
        *(sys.executable, "-m", "conntrack_agent"),
        *("--node=n1", "--server=https://127.0.0.1:1", "--observe-seconds=0.1"),
        "--start-seconds=0",
        f"--host-root={tmp_path / 'host'}",
        f"--state-dir={tmp_path / 'state'}",
        f"--token-file={tmp_path / 'token'}",
        f"--ca-file={tmp_path / 'ca.crt'}",
        *more,
    ]


ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@contextmanager
def running(tmp_path: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Run an agent; it is gone at the end."""
    with subprocess.Popen(
        command(tmp_path, *more), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> dict[str, object]:
    """Wait for the next line of the log."""
    assert process.stderr is not None
    parsed: dict[str, object] = json.loads(process.stderr.readline())
    return parsed


def journalled(tmp_path: Path) -> None:
    """Leave the journal of an agent that accepted a wish and was killed."""
    accepted = Accepted(object_uid="u", generation=1, spec=node_spec())
    boot_id = (tmp_path / "host" / BOOT_ID).read_text().strip()
    memory = Memory(boot_id=boot_id, accepted=accepted)
    DiskJournal(tmp_path / "state", "n1").save(memory)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.usefixtures("host")
def test_it_ends_when_told_to(tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM is the usual end: exit code 0, no traceback."""
    with running(tmp_path) as process:
        assert "cluster unavailable" == line(process)["message"]

        process.send_signal(number)

        assert 0 == process.wait(60)
        assert process.stderr is not None
        # It may have tried once more before it was told.
        rest = {json.loads(each)["message"] for each in process.stderr}
        assert rest <= {"cluster unavailable"}


HANGING = """
import time
from conntrack_agent.__main__ import end_when_told
from conntrack_agent.agent import Agent
from conntrack_agent.fake_kernel import FakeKernel
from conntrack_agent.loop import Loop
from conntrack_agent.testing import FakeJournal, conntrack_node

class Silent:
    def apply_status(self, uid, status):
        print("asked", flush=True)
        time.sleep(600)

agent = Agent(FakeKernel(), FakeJournal(), clock=time.monotonic)
loop = Loop(agent, Silent(), observe_seconds=60, clock=time.monotonic)
end_when_told(loop)
loop.tell(conntrack_node())
loop.run(lambda: None)
"""


def test_its_end_waits_for_no_answer() -> None:
    """A node that is drained while the API server is silent is not held up."""
    with subprocess.Popen(
        [sys.executable, "-c", HANGING],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert "asked\n" == process.stdout.readline()
            process.send_signal(signal.SIGTERM)

            assert 0 == process.wait(60)
            assert "" == process.stderr.read()
        finally:
            process.kill()


def test_it_works_without_an_api_server(host: Path, tmp_path: Path) -> None:
    """A wish in the journal is carried out on the host; the end changes nothing."""
    journalled(tmp_path)
    with running(tmp_path) as process:
        while (found := line(process))["message"] != "applied":
            assert "cluster unavailable" == found["message"]
        process.send_signal(signal.SIGTERM)
        process.wait(60)

    assert [f"{ESTABLISHED} 432000 -> 86400"] == found["changes"]
    assert [] == found["failed"]
    setting = host / "proc/sys/net/netfilter" / ESTABLISHED
    assert "86400\n" == setting.read_text()
    memory = DiskJournal(tmp_path / "state", "n1").load()
    assert {ESTABLISHED: 432000} == memory.baseline


@pytest.mark.usefixtures("host")
def test_a_second_agent_does_not_start(tmp_path: Path) -> None:
    """One sentence and exit code 2."""
    with running(tmp_path) as process:
        line(process)

        second = subprocess.run(
            command(tmp_path),
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert 2 == second.returncode
    assert "another agent is using it" in second.stderr
    assert 1 == len(second.stderr.splitlines())


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--observe-seconds=never", "--observe-seconds: found 'never', must be a num"),
        ("--state-dir=/dev/null", "--state-dir: /dev/null cannot be made or opened: "),
        ("--state-dir=/dev/null/x", "--state-dir: /dev/null/x cannot be made or "),
        ("--state-dir=/proc/x", "--state-dir: /proc/x cannot be made or opened: "),
        ("--metrics-address=8.8.8.8:1", "--metrics-address: cannot listen at 8.8.8"),
    ],
)
@pytest.mark.usefixtures("host")
def test_a_wrong_flag_is_one_sentence(tmp_path: Path, flag: str, expected: str) -> None:
    """No traceback for what a person mistyped; the flag is named."""
    done = subprocess.run(
        command(tmp_path, flag),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert 2 == done.returncode
    assert done.stderr.startswith(f"conntrack-agent: {expected}")
    assert 1 == len(done.stderr.splitlines())


@pytest.mark.usefixtures("host")
def test_an_idle_agent_is_small(tmp_path: Path) -> None:
    """At most 32 MiB resident, on a host that does nothing."""
    journalled(tmp_path)
    with running(tmp_path) as process:
        while line(process)["message"] != "applied":
            pass
        status = Path(f"/proc/{process.pid}/status").read_text()

    (resident,) = [each for each in status.splitlines() if each.startswith("VmRSS")]
    assert int(resident.split()[1]) <= 32 * 1024


def test_a_library_that_warns_does_not_write_past_the_log() -> None:
    """Every line can be parsed: urllib3 would warn of a wrong clock at each try."""
    script = (
        "import conntrack_agent.__main__, conntrack_agent.logs as logs, warnings\n"
        "from urllib3.exceptions import SystemTimeWarning\n"
        "logs.start('json')\n"
        "warnings.warn('System time is way off', SystemTimeWarning)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "" == done.stderr


def test_a_turn_that_hangs_ends_the_process() -> None:
    """No probe asks an agent how it is: it ends itself, and says where it hung."""
    script = "import conntrack_agent.__main__ as m; m.alive(0.1); input()"

    with subprocess.Popen(
        [sys.executable, "-c", script],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert 1 == process.wait(60)
        assert process.stderr is not None
        assert "Timeout (0:00:00.100000)!" in process.stderr.read()
