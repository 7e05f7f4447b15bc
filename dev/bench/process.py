"""
What a running process costs, read from ``/proc``.
"""

import subprocess
import sys
import time
from pathlib import Path

_KIB = 1024


def resident_mib(pid: int) -> float:
    """
    Give a process's resident memory in MiB.
    """
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / _KIB
    return 0.0


def cpu_milliseconds(pid: int) -> float:
    """
    Give the CPU time that all threads of a process have used, in milliseconds.

    ``schedstat`` counts nanoseconds; ``stat`` counts ticks of 10 ms, too coarse for
    a process that is idle.
    """
    tasks = Path(f"/proc/{pid}/task").iterdir()
    spent = (int((task / "schedstat").read_text().split()[0]) for task in tasks)
    return sum(spent) / 1e6


def idle(pid: int, seconds: float) -> tuple[float, float]:
    """
    Watch an idle process for a while.

    Args:
        pid: The process.
        seconds: How long.

    Returns:
        Resident MiB at the end, and milliseconds of CPU for each second.
    """
    before = cpu_milliseconds(pid)
    time.sleep(seconds)
    return resident_mib(pid), (cpu_milliseconds(pid) - before) / seconds


def bare_interpreter() -> float:
    """
    Give the resident MiB of a Python that has imported nothing and waits.
    """
    with subprocess.Popen(
        [sys.executable, "-S", "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        if process.stdout:
            process.stdout.readline()
        mib = resident_mib(process.pid)
        process.communicate(b"\n")
    return mib
