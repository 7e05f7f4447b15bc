"""
Run inside a guest: entries that are cut, and a table that is really full.

The guest's first network namespace is nobody's, so its limit can be lowered at will.
Prints one line of JSON: what the agent said at each step.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from conntrack_agent.agent import Agent, Sources
from conntrack_agent.counters import parse
from conntrack_agent.entries import EntryTable
from conntrack_agent.kernel import LinuxKernel
from conntrack_agent.kernel_log import KernelLog
from conntrack_agent.meter import STATISTICS
from conntrack_agent.netlink import CounterSocket
from conntrack_agent.observations import COUNT, LIMIT
from conntrack_agent.seeding import Flows
from conntrack_agent.testing import FakeClock, FakeJournal, conntrack_node, node_spec
from conntrack_api.codec import to_object
from conntrack_api.conditions import NodeCondition, find
from conntrack_api.node import NodeMode
from conntrack_api.policy import ExistingEntries

if TYPE_CHECKING:
    from collections.abc import Callable

ESTABLISHED = "nf_conntrack_tcp_timeout_established"
STREAM = "nf_conntrack_udp_timeout_stream"
FULL = 2000
KERNEL = LinuxKernel()
CLOCK = FakeClock()
TRACK = """
add table inet test
add chain inet test input { type filter hook input priority 0 ; }
add rule inet test input ct state new accept
"""


def start(sources: Sources, clock: Callable[[], float] = CLOCK) -> Agent:
    """
    Start an agent.
    """
    return Agent(KERNEL, FakeJournal(), clock=clock, chance=lambda: 0, sources=sources)


def said(agent: Agent, passes: int = 1) -> dict[str, Any]:
    """
    Run passes, and give what it says.
    """
    for _ in range(passes):
        CLOCK.sleep(1)
        agent.pass_once("2026-01-01T00:00:00Z")
    status = agent.last
    pressure = find(status.conditions, NodeCondition.PRESSURE)
    found: dict[str, Any] = to_object(status)
    return {
        "counters": found["facts"]["counters"],
        "drops": found.get("drops", {}),
        "existing": found.get("existingEntries", {}),
        "failures": found["failures"],
        "pressure": [pressure.reason, pressure.message] if pressure else [],
    }


def cut(flows: Flows) -> dict[str, Any]:
    """
    Cut idle entries, and tell what remains of them.
    """
    flows.add(300)
    flows.add(100, seconds=1000)
    flows.add(100, protocol=17, state=None, seconds=900)
    flows.add(100, protocol=17, state=None, seconds=900, status=0x8)
    spec = replace(
        node_spec({ESTABLISHED: 3600, STREAM: 60}),
        existing_entries=ExistingEntries.CLAMP,
    )
    agent = start(Sources(entries=EntryTable()))
    agent.accept(conntrack_node(spec))
    found = said(agent, 5)
    longest: dict[str, int] = {}
    table = EntryTable()
    while (part := table.read(lambda *_: 1)) is not None:
        for entry, _seconds in part[1]:
            kind = f"{entry.protocol} {entry.state} {entry.status:x}"
            longest[kind] = max(longest.get(kind, 0), entry.remaining)
    return {**found, "longest": longest}


def knock(number: int) -> int:
    """
    Send one packet for each of so many new flows; how many the kernel refused.
    """
    refused = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as target:
        target.bind(("127.0.0.1", 0))
        for _ in range(number):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
                try:
                    source.sendto(b"", target.getsockname())
                except PermissionError:
                    refused += 1
    return refused


def full(flows: Flows) -> dict[str, Any]:
    """
    Fill the table, drop, and make room again.
    """
    subprocess.run(["nft", "-f", "-"], input=TRACK, text=True, check=True)
    limit = int(KERNEL.read(LIMIT) or 0)
    counters = CounterSocket()
    agents = [start(Sources(counters=counters)), start(Sources())]
    for agent in agents:
        agent.accept(conntrack_node(node_spec({}, mode=NodeMode.OBSERVE)))
    knock(1)
    steps = {"before": [said(each) for each in agents]}
    KERNEL.write(LIMIT, FULL)
    flows.add(FULL - int(KERNEL.read(COUNT) or 0))
    steps["full"] = [said(each) for each in agents]
    refused = knock(50)
    steps["dropping"] = [said(each) for each in agents]
    # The log's seconds are those since boot.
    reader = start(Sources(kernel_log=KernelLog().read), time.monotonic)
    reader.accept(conntrack_node(node_spec({}, mode=NodeMode.OBSERVE)))
    hint = said(reader)["pressure"]
    KERNEL.write(LIMIT, limit)
    knock(1)
    steps["over"] = [said(each) for each in agents]
    file = parse(KERNEL.read(STATISTICS) or "")
    same = [list(each) for each in file.values()] == [
        list(each) for each in counters.read().values()
    ]
    return {"refused": refused, "same": same, "steps": steps, "hint": hint}


def main() -> None:
    """
    Do both, and print.
    """
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    flows = Flows()
    print("ENTRIES", json.dumps({"cut": cut(flows), "full": full(flows)}), flush=True)


if __name__ == "__main__":
    main()
