"""
Agents without an API server, on copies of a captured kernel; and their neighbour.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.process import cpu_milliseconds, resident_mib
from conntrack_agent.journal import DiskJournal
from conntrack_agent.memory import Accepted, Memory
from conntrack_agent.observations import COUNT
from conntrack_agent.testing import node_spec, tree
from conntrack_api.node import NodeMode
from demo.cast import FIXTURES
from demo.errors import DemoFailed

EXPORTER = "prometheus-node-exporter"
_DEADLINE = 30.0
_BOOT_ID = "proc/sys/kernel/random/boot_id"


@contextmanager
def agent(folder: Path, port: int = 0, observe_seconds: str = "5") -> Iterator[int]:
    """
    Run an agent that was told something before its API server went away.

    Args:
        folder: Becomes its host and its state; must not be there yet.
        port: Where to serve metrics; 0: nowhere.
        observe_seconds: Pause between two looks at everything.

    Yields:
        Its process id.
    """
    folder.mkdir()
    root = tree(FIXTURES / "linux-6.12", folder / "host")
    told = Accepted(
        object_uid="u", generation=1, spec=node_spec({}, mode=NodeMode.OBSERVE)
    )
    boot_id = (root / _BOOT_ID).read_text().strip()
    DiskJournal(folder / "state", "n1").save(Memory(boot_id=boot_id, accepted=told))
    command = [
        *(sys.executable, "-m", "conntrack_agent", "--node=n1"),
        *("--server=https://127.0.0.1:1", f"--host-root={root}"),
        *(f"--state-dir={folder / 'state'}", f"--observe-seconds={observe_seconds}"),
    ]
    if port:
        command.append(f"--metrics-address=127.0.0.1:{port}")
    with running(command) as pid:
        yield pid


@contextmanager
def running(command: list[str]) -> Iterator[int]:
    """
    Run a program, and end it.
    """
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


def scrape(port: int) -> str:
    """
    Read metrics; empty while nobody answers.
    """
    with (
        suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        return str(answer.read().decode())
    return ""


def await_metric(port: int, text: str) -> None:
    """
    Scrape until a line is there.
    """
    until = time.monotonic() + _DEADLINE
    while text not in scrape(port):
        if time.monotonic() > until:
            raise DemoFailed(f"no {text!r} at port {port} in {_DEADLINE:.0f} s")
        time.sleep(0.005)


def under_scrapes(pid: int, port: int, seconds: float) -> tuple[float, float]:
    """
    Scrape a process once a second for a while.

    Returns:
        Resident MiB at the end, and milliseconds of CPU for each second.
    """
    before = cpu_milliseconds(pid)
    for _ in range(max(1, int(seconds))):
        scrape(port)
        time.sleep(1)
    return resident_mib(pid), (cpu_milliseconds(pid) - before) / max(1, int(seconds))


def exporter(seconds: float) -> tuple[float, float] | None:
    """
    Measure the node exporter, its conntrack collector alone, scraped in the same way.

    Returns:
        As `under_scrapes`; ``None`` when it is not installed.
    """
    program = shutil.which(EXPORTER)
    if not program:
        return None
    port = free_port()
    command = [
        *(program, "--collector.disable-defaults", "--collector.conntrack"),
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(command) as pid:
        await_metric(port, "node_nf_conntrack_entries")
        return under_scrapes(pid, port, seconds)


def fill_milliseconds(folder: Path, rounds: int) -> list[float]:
    """
    Fill a table suddenly, and wait until the agent has seen it.

    Returns:
        Milliseconds from the new count to the metric that shows it. Each rise comes
        just after the fall before it was seen, so this is the longest wait.
    """
    port, values = free_port(), []
    with agent(folder, port):
        count = folder / "host" / COUNT
        count.chmod(0o644)
        await_metric(port, "conntrack_agent_entries ")
        for index in range(rounds):
            entries = (7000, 1000)[index % 2] + index
            began = time.perf_counter()
            count.write_text(f"{entries}\n")
            await_metric(port, f"conntrack_agent_entries {entries}.0")
            if index % 2 == 0:
                values.append((time.perf_counter() - began) * 1000)
    return values


def free_port() -> int:
    """
    Find a port that nobody listens at.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
