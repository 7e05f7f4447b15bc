"""
A rollout over thirty nodes on a real API server that halts, and stays halted until the
policy is edited. What becomes of rollouts when something breaks is in
`test_operator_faults`.
"""

import pytest
import yaml

from conntrack_api.conditions import PolicyCondition
from faults.house import NODES, House
from faults.stage import BUDGET, DEADLINE, Stage, stage

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("hung_up")]


async def somebody_leads(on: Stage) -> None:
    """Wait until an operator has said something about a policy that no node matches."""
    name = "somebody-leads"
    policy = {
        "apiVersion": "conntrack.dev/v1alpha1",
        "kind": "ConntrackPolicy",
        "metadata": {"name": name},
        "spec": {"nodeSelector": {"matchLabels": {"fleet": name}}},
    }
    await on.kubectl("apply", "-f", "-", given=yaml.safe_dump(policy))
    ready = ("wait", "--for=condition=Ready", f"--timeout={DEADLINE:.0f}s")
    await on.kubectl(*ready, f"conntrackpolicy/{name}")


async def test_canary_that_fails_and_recovers(thirty: House) -> None:
    """
    Nobody else is told, neither when the canary recovers nor by the next operator; one
    edit later all are, each once.
    """
    async with stage(thirty) as on:
        on.count_anew()
        fleet, old = on.fleet, on.limit
        before = fleet.specs_written
        fleet.failing = {"n00"}
        await on.edit(old + 1000)
        await on.until_said(PolicyCondition.STALLED, "NodesFailed")
        halted = await on.policy()
        assert halted is not None
        assert halted.generation == halted.status.halted_generation

        await fleet.recover("n00")
        (first,) = on.operators
        await on.start_operator()
        on.kill(first)
        await somebody_leads(on)

        assert (1, NODES - 1) == (fleet.at(on.limit), fleet.at(old))
        assert 1 == fleet.specs_written - before
        await on.edit(on.limit, maxFailures=2)
        await on.until(lambda: fleet.at(on.limit) == NODES, "all nodes")
        assert 1 <= fleet.most <= BUDGET
        # All but the canary are told the numbers, the canary of the edit.
        assert 1 + NODES == fleet.specs_written - before
