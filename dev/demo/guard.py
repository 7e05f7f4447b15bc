"""
Put this host's values back, whatever happens to the demonstration.

Runs as a program of its own: ``python -m demo.guard`` reads the values found as one
line of JSON, then ``+PID`` and ``-PID`` for each process that may still write them.
Its input ends when the process at the other end is gone, ``kill -9`` included: then
it kills those, waits until they are gone, and brings the values back.
"""

import json
import os
import select
import signal
import sys
from contextlib import suppress

from conntrack_agent.apply import apply
from conntrack_agent.diff import revert
from conntrack_agent.kernel import LinuxKernel
from conntrack_agent.observe import observe
from demo.flows import untrack

_WAIT_MILLISECONDS = 5000


def main() -> int:
    """
    Wait for the end of the input, then restore.

    Returns:
        0 when the kernel shows the values found, else 1.
    """
    # Ctrl-C goes to the whole terminal; the demonstration tells us when it is time.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    found: dict[str, int] = json.loads(sys.stdin.readline())
    writers: set[int] = set()
    for line in sys.stdin:
        change = writers.add if line.startswith("+") else writers.discard
        change(int(line[1:]))
    for pid in writers:
        end(pid)
    untrack()
    kernel = LinuxKernel()
    outcomes = apply(revert(found, observe(kernel)).changes, kernel)
    left = revert(found, observe(kernel))
    for outcome in outcomes:
        if outcome.failure:
            print(f"not put back: {outcome.failure.message}", file=sys.stderr)
    return 1 if left.changes or left.refusals else 0


def end(pid: int) -> None:
    """
    Kill a process by its id and wait until it is gone.
    """
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            gone = select.poll()
            gone.register(descriptor, select.POLLIN)
            gone.poll(_WAIT_MILLISECONDS)
        finally:
            os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
