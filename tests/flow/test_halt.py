"""
A rollout over thirty nodes on a real API server that halts, and stays halted until the
policy is edited. What becomes of rollouts when something breaks is in
`test_operator_faults`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager

import pytest
import yaml

from conntrack_operator.access import Credentials
from conntrack_operator.transport import Transport
from control_plane import ControlPlane
from control_plane.processes import Watch
from control_plane.testing import control_plane_or_skip
from demo.cast import ROOT, Cast
from demo.fleet import Fleet

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("hung_up")]

NODES = 30
BUDGET = 5
DEADLINE = 60.0
CANARIES = {"maxUnavailable": BUDGET, "canaries": 1, "soakSeconds": 0}


class Stage:
    """A control plane with thirty Nodes, and the operators that run there."""

    def __init__(self, plane: ControlPlane, cast: Cast) -> None:
        """Install everything."""
        self.plane = plane
        self.cast = cast
        self.limit = 100_000
        for path in ("crds", "dev/demo/rbac.yaml"):
            plane.kubectl_run("apply", "-f", str(ROOT / path))
        plane.kubectl_run("wait", "--for=condition=Established", "crd", "--all")
        nodes = [
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": f"n{number:02}", "labels": {"fleet": "yes"}},
            }
            for number in range(NODES)
        ]
        plane.kubectl_run("apply", "-f", "-", input=yaml.safe_dump_all(nodes))
        self.operator = cast.start_operator()

    def edit(self, limit: int, **rollout: object) -> None:
        """Apply the policy with this limit."""
        spec = {
            "nodeSelector": {"matchLabels": {"fleet": "yes"}},
            "table": {"maxEntries": limit},
            "rollout": {**CANARIES, **rollout},
        }
        policy = {
            "apiVersion": "conntrack.dev/v1alpha1",
            "kind": "ConntrackPolicy",
            "metadata": {"name": "fleet"},
            "spec": spec,
        }
        self.plane.kubectl_run("apply", "-f", "-", input=yaml.safe_dump(policy))

    def generations(self) -> tuple[str, ...]:
        """Give the policy's generation, and the one that was halted."""
        path = "{.metadata.generation} {.status.haltedGeneration}"
        get = ("get", "conntrackpolicy", "fleet", "-o", f"jsonpath={path}")
        return tuple(self.plane.kubectl_run(*get).stdout.split(" "))

    def ask_nothing(self, name: str) -> None:
        """Apply a policy that no node matches."""
        policy = {
            "apiVersion": "conntrack.dev/v1alpha1",
            "kind": "ConntrackPolicy",
            "metadata": {"name": name},
            "spec": {"nodeSelector": {"matchLabels": {"fleet": name}}},
        }
        self.plane.kubectl_run("apply", "-f", "-", input=yaml.safe_dump(policy))

    def seen(self, name: str) -> bool:
        """Tell whether an operator has said something about a policy."""
        get = ("get", "conntrackpolicy", name, "-o", "jsonpath={.status.conditions}")
        return bool(self.plane.kubectl_run(*get).stdout)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Run a control plane and one operator."""
    folder = tmp_path_factory.mktemp("fleet")
    with ExitStack() as stack:
        plane = stack.enter_context(control_plane_or_skip())
        watch = Watch(folder)
        stack.callback(watch.close)
        cast = Cast(plane, folder, watch)
        stack.callback(cast.end)
        yield Stage(plane, cast)


@asynccontextmanager
async def fleet_of(stage: Stage) -> AsyncIterator[Fleet]:
    """Let all agents run, with the fleet done with what it was told last."""
    credentials = Credentials(
        kubeconfig=str(stage.plane.kubeconfig), context=None, clock=time.monotonic
    )
    async with Transport(credentials) as transport:
        fleet = Fleet(transport)
        running = asyncio.create_task(fleet.run())
        try:
            stage.limit += 1000
            await asyncio.to_thread(stage.edit, stage.limit, maxUnavailable="100%")
            await until(fleet, stage.limit)
            fleet.forget()
            yield fleet
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def until(fleet: Fleet, limit: int, count: int = NODES) -> None:
    """Wait until so many nodes have a limit."""
    await until_true(lambda: fleet.at(limit) >= count, f"{count} nodes at {limit}")


async def until_true(check: Callable[[], bool], what: str) -> None:
    """Wait for a condition, and fail with its name."""
    try:
        async with asyncio.timeout(DEADLINE):
            # What is waited for happens in other processes.
            while not check():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"not within {DEADLINE} s: {what}")


async def test_canary_that_fails_and_recovers(stage: Stage) -> None:
    """
    Nobody else is told, neither when the canary recovers nor by the next operator; one
    edit later all are, each once.
    """
    async with fleet_of(stage) as fleet:
        before, old = fleet.specs_written, stage.limit
        fleet.failing = {"n00"}
        stage.limit += 1000
        await asyncio.to_thread(stage.edit, stage.limit)
        await until_true(lambda: len(set(stage.generations())) == 1, "a halt on record")

        await fleet.recover("n00")
        second = stage.cast.start_operator()
        stage.operator.kill()
        stage.operator = second
        await asyncio.to_thread(stage.ask_nothing, "somebody-leads")
        await until_true(lambda: stage.seen("somebody-leads"), "a pass of the second")

        assert (1, NODES - 1) == (fleet.at(stage.limit), fleet.at(old))
        assert 1 == fleet.specs_written - before
        await asyncio.to_thread(stage.edit, stage.limit, maxFailures=2)
        await until(fleet, stage.limit)
        assert 1 <= fleet.most <= BUDGET
        # All but the canary are told the numbers, the canary of the edit.
        assert 1 + NODES == fleet.specs_written - before
