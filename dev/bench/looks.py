"""
What one look at everything costs, beside opening each file anew.
"""

import time
from pathlib import Path

from conntrack_agent.kernel import LinuxKernel
from conntrack_agent.meter import Meter
from conntrack_agent.netlink import CounterSocket
from conntrack_agent.observations import COUNT
from conntrack_agent.observe import Reader, observe

_ROUNDS = 9
_CALLS = 100


class OpeningKernel(LinuxKernel):
    """The same files, opened for each read: what programs usually do."""

    def read(self, file: str) -> str | None:
        """
        Open, read, close.
        """
        try:
            return Path(f"/{file}").read_text(encoding="ascii")
        except FileNotFoundError:
            return None


def look_microseconds() -> tuple[list[float], list[float]]:
    """
    Look at this machine's kernel, which changes nothing in it.

    Returns:
        Microseconds of CPU of one observation by the agent and by opening each file,
        taken in turns. Without connection tracking there is little to read.
    """
    kernels: tuple[Reader, Reader] = (LinuxKernel(), OpeningKernel())
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for kernel, values in zip(kernels, found, strict=True):
            observe(kernel)
            began = time.process_time_ns()
            for _ in range(_CALLS):
                observe(kernel)
            values.append((time.process_time_ns() - began) / _CALLS / 1000)
    return found


def sample_microseconds() -> list[float]:
    """
    Look at the fill alone, as the agent does every second.
    """
    kernel = LinuxKernel()
    meter = Meter(kernel, CounterSocket(), clock=time.monotonic)
    if kernel.read(COUNT) is not None:
        meter.look(observe(kernel), {})
    values = []
    for _ in range(_ROUNDS):
        began = time.process_time_ns()
        for _ in range(_CALLS):
            meter.sample()
        values.append((time.process_time_ns() - began) / _CALLS / 1000)
    return values
