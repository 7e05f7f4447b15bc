"""
Runs of the real operator on a real API server, and the rows they measure.
"""

import asyncio
import time
from pathlib import Path
from typing import Final

from bench.process import cpu_milliseconds, idle
from conntrack_operator.cluster import ApiCluster
from conntrack_operator.transport import Transport
from control_plane.processes import Program
from demo.errors import DemoFailed
from scale.account import Account, Asked, most_in_a_second
from scale.agents import name_of
from scale.fleet import Seen, apply_policy, converge, register
from scale.planner import POOL
from scale.stage import Stage, administrator, agents, tell

SETTING: Final = "nf_conntrack_icmp_timeout"
DEADLINE: Final = 1800.0
IDLE_SECONDS: Final = 30.0
CONFLICT: Final = 409

Rows = dict[str, str]
"""What was measured, to its value with its unit."""


async def rollout(on: Stage, count: int) -> Rows:
    """
    Bring a fleet of simulated agents up, edit its policy, restart the operator.
    """
    rows: Rows = {}
    async with administrator(on.plane) as transport:
        tell(f"{count} Nodes")
        await register(transport, [name_of(each) for each in range(count)], 1)
        await apply_policy(transport, "fleet", _policy(31))
        seen = Seen(transport)
        following = asyncio.create_task(seen.run())
        try:
            with agents(on, count):
                tell("first decision, then all agents")
                await _first_decision(on, rows)
                await _edit(on, transport, seen, count, rows)
                await _restart(on, rows)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
    return rows


async def _first_decision(on: Stage, rows: Rows) -> None:
    """
    Start the operator, and wait for its first write.
    """
    began = time.time()
    on.cast.start_operator()
    first = await _written(on.account, began)
    rows["operator's start to its first write"] = f"{first.at - began:.1f} s"


async def _edit(
    on: Stage, transport: Transport, seen: Seen, count: int, rows: Rows
) -> None:
    """
    Wait for the fleet to be up, then roll one edit out.
    """
    operator = on.cast.operator
    began = time.time()
    await seen.until(
        lambda: seen.have(SETTING, 31) == count, "every node is up", DEADLINE
    )
    rows["a new fleet to all nodes applied"] = f"{time.time() - began:.0f} s"
    rows |= _requests("bring-up", on.account.since(began))
    await _quiet(on)
    tell("an edit")
    seen.most_changing = 0
    before = cpu_milliseconds(operator.pid)
    began = time.time()
    await apply_policy(transport, "fleet", _policy(32))
    await seen.until(
        lambda: seen.have(SETTING, 32) == count, "the edit is everywhere", DEADLINE
    )
    took = time.time() - began
    spent = (cpu_milliseconds(operator.pid) - before) / 1000
    rows["an edit to all nodes applied, 10% at a time"] = f"{took:.0f} s"
    rows["most nodes changing at one instant"] = (
        f"{seen.most_changing} of {count // 10}"
    )
    rows |= _requests("rollout", on.account.since(began))
    rows["operator's CPU during the rollout"] = f"{spent / took:.2f} cores"
    await _quiet(on)
    rows |= _resident(operator)


async def _restart(on: Stage, rows: Rows) -> None:
    """
    Restart the operator of a fleet that has everything, and look what it writes.
    """
    tell("restart of a converged fleet")
    on.cast.operator.terminate(seconds=10)
    began = time.time()
    operator = on.cast.start_operator()
    await _in_step(operator)
    rows["restart to in step"] = f"{time.time() - began:.1f} s"
    rows |= _resident(operator)
    asked = on.account.since(began)
    rows["restart: writes"] = str(sum(each.writes for each in asked))
    rows["restart: requests, with the lease's"] = str(len(asked))


async def converged(on: Stage, count: int, pools: int) -> Rows:
    """
    Start the operator on a fleet without agents, which has everything already.
    """
    rows: Rows = {}
    async with administrator(on.plane) as transport:
        names = [name_of(each) for each in range(count)]
        tell(f"{count} Nodes and their objects")
        await register(transport, names, pools)
        for index in range(pools):
            spec = {**_policy(31), "nodeSelector": {"matchLabels": {POOL: f"p{index}"}}}
            await apply_policy(transport, f"p{index}", spec)
        found = await ApiCluster(transport).policies()
        await converge(
            transport, names, {each.name: each.policy for each in found if each.policy}
        )
    await _in_step(on.cast.start_operator())
    await _quiet(on)
    await _restart(on, rows)
    return rows


async def _in_step(operator: Program) -> None:
    """
    Wait until an operator has found nothing to tell any node.
    """
    until = time.monotonic() + DEADLINE
    while "in step" not in operator.log.read_text():
        operator.check()
        if time.monotonic() > until:
            raise DemoFailed("the operator has not come into step")
        await asyncio.sleep(0.05)


async def _written(account: Account, since: float) -> Asked:
    """
    Wait for the operator's first write to an object of ours.
    """
    while time.time() < since + DEADLINE:
        for each in account.since(since):
            if each.writes and each.resource == "conntracknodes":
                return each
        await asyncio.sleep(0.1)
    raise DemoFailed("the operator has written nothing")


async def _quiet(on: Stage) -> None:
    """
    Wait until the operator has written nothing for a while.
    """
    # Another process writes.
    while any(each.writes for each in on.account.since(time.time() - 15)):  # noqa: ASYNC110
        await asyncio.sleep(1)


def _requests(name: str, asked: list[Asked]) -> Rows:
    """
    Summarise what was asked.
    """
    told = [each for each in asked if each.writes and each.resource == "conntracknodes"]
    span = max((each.at for each in told), default=0) - min(
        (each.at for each in told), default=0
    )
    return {
        f"{name}: writes to nodes' objects": str(len(told)),
        f"{name}: writes a second, mean and most": (
            f"{len(told) / max(span, 1):.0f} and {most_in_a_second(told)}"
        ),
        f"{name}: conflicts": str(sum(each.code == CONFLICT for each in asked)),
        f"{name}: all requests of the operator": str(len(asked)),
    }


def _resident(operator: Program) -> Rows:
    """
    Watch the operator while nothing happens.
    """
    tell(f"idle for {IDLE_SECONDS:.0f} s")
    mib, cpu = idle(operator.pid, IDLE_SECONDS)
    status = Path(f"/proc/{operator.pid}/status").read_text()
    (peak,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return {
        "operator's resident memory, idle": f"{mib:.0f} MiB",
        "operator's resident memory, peak": f"{int(peak.split()[1]) / 1024:.0f} MiB",
        "operator's CPU, idle": f"{cpu / 10:.1f} % of a core",
    }


def _policy(seconds: int) -> dict[str, object]:
    """
    Write a policy for all nodes.
    """
    rollout = {"maxUnavailable": "10%", "canaries": 1, "soakSeconds": 0}
    return {"nodeSelector": {}, "timeouts": {"icmp": seconds}, "rollout": rollout}
