"""
What people and their tools read of a rollout on a real API server: the kstatus rules
at every version of every object, ``kubectl wait``, and ``kubectl describe``.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from tests.kstatus import health, mute

from conntrack_operator.cluster import CONNTRACK_NODES, POLICIES
from conntrack_operator.collection import Collection
from conntrack_operator.rows import Json
from faults.house import House
from faults.stage import DEADLINE, POLICY, Stage, stage

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("hung_up")]

FAILING = "n12"


def conditions(obj: Json) -> dict[str, Any]:
    """Give an object's conditions by type."""
    return {each["type"]: each for each in obj["status"].get("conditions", ())}


class History:
    """Every version of every object, as a watch gives them."""

    def __init__(self, source: Collection) -> None:
        """Start with none."""
        self._source = source
        self.versions: defaultdict[str, list[Json]] = defaultdict(list)

    async def follow(self) -> None:
        """Take what comes."""
        version = ""
        async for items, version in self._source.pages():  # noqa: B007 - the last one
            for obj in items:
                self.versions[obj["metadata"]["name"]].append(obj)
        async with aclosing(self._source.watch(version, 600)) as events:
            async for kind, obj in events:
                if kind in ("ADDED", "MODIFIED"):
                    self.versions[obj["metadata"]["name"]].append(obj)

    async def caught_up(self, on: Stage) -> None:
        """Wait for what there is by now: a watch may be late."""
        now = {
            (obj["metadata"]["name"], obj["metadata"]["resourceVersion"])
            async for items, _ in self._source.pages()
            for obj in items
        }
        await on.until(lambda: now <= self._seen(), "the watch to catch up")

    def _seen(self) -> set[tuple[str, str]]:
        """Give name and version of all that came."""
        return {
            (name, obj["metadata"]["resourceVersion"])
            for name, versions in self.versions.items()
            for obj in versions
        }

    def said(self, name: str) -> list[str]:
        """Give what kstatus says of an object, without repetitions."""
        every = [health(obj) for obj in self.versions[name]]
        return [
            now for was, now in zip(["", *every], every, strict=False) if was != now
        ]


@asynccontextmanager
async def following(on: Stage) -> AsyncIterator[tuple[History, History]]:
    """Follow the policies and the nodes' objects."""
    policies = History(Collection(on.transport, POLICIES))
    nodes = History(Collection(on.transport, CONNTRACK_NODES))
    tasks = [asyncio.create_task(each.follow()) for each in (policies, nodes)]
    try:
        await on.until(
            lambda: POLICY in policies.versions and FAILING in nodes.versions, "lists"
        )
        yield policies, nodes
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def check(versions: list[Json]) -> None:
    """Check the rules that hold at every version of one object."""
    before: dict[str, Any] = {}
    seen = -1
    for obj in versions:
        assert not mute(obj)
        observed, found = obj["status"]["observedGeneration"], conditions(obj)
        assert seen <= observed <= obj["metadata"]["generation"]
        seen = observed
        for type_, each in found.items():
            assert each["observedGeneration"] <= observed
            was = before.get(type_, {"status": ""})
            if was["status"] == each["status"]:
                assert was["lastTransitionTime"] == each["lastTransitionTime"]
        # Present only while True, and never beside a Ready that is True.
        abnormal = [found[each] for each in ("Reconciling", "Stalled") if each in found]
        assert len(abnormal) < 2
        assert all(each["status"] == "True" for each in abnormal)
        if "Ready" in found and observed == obj["metadata"]["generation"]:
            ready = found["Ready"]["status"] == "True"
            assert not (ready and abnormal)
        before = found


async def test_rollout_that_ends_well(thirty: House) -> None:
    """
    From Current over InProgress to Current, policy and nodes alike; who waits for Ready
    right after the edit waits for the end of the rollout.
    """
    async with stage(thirty) as on, following(on) as (policies, nodes):
        await on.edit(on.limit + 1000)
        wait = ("wait", "--for=condition=Ready", f"conntrackpolicy/{POLICY}")
        await on.kubectl(*wait, f"--timeout={DEADLINE:.0f}s")

        assert on.fleet.at(on.limit) == len(on.fleet.rows)
        for history in (policies, nodes):
            await history.caught_up(on)
            for versions in history.versions.values():
                check(versions)
        assert ["Current", "InProgress", "Current"] == policies.said(POLICY)
        assert {("Current", "InProgress", "Current")} == {
            tuple(nodes.said(name)) for name in nodes.versions
        }


async def test_rollout_that_halts(thirty: House) -> None:
    """
    A halted rollout is Failed, not InProgress for ever; the edit that mends it begins
    anew. ``kubectl describe`` tells the story, of the policy and of the node.
    """
    async with stage(thirty) as on, following(on) as (policies, _):
        on.fleet.failing = {FAILING}
        await on.edit(on.limit + 1000)
        await on.until_said("Stalled", "NodesFailed")
        policy, node = await described(on, "RolloutHalted", "ApplyFailed")
        on.fleet.failing = set()
        await on.edit(on.limit + 1000)
        await on.settled()

        await policies.caught_up(on)
        check(policies.versions[POLICY])
        expected = ["Current", "InProgress", "Failed", "InProgress", "Current"]
        assert expected == policies.said(POLICY)
    print(policy, node, sep="\n")  # noqa: T201 - for `pytest -s`, to be looked at
    for words in ("RolloutStarted", "RolloutHalted", "Stalled", "conntrack-operator"):
        assert words in policy
    for words in ("Warning  ApplyFailed", "cannot be written"):
        assert words in node


async def described(on: Stage, *reasons: str) -> list[str]:
    """Describe the policy and the node, as soon as each has its event."""
    texts = []
    for name, reason in zip((POLICY, FAILING), reasons, strict=True):
        kind = "conntrackpolicy" if name == POLICY else "conntracknode"
        text = ""
        async with asyncio.timeout(DEADLINE):
            while reason not in text.partition("\nEvents:")[2]:
                text = await on.kubectl("describe", kind, name)
        texts.append(text)
    return texts
