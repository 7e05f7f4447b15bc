"""
``python -m bench.agent_faults``: what an agent does under each fault, as tables.

The agent, its follower and its HTTP client are the real ones, and so is the server that
misbehaves; the kernel is in memory, and time is the test's: an hour takes seconds.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Generator
from math import inf
from pathlib import Path
from random import Random
from typing import Final

from bench.faulty_server import FAULTS, GOAL, Fault, Server
from conntrack_agent.agent import Agent
from conntrack_agent.cluster import SILENCE, ApiCluster
from conntrack_agent.errors import Unreachable
from conntrack_agent.fake_kernel import FakeKernel
from conntrack_agent.follow import Follower
from conntrack_agent.loop import Loop
from conntrack_agent.testing import (
    ESTABLISHED,
    FakeClock,
    FakeJournal,
    conntrack_node,
    node_spec,
)
from conntrack_api.conditions import NodeCondition, find
from conntrack_api.node import ConntrackNode
from control_plane.certificates import Authority

SEED: Final = 20261121
PAUSE: Final = 5.0
NOW: Final = "2026-01-01T00:00:00Z"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
FILE: Final = f"proc/sys/net/netfilter/{ESTABLISHED}"


class Node:
    """An agent on a fake machine, with its real client."""

    def __init__(
        self, server: Server | None = None, folder: Path | None = None
    ) -> None:
        """Start; without a server it is told what to do by `loop.tell`."""
        self.kernel = FakeKernel()
        self.clock = server.clock if server else FakeClock()
        self.server, self.heal_at, self.healed = server, inf, inf
        chance = Random(SEED)  # noqa: S311 - no secret
        self.agent = Agent(
            self.kernel, FakeJournal(), clock=self.clock, chance=chance.random
        )
        self.cluster = ApiCluster(
            server=f"http://127.0.0.1:{server.server_port}" if server else "http://",
            node="n1",
            ca_file=(folder or Path()) / "ca.crt",
            token_file=(folder or Path()) / "token",
            silence=0.02,
            chance=chance.random,
        )
        self.loop = Loop(
            self.agent,
            self.cluster,
            observe_seconds=PAUSE,
            sample_seconds=0.0001,
            clock=self.clock,
            chance=chance.random,
        )
        self.follower = Follower(
            self,
            self.loop.tell,
            clock=self.clock,
            sleep=self.sleep,
            chance=chance.random,
        )

    def get(self) -> ConntrackNode:
        """Read the object."""
        return self.cluster.get()

    def watch(self, version: str) -> Generator[ConntrackNode | None, None, None]:
        """Follow it; a silence that took moments here takes its full time there."""
        try:
            yield from self.cluster.watch(version)
        except Unreachable as error:
            if "silent" in str(error):
                self.sleep(SILENCE)
            raise

    def sleep(self, seconds: float) -> None:
        """Let time pass, with a pass every few seconds."""
        until = self.clock() + seconds
        while True:
            self.loop.turn(0)
            if self.server and self.clock() >= self.heal_at:
                self.server.fault, self.server.generation = None, 4
                if self.kernel.value(FILE) == GOAL:
                    self.healed = min(self.healed, self.clock())
            left = until - self.clock()
            if left <= 0:
                return
            self.clock.sleep(min(PAUSE, left))

    def follow(self, seconds: float) -> None:
        """Follow for some time."""
        until = self.clock() + seconds
        while self.clock() < until:
            self.follower.follow_once()

    def ready(self) -> str:
        """Say Ready's reason."""
        found = find(self.agent.last.conditions, NodeCondition.READY)
        return found.reason if found else "nothing"


def main() -> int:
    """
    Print both tables.
    """
    argparse.ArgumentParser(prog="bench.agent_faults", description=__doc__).parse_args()
    logging.disable()
    print(f"seed {SEED}\n")
    print(
        "| for an hour | requests in its first minute | a minute after that "
        "| writes to the kernel | a new wish is carried out after |\n"
        "| --- | --- | --- | --- | --- |"
    )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ca.crt").write_bytes(Authority().certificate)
        (Path(folder) / "token").write_text("token", encoding="ascii")
        for fault in FAULTS:
            print(f"| {fault.name} | {watched(fault, Path(folder))} |", flush=True)
    print("\n| another writer every | its writes | ours | Ready at the end |")
    print("| --- | --- | --- | --- |")
    for seconds in (1, 10, 60):
        print(f"| {seconds} s | {war(seconds)} |", flush=True)
    return 0


def watched(fault: Fault, folder: Path) -> str:
    """
    Run one fault for an hour, then heal it; give the cells of its row.
    """
    server = Server(FakeClock())
    node = Node(server, folder)
    node.follow(1)
    began, server.requests, server.fault = node.clock(), [], fault
    node.heal_at = began + HOUR
    while node.healed == inf:
        node.follower.follow_once()
    first = sum(1 for at in server.requests if at < began + MINUTE)
    later = sum(1 for at in server.requests if began + MINUTE <= at < began + HOUR)
    server.shutdown()
    server.server_close()
    writes = len(node.kernel.writes) - 2
    seconds = node.healed - node.heal_at
    return f"{first} | {later / 59:.1f} | {writes} | {seconds:.0f} s"


def war(every: int) -> str:
    """
    Let another program write for a day; give the cells of its row.
    """
    node = Node()
    node.agent.accept(conntrack_node(node_spec({ESTABLISHED: 86400})))
    node.agent.pass_once(NOW)
    ours, theirs, began = len(node.kernel.writes), 0, node.clock()
    step = min(float(every), PAUSE)
    while node.clock() - began < DAY:
        node.clock.sleep(step)
        if (node.clock() - began) % every < step:
            node.kernel.poke(FILE, 1)
            theirs += 1
        if (node.clock() - began) % PAUSE < step:
            node.agent.pass_once(NOW)
    return f"{theirs} | {len(node.kernel.writes) - ours} | {node.ready()}"


if __name__ == "__main__":
    sys.exit(main())
