"""
Start: read the configuration, take the journal, follow and loop until SIGTERM.
"""

import faulthandler
import signal
import sys
import time
from functools import partial
from types import FrameType
from typing import Final

from conntrack_agent import config, logs
from conntrack_agent.agent import Agent, Sources
from conntrack_agent.cluster import ApiCluster
from conntrack_agent.entries import EntryTable
from conntrack_agent.errors import ConfigError, JournalError
from conntrack_agent.follow import Follower, start_following
from conntrack_agent.host_files import HostFiles
from conntrack_agent.journal import DiskJournal
from conntrack_agent.kernel import LinuxKernel
from conntrack_agent.kernel_log import KernelLog
from conntrack_agent.loop import Loop
from conntrack_agent.metrics import CountingKernel, Metrics
from conntrack_agent.netlink import CounterSocket

HANG_SECONDS: Final = 300.0
"""A turn takes a minute of waiting at most, and then seconds; past this it hangs."""


def alive(seconds: float = HANG_SECONDS) -> None:
    """
    End the process with 1 unless this is called again in time.

    Says on standard error where every thread is. Works while the interpreter itself is
    stuck; the kubelet then starts another, which costs no probe.

    Args:
        seconds: How long to wait.
    """
    faulthandler.dump_traceback_later(seconds, exit=True)


def end_when_told(loop: Loop) -> None:
    """
    End after the pass under way on SIGTERM or SIGINT, but wait for no API server.

    Args:
        loop: Is to end.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        loop.stop()
        if loop.reporting:
            # The kernel and the disk have everything; an answer may never come.
            sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def main() -> int:
    """
    Run the agent until it is told to stop.

    Returns:
        0 after SIGTERM or SIGINT; 2 when it cannot start, with one sentence.
    """
    try:
        settings = config.load(sys.argv[1:])
        journal = DiskJournal(settings.state_dir, settings.node)
        journal.lock()
    except ConfigError as error:
        print(f"conntrack-agent: {error}", file=sys.stderr)
        return 2
    except JournalError as error:
        print(f"conntrack-agent: --state-dir: {error}", file=sys.stderr)
        return 2
    logs.start(settings.log_format)
    cluster = ApiCluster(
        server=settings.server,
        node=settings.node,
        ca_file=settings.ca_file,
        token_file=settings.token_file,
    )
    kernel = CountingKernel(LinuxKernel(settings.host_root, settings.mounts))
    files = settings.host_files
    agent = Agent(
        kernel,
        journal,
        clock=time.monotonic,
        sources=Sources(
            counters=CounterSocket(),
            entries=EntryTable(),
            host_files=partial(HostFiles, files) if files else None,
            kernel_log=KernelLog().read if settings.kernel_log else None,
        ),
    )
    if settings.metrics_address:
        try:
            from conntrack_agent.scrapes import serve  # noqa: PLC0415 - costs memory

            serve(settings.metrics_address, Metrics(lambda: agent.last, kernel))
        except ConfigError as error:
            print(f"conntrack-agent: {error}", file=sys.stderr)
            return 2
    loop = Loop(
        agent,
        cluster,
        observe_seconds=settings.observe_seconds,
        clock=time.monotonic,
    )
    end_when_told(loop)
    start_following(
        Follower(cluster, loop.tell, clock=time.monotonic, sleep=time.sleep),
        settings.start_seconds,
    )
    loop.run(alive)
    return 0


if __name__ == "__main__":
    sys.exit(main())
