"""
``python -m scale.agents``: many agents in one process, each as it runs on a node.

Each has its own connections, its follower's thread and its loop's thread. What it does
not have is a kernel: that one, and the journal, are in memory.
"""

import argparse
import gc
import signal
import threading
import time
from pathlib import Path
from typing import Final

from conntrack_agent.agent import Agent
from conntrack_agent.cluster import ApiCluster
from conntrack_agent.command_line import START
from conntrack_agent.fake_kernel import FakeKernel
from conntrack_agent.follow import Follower, start_following
from conntrack_agent.loop import Loop
from conntrack_agent.testing import FakeJournal

LOOK_SECONDS: Final = 300.0
"""
Between two looks at a kernel that nobody changes; every look of thousands of nodes
would take its CPU from the one machine that all of them share here.
"""

STACK: Final = 512 * 1024
"""Bytes of a thread's stack; the default is for programs with few of them."""

START_SECONDS: Final = 0.02
"""Between the starts of two agents: a fleet does not boot within one second."""


def name_of(number: int) -> str:
    """
    Name a node.
    """
    return f"node-{number:05}"


def start(name: str, server: str, ca_file: Path, token_file: Path) -> None:
    """
    Start one agent as the product does, and leave it running.
    """
    cluster = ApiCluster(
        server=server, node=name, ca_file=ca_file, token_file=token_file
    )
    agent = Agent(FakeKernel(), FakeJournal(), clock=time.monotonic)
    loop = Loop(
        agent,
        cluster,
        observe_seconds=LOOK_SECONDS,
        sample_seconds=LOOK_SECONDS,
        clock=time.monotonic,
    )

    def run() -> None:  # typed, so that a change of the loop is noticed here
        loop.run(lambda: None)

    threading.Thread(target=run, daemon=True).start()
    start_following(
        Follower(cluster, loop.tell, clock=time.monotonic, sleep=time.sleep),
        START,
    )


def main() -> None:
    """
    Start the agents of some nodes, and let them run until SIGTERM.
    """
    parser = argparse.ArgumentParser(prog="scale.agents", description=__doc__)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--server", required=True)
    parser.add_argument("--ca-file", type=Path, required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    chosen = parser.parse_args()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    threading.stack_size(STACK)
    for number in range(chosen.first, chosen.first + chosen.count):
        name = name_of(number)
        start(name, chosen.server, chosen.ca_file, chosen.token_file)
        ended.wait(START_SECONDS)
    gc.freeze()  # what is there now stays
    ended.wait()


if __name__ == "__main__":
    main()
