"""
Rollouts in which the operator, its watch or its API server fails: on real ones, the end
and the writes beside those of a rollout without a fault.
"""

import pytest

from conntrack_operator.policies import STATUS_SECONDS
from faults import daemons
from faults.house import House
from faults.kills import MOMENTS, Moment, boundaries, rollout, wrong
from faults.scenarios import (
    EXPECTED,
    Scenario,
    compaction,
    killed_leader,
    paused,
    paused_leader,
    play,
    unexpected,
    vanished,
)
from faults.stage import stage

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("hung_up")]

SAMPLE = 20
"""In `make test` the operator is killed at each so manieth write only."""


SLOW = {paused_leader, killed_leader, compaction, paused, vanished}
"""They wait for a lease to end, an API server, a second list, or that nothing comes."""

PLAYED = [
    pytest.param(
        each,
        id=each.__name__,
        marks=[pytest.mark.faults] if each in SLOW else [],
    )
    for each in EXPECTED
]


@pytest.mark.parametrize("scenario", PLAYED)
async def test_scenario(thirty: House, scenario: Scenario) -> None:
    """Whatever fails: the end is the right one, the budget holds, no write is idle."""
    async with stage(thirty) as on:
        outcome = await play(on, scenario)

    assert "" == unexpected(scenario, outcome), outcome


async def killed_at(thirty: House, every: int) -> None:
    """Kill the operator at the writes of rollouts, and compare with a whole one."""
    async with stage(thirty) as on:
        await on.start_operator()
        plain = await rollout(on)
        assert "" == wrong(plain), plain
        for number, moment in boundaries(sum(plain.sent.values()), every):
            outcome = await rollout(on, number, moment)

            assert "" == wrong(outcome), outcome
            # One more for the write that was lost, the others for statuses.
            more = 4 + outcome.seconds // STATUS_SECONDS
            assert outcome.sent.total() <= plain.sent.total() + more, outcome


async def test_killed_at_some_writes(thirty: House) -> None:
    """Killed before or after a write, the next operator makes each node's one write."""
    await killed_at(thirty, SAMPLE)


@pytest.mark.faults
async def test_killed_at_every_write(thirty: House) -> None:
    """The same at every write of a rollout of thirty nodes."""
    await killed_at(thirty, 1)


@pytest.mark.faults
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("verb", daemons.WRITES)
async def test_killed_at_a_write_of_the_agents(
    thirty: House, verb: str, moment: Moment
) -> None:
    """The next operator finds what was written, or writes it; no node is told."""
    async with stage(thirty) as on:
        await daemons.prepare(on)
        outcome = await daemons.killed(on, verb, moment)

    assert "" == daemons.wrong(verb, moment, outcome), outcome
