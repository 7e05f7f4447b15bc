"""
Rollouts of thirty nodes in which something goes wrong in the middle.

Each is a function of a stage whose fleet is settled under one operator, and leaves it
settled again. What is counted begins with the edit.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from conntrack_api.conditions import PolicyCondition
from demo.errors import DemoFailed
from faults.gate import Write
from faults.house import NODES
from faults.kills import STEP, Outcome
from faults.stage import BUDGET, DEADLINE, POLICY, Stage

MIDDLE: Final = 8
"""Nodes that have an edit when something happens."""

FIFTH_WAVE: Final = 1 + 3 * BUDGET
"""Nodes that are well before it: a canary, and three waves in the order of names."""

Scenario = Callable[[Stage], Awaitable[str]]
"""Plays, and gives the end in words."""


async def nothing(on: Stage) -> str:
    """
    No fault.
    """
    await on.edit(on.limit + STEP)
    await on.settled()
    return "all at B"


async def paused_leader(on: Stage) -> str:
    """
    Two operators; the leader is stopped with a write under way, past its lease.

    The other one takes over and rolls a later edit out. Then what was under way
    arrives: the API server refuses it, since neither its version nor its epoch is the
    present one. The old leader goes on, and writes nothing more.
    """
    leader, second = on.operators[0], await on.start_operator()
    late = asyncio.Event()
    stopped = asyncio.Event()

    def hold(write: Write) -> asyncio.Event | None:
        if write.kind != "node" or write.number < MIDDLE:
            return None
        if not stopped.is_set():
            leader.pause()
            stopped.set()
        return late

    leader.gate.hold = hold
    await on.edit(on.limit + STEP)
    async with asyncio.timeout(DEADLINE):
        await stopped.wait()
    await on.edit(on.limit + STEP)
    await on.settled()
    waiting = len(leader.gate.seen.writes)
    refused = leader.gate.seen.refused
    refused.clear()
    late.set()
    leader.resume()
    await on.until(lambda: bool(refused), "the late write is refused")
    await nothing_more(on)
    if not all("epoch" in each or "modified" in each for each in refused):
        return f"refused for another reason: {refused}"
    after = len(leader.gate.seen.writes) - waiting
    on.kill(leader)
    on.operators[:] = [second]
    return f"all at C; {len(refused)} late writes refused, {after} sent after them"


async def killed_leader(on: Stage) -> str:
    """
    Two operators; the leader is killed, and the other waits for its lease to end.
    """
    leader, _ = on.operators[0], await on.start_operator()
    await on.edit(on.limit + STEP)
    await on.until(lambda: on.fleet.at(on.limit) >= MIDDLE, "the middle")
    on.kill(leader)
    await on.settled()
    return "all at B"


async def compaction(on: Stage) -> str:
    """
    The operator's watch is cut, the API server and etcd forget what came meanwhile.
    """
    (operator,) = on.operators
    await on.edit(on.limit + STEP)
    await on.until(lambda: on.fleet.at(on.limit) >= MIDDLE, "the middle")
    operator.gate.cut()
    await on.until(lambda: on.fleet.changing == 0, "the agents have answered")
    await asyncio.to_thread(on.plane.kill_apiserver)
    await asyncio.to_thread(on.plane.start_apiserver)
    await asyncio.to_thread(on.plane.etcd_compact)
    operator.gate.mend()
    await on.settled()
    return f"all at B; {operator.gate.seen.too_old} answers were 410"


async def outage(on: Stage) -> str:
    """
    The API server is killed, and comes back.
    """
    await on.edit(on.limit + STEP)
    await on.until(lambda: on.fleet.at(on.limit) >= MIDDLE, "the middle")
    await asyncio.to_thread(on.plane.kill_apiserver)
    await asyncio.to_thread(on.plane.start_apiserver)
    await on.settled()
    return "all at B"


async def there_and_back(on: Stage) -> str:
    """
    The policy is edited from A to B, and back to A in the middle.
    """
    first = on.limit
    await on.edit(first + STEP)
    await on.until(lambda: on.fleet.at(on.limit) >= MIDDLE, "the middle")
    await on.edit(first)
    await on.settled()
    on.limit = first
    return "all at A"


async def fifth_wave(on: Stage) -> str:
    """
    The canary and three waves are well, then every node fails: it halts.

    It stays halted until a person edits; the fix reaches all.
    """
    old = on.limit
    names = sorted(on.fleet.rows)
    on.fleet.failing = set(names[FIFTH_WAVE:])
    await on.edit(old + STEP)
    await on.until_said(PolicyCondition.STALLED, "NodesFailed")
    await on.until(lambda: 0 < on.fleet.changing == on.fleet.failed, "all answered")
    await nothing_more(on)
    new, failed, kept = on.fleet.at(on.limit), on.fleet.failed, on.fleet.at(old)
    on.fleet.failing = set()
    await on.edit(on.limit + STEP)
    await on.settled()
    return f"halted: {new} at B, {failed} failed, {kept} at A; then all at C"


async def paused(on: Stage) -> str:
    """
    The rollout is paused in the middle, and goes on later.

    Those that were told end with it; nobody else is told until the next edit.
    """
    await on.edit(on.limit + STEP)
    await on.until(lambda: on.fleet.at(on.limit) >= MIDDLE, "the middle")
    await on.edit(on.limit, maxUnavailable=0)
    await on.until_said(PolicyCondition.READY, "not Paused")
    await on.until(lambda: on.fleet.changing == 0, "the agents have answered")
    before = on.fleet.at(on.limit)
    await nothing_more(on)
    more = on.fleet.at(on.limit) - before
    await on.edit(on.limit)
    await on.settled()
    return f"{more} more of {NODES - before} while paused; then all at B"


async def deleted(on: Stage) -> str:
    """
    The policy is deleted; with Keep the objects go, and no node is told anything more.
    """
    await on.edit(on.limit + STEP)
    await on.until(lambda: on.fleet.at(on.limit) >= MIDDLE, "the middle")
    await on.kubectl("delete", "conntrackpolicy", POLICY, "--wait=false")
    await on.until(lambda: not on.fleet.rows, "no object is left")
    return "no object left"


async def reverted(on: Stage) -> str:
    """
    A policy with Revert is deleted: the way back keeps to the budget, too.
    """
    await on.edit(on.limit, on_removal="Revert")
    await on.settled()
    on.count_anew()
    told = on.fleet.specs_written
    await on.kubectl("delete", "conntrackpolicy", POLICY, "--wait=false")
    await on.until(lambda: not on.fleet.rows, "no object is left")
    await on.gone()
    return f"{on.fleet.specs_written - told} told to go back, no object left"


async def revert_fails(on: Stage) -> str:
    """
    A policy with Revert is deleted, and the canary cannot go back: it halts.

    The others keep what they have until a person says that they are to follow; when the
    canary is mended, too, the deletion comes to its end.
    """
    await on.edit(on.limit, on_removal="Revert")
    await on.settled()
    on.count_anew()
    told, canary = on.fleet.specs_written, min(on.fleet.rows)
    on.fleet.failing = {canary}
    await on.kubectl("delete", "conntrackpolicy", POLICY, "--wait=false")
    await on.until_said(PolicyCondition.STALLED, "NodesFailed")
    await nothing_more(on)
    asked, kept = on.fleet.specs_written - told, on.fleet.at(on.limit)
    await on.edit(on.limit, on_removal="Revert", maxFailures=2)
    await on.until(lambda: set(on.fleet.rows) == {canary}, "all others are let go")
    await on.fleet.recover(canary)
    await on.until(lambda: not on.fleet.rows, "no object is left")
    await on.gone()
    back = on.fleet.specs_written - told
    return f"halted: {asked} asked, {kept} as they were; then {back} told, no object"


async def vanished(on: Stage) -> str:
    """
    Lists lack the policy, and later it is gone while the operator hears nothing.

    At first it is there: no node is told anything, and an event says so. In the end a
    second list confirms it, and all nodes are let go.
    """
    (operator,), uid = on.operators, await on.uid()
    operator.gate.hides = True
    await on.kubectl("annotate", "conntrackpolicy", POLICY, "touched=once")
    which = f"--field-selector=reason=PolicyVanished,involvedObject.uid={uid}"
    said = ("get", "events", "--output=name", which)
    async with asyncio.timeout(DEADLINE):
        while not await on.kubectl(*said):  # noqa: ASYNC110 - another process says it
            await asyncio.sleep(0.1)
    operator.gate.hides = False
    await nothing_more(on)
    wrote = sum(write.kind == "node" for write in operator.gate.seen.writes)
    kept = on.fleet.at(on.limit)
    operator.gate.cut()
    await on.kubectl("delete", "conntrackpolicy", POLICY)
    operator.gate.mend()
    await on.until(lambda: not on.fleet.rows, "no object is left")
    events = len((await on.kubectl(*said)).split())
    return f"{wrote} writes while {kept} were held, {events} event; then no object left"


async def nothing_more(on: Stage) -> None:
    """
    Wait until the operators have had passes in which they did not write.

    Raises:
        DemoFailed: They go on and on.
    """

    def written() -> int:
        return sum(len(each.gate.seen.writes) for each in on.operators)

    for _ in range(10):
        before = written()
        await asyncio.sleep(3)  # that something does not happen is no condition
        if written() == before:
            return
    raise DemoFailed("writes without an end where nothing is to be done")


async def play(on: Stage, scenario: Scenario) -> Outcome:
    """
    Play one scenario, and count.
    """
    gates = [each.gate for each in on.operators]
    on.count_anew()
    before = on.fleet.specs_written
    end = await scenario(on)
    gates += [each.gate for each in on.operators if each.gate not in gates]
    outcome = Outcome(
        fault=scenario.__name__.replace("_", " "),
        told=on.fleet.specs_written - before,
        most=on.fleet.most,
        end=end,
    )
    for gate in gates:
        for write in gate.seen.writes:
            outcome.sent[write.kind] += 1
    return outcome


EXPECTED: Final[dict[Scenario, tuple[str, range]]] = {
    nothing: ("all at B", range(NODES, NODES + 1)),
    paused_leader: ("all at C", range(NODES + 1, 2 * NODES)),
    killed_leader: ("all at B", range(NODES, NODES + 1)),
    compaction: ("all at B", range(NODES, NODES + 1)),
    outage: ("all at B", range(NODES, NODES + 1)),
    there_and_back: ("all at A", range(NODES + MIDDLE, 2 * NODES + 1)),
    fifth_wave: ("halted", range(NODES, 2 * NODES)),
    paused: ("0 more of", range(NODES + MIDDLE, 3 * NODES)),
    deleted: ("no object left", range(MIDDLE, MIDDLE + 3 * BUDGET)),
    reverted: ("30 told to go back", range(2 * NODES, 2 * NODES + 1)),
    revert_fails: (
        f"halted: 1 asked, {NODES - 1} as they were; then {NODES} told, no object",
        range(2 * NODES, 2 * NODES + 1),
    ),
    vanished: (f"0 writes while {NODES} were held, 1 event; then no", range(1)),
}
"""How each ends, and how many specs are written; each node but once for an edit."""


def unexpected(scenario: Scenario, outcome: Outcome) -> str:
    """
    Say what of a scenario's outcome should not be; empty when nothing is.
    """
    end, told = EXPECTED[scenario]
    if not outcome.end.startswith(end):
        return f"ends with {outcome.end!r}"
    if outcome.told not in told:
        return f"{outcome.told} specs written"
    if not min(1, told.start) <= outcome.most <= BUDGET:
        return f"{outcome.most} nodes changing at once"
    return ""
