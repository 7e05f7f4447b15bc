"""
Run inside a guest: the agent's stages on the guest's own kernel, step by step.

Prints one line of JSON for each step: what the node says, and what the kernel has.
The clock is the test's, so that nothing waits; the kernel and the disk are real.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from conntrack_agent.agent import Agent
from conntrack_agent.journal import DiskJournal
from conntrack_agent.kernel import LinuxKernel
from conntrack_agent.observe import observe
from conntrack_agent.testing import FakeClock, conntrack_node, node_spec
from conntrack_api.conditions import NodeCondition, find
from conntrack_api.node import NodeMode
from conntrack_api.settings import TIMEOUTS

MAX, HASH = "nf_conntrack_max", "nf_conntrack_buckets"
MODULES = ("nf_conntrack_netlink", "nf_conntrack")
CLOCK = FakeClock()
KERNEL = LinuxKernel()


def start() -> Agent:
    """
    Start an agent; it finds what an earlier one left on disk.
    """
    journal = DiskJournal(Path("/run/state"), "n1")
    return Agent(KERNEL, journal, clock=CLOCK, chance=lambda: 0)


def load() -> None:
    """
    Load the module again; its values are those of a fresh one.
    """
    subprocess.run(["modprobe", "-a", *reversed(MODULES)], check=True)


def step(name: str, agent: Agent, passes: int = 1) -> None:
    """
    Run passes and print what came of them.
    """
    status = None
    for _ in range(passes):
        CLOCK.sleep(11)
        status = agent.pass_once("2026-01-01T00:00:00Z")
    ready = status and find(status.conditions, NodeCondition.READY)
    drifted = status and find(status.conditions, NodeCondition.DRIFTED)
    print(
        "STEP",
        json.dumps(
            {
                "name": name,
                "ready": [ready.status, ready.reason, ready.message] if ready else [],
                "drifted": drifted.message if drifted else "",
                "values": observe(KERNEL).values,
            }
        ),
        flush=True,
    )


def main() -> None:
    """
    Raise, lower, restart, lose the module twice and find it again, go back, revert.
    """
    found = dict(observe(KERNEL).values)
    print("FOUND", json.dumps(found), flush=True)
    timeouts = {
        each.name: 601 + number
        for number, each in enumerate(TIMEOUTS)
        if each.name in found
    }
    raised = {MAX: 262144, HASH: 65536, **timeouts}
    lowered = {MAX: 16384, HASH: 4096, **timeouts}
    agent = start()
    agent.accept(conntrack_node(node_spec(raised), generation=1))
    step("raised", agent)
    agent.accept(conntrack_node(node_spec(lowered, revision="r2"), generation=2))
    step("lowered", agent)
    agent = start()
    step("restarted", agent)
    subprocess.run(["modprobe", "-r", *MODULES], check=True)
    step("unloaded", agent)
    load()
    step("reloaded", agent)
    step("corrected", agent)
    spec = node_spec({MAX: 32768}, revision="r3", soak_seconds=60)
    agent.accept(conntrack_node(spec, generation=3))
    step("soaking", agent)
    subprocess.run(["modprobe", "-r", *MODULES], check=True)
    load()
    step("reloaded in the soak", agent, passes=2)
    KERNEL.write("proc/sys/net/netfilter/nf_conntrack_max", 20000)
    step("taken back", agent)
    spec = node_spec(lowered, revision="r4", mode=NodeMode.REVERT)
    agent.accept(conntrack_node(spec, generation=4))
    step("reverted", agent)


if __name__ == "__main__":
    main()
