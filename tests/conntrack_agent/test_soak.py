"""A change on trial: kept after a while, or taken back; and what is said meanwhile."""

import errno
from dataclasses import replace

import pytest

from conntrack_agent.agent import Agent, Sources
from conntrack_agent.fake_kernel import BOOT_ID, FakeKernel, Killed
from conntrack_agent.gate import Trial
from conntrack_agent.observations import BUCKETS, COUNT, LIMIT
from conntrack_agent.testing import (
    ESTABLISHED,
    FakeClock,
    FakeJournal,
    conntrack_node,
    node_spec,
)
from conntrack_api.conditions import Condition, NodeCondition, find
from conntrack_api.node import ConntrackNode, NodeMode, NodeStatus

NOW = "2026-01-01T00:00:00Z"
MAX, HASH = "nf_conntrack_max", "nf_conntrack_buckets"
TIMEOUT = f"proc/sys/net/netfilter/{ESTABLISHED}"
BIGGER = {MAX: 262144, HASH: 131072, ESTABLISHED: 86400}
OLD, NEW = (65536, 65536, 600), (262144, 131072, 86400)


def wish(
    settings: dict[str, int],
    number: int = 1,
    soak: int = 60,
    mode: NodeMode = NodeMode.ENFORCE,
) -> ConntrackNode:
    """What the node is told, with a soak."""
    spec = node_spec(settings, mode=mode, revision=f"r{number}", soak_seconds=soak)
    return conntrack_node(spec, generation=number)


class Host:
    """One machine: kernel, disk and clock outlive the agent."""

    def __init__(self) -> None:
        """Boot and start."""
        self.kernel = FakeKernel()
        self.journal = FakeJournal(effects=self.kernel.effects)
        self.clock = FakeClock()
        self.drops: int | None = 0
        self.status = NodeStatus()
        self.start()

    def rest(self) -> None:
        """Be told nothing yet, for a while in which nothing is dropped."""
        self.agent.accept(wish({}, number=0, soak=0))
        self.run()
        self.kernel.effects.done.clear()

    def start(self) -> None:
        """Start the agent, or start it again."""
        self.agent = Agent(
            self.kernel,
            self.journal,
            clock=self.clock,
            chance=lambda: 0,
            sources=Sources(drops=lambda: self.drops),
        )

    def run(self, seconds: float = 5) -> Condition:
        """Run one pass; give its Ready."""
        self.clock.sleep(seconds)
        status = self.agent.pass_once(NOW)
        assert status is not None
        self.status = status
        found = find(status.conditions, NodeCondition.READY)
        assert found is not None
        return found

    @property
    def values(self) -> tuple[int, int, int]:
        """Limit, buckets and one timeout."""
        files = (LIMIT, BUCKETS, TIMEOUT)
        limit, buckets, timeout = (self.kernel.value(each) for each in files)
        return limit, buckets, timeout


def test_a_change_is_kept_when_the_node_stays_well() -> None:
    """Not ready while it soaks, with the time that is left; then applied."""
    host = Host()
    host.agent.accept(wish(BIGGER))

    ready = host.run()
    assert ("False", "Pending") == (ready.status, ready.reason)
    assert "soaking: kept in 60 of 60 s" in ready.message
    assert NEW == host.values
    assert host.status.applied_revision is None
    assert "kept in 1 of 60 s" in host.run(59).message

    assert "Applied" == host.run(1).reason
    assert "r1" == host.status.applied_revision
    assert host.journal.memory.trial is None


def test_without_a_soak_a_change_is_kept_at_once() -> None:
    """The default of the agent."""
    host = Host()
    host.agent.accept(wish(BIGGER, soak=0))

    assert "Applied" == host.run().reason


def value_gone(host: Host) -> None:
    """Another program takes its value back."""
    host.kernel.poke(LIMIT, 65536)


def drops(host: Host) -> None:
    """Connections are dropped."""
    host.drops = 7


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (value_gone, f"{MAX} is 65536 instead of 262144"),
        (drops, "7 connections were dropped, none before"),
    ],
)
def test_a_change_that_does_harm_is_taken_back(trouble: object, words: str) -> None:
    """Alone, at once, and with the numbers; the revision is not tried again."""
    host = Host()
    host.rest()
    host.agent.accept(wish(BIGGER))
    host.run()
    assert callable(trouble)
    trouble(host)

    ready = host.run()

    assert OLD == host.values
    assert ("False", "RolledBack") == (ready.status, ready.reason)
    assert words in ready.message
    assert "what was before is back (3 settings)" in ready.message
    assert host.status.applied_revision is None
    writes = len(host.kernel.writes)
    for _ in range(100):
        assert "RolledBack" == host.run(60).reason
    host.start()
    host.agent.accept(wish(BIGGER))
    assert "RolledBack" == host.run().reason
    assert writes == len(host.kernel.writes)


def test_what_is_back_is_left_alone() -> None:
    """Nobody asked for the previous values to be defended."""
    host = Host()
    host.agent.accept(wish(BIGGER))
    host.run()
    value_gone(host)
    host.run()
    writes = len(host.kernel.writes)
    host.kernel.poke(LIMIT, 100_000)

    for _ in range(5):
        assert "RolledBack" == host.run(60).reason
    assert writes == len(host.kernel.writes)


def test_a_table_that_fills_up_is_no_success() -> None:
    """A smaller table that has no room is made larger again."""
    host = Host()
    host.agent.accept(wish({MAX: 16384}))
    host.run()
    host.kernel.poke(COUNT, 16384)

    ready = host.run()

    assert "the table is full: 16384 of 16384 entries" in ready.message
    assert OLD == host.values


@pytest.mark.parametrize(("count", "passes"), [(100, 3), (65536, 3), (65536, 0)])
def test_what_was_bad_before_is_not_the_fault_of_the_change(
    count: int, passes: int
) -> None:
    """A raise in the middle of drops, or of a full table, is kept."""
    host = Host()
    host.kernel.poke(COUNT, count)
    host.agent.accept(wish({}, soak=0))
    for _ in range(passes):
        host.drops = (host.drops or 0) + 5
        host.run()
    host.agent.accept(wish({ESTABLISHED: 86400}, number=2))
    for _ in range(13):
        host.drops = (host.drops or 0) + 5
        ready = host.run()

    assert "Applied" == ready.reason


def test_without_counters_the_rest_is_judged() -> None:
    """Drops that nobody can count fail nothing."""
    host = Host()
    host.drops = None
    host.agent.accept(wish(BIGGER))
    host.run()

    assert "Applied" == host.run(60).reason


def test_another_wish_is_tried_after_a_failure() -> None:
    """A new revision has a clean slate, and its own way back."""
    host = Host()
    host.rest()
    host.agent.accept(wish(BIGGER))
    host.run()
    host.drops = 7
    host.run()

    host.agent.accept(wish({ESTABLISHED: 3600}, number=2))
    assert "soaking" in host.run().message
    assert (65536, 65536, 3600) == host.values
    assert "Applied" == host.run(60).reason


def test_the_way_back_leads_over_what_was_never_kept() -> None:
    """A second edit in the middle of a soak goes back to before the first."""
    host = Host()
    host.rest()
    host.agent.accept(wish(BIGGER))
    host.run()
    host.agent.accept(wish({**BIGGER, MAX: 524288}, number=2))
    host.run()
    assert 524288 == host.kernel.value(LIMIT)
    host.drops = 7

    assert "RolledBack" == host.run().reason
    assert OLD == host.values


def test_what_was_kept_is_the_way_back() -> None:
    """Not the baseline of the node, but the last good state."""
    host = Host()
    host.rest()
    host.agent.accept(wish(BIGGER))
    host.run()
    host.run(60)
    host.agent.accept(wish({**BIGGER, MAX: 524288}, number=2))
    host.run()
    host.drops = 7

    assert "RolledBack" == host.run().reason
    assert NEW == host.values


def test_a_revert_does_not_soak() -> None:
    """The baseline is where everything leads back to."""
    host = Host()
    host.agent.accept(wish(BIGGER))
    host.run()
    host.agent.accept(wish(BIGGER, number=2, mode=NodeMode.REVERT))

    assert "Reverted" == host.run().reason
    assert OLD == host.values


def test_a_reboot_begins_anew() -> None:
    """What soaked is tried again; what was taken back stays refused."""
    host = Host()
    host.agent.accept(wish(BIGGER))
    host.run()
    for file, value in zip((LIMIT, BUCKETS, TIMEOUT), OLD, strict=True):
        host.kernel.poke(file, value)
    host.kernel.files[BOOT_ID] = "second\n"
    host.start()
    assert "soaking" in host.run().message
    value_gone(host)
    host.run()
    host.kernel.files[BOOT_ID] = "third\n"
    host.start()

    assert "RolledBack" == host.run().reason
    assert OLD == host.values


def test_on_hold_nothing_is_taken_back() -> None:
    """A person's hold is stronger; it is judged afterwards."""
    host = Host()
    host.rest()
    host.agent.accept(wish(BIGGER))
    host.run()
    host.agent.accept(replace(wish(BIGGER), hold="looking"))
    host.drops = 7

    assert "OnHold" == host.run(600).reason
    assert NEW == host.values
    host.agent.accept(wish(BIGGER))
    assert "RolledBack" == host.run().reason


def tell(host: Host, point: int | None = None) -> None:
    """Apply, soak, fail, and go back; be killed before some effect."""
    host.kernel.effects.kill_before = point
    host.agent.accept(wish(BIGGER))
    host.run()
    host.drops = 7
    host.run()


def all_effects() -> int:
    """How many points there are at which the agent can be killed."""
    host = Host()
    host.rest()
    tell(host)
    return len(host.kernel.effects.done)


@pytest.mark.parametrize("point", range(1, all_effects() + 1))
def test_a_kill_at_any_point_of_a_soak_is_safe(point: int) -> None:
    """
    Killed before each effect in turn, and started again without the API server: the
    old values or the new ones; each file is written once in each direction at most.
    """
    host = Host()
    host.rest()
    with pytest.raises(Killed):
        tell(host, point)
    host.kernel.effects.kill_before = None

    host.start()
    for _ in range(12):
        ready = host.run(10)

    assert len(host.kernel.writes) <= 6
    expected = (NEW, "Applied")
    if host.agent.accepted is None or host.agent.accepted.generation == 0:
        expected = (OLD, "Applied")
    elif host.values == OLD:
        expected = (OLD, "RolledBack")
    assert expected == (host.values, ready.reason)


def test_a_way_back_that_is_refused_is_not_called_walked() -> None:
    """What was before is back when all of it is, not when nothing can be done."""
    host = Host()
    host.rest()
    host.agent.accept(wish({**BIGGER}))
    host.run()
    host.kernel.write_errors[TIMEOUT] = errno.EINVAL
    host.drops = 5

    for _ in range(20):
        ready = host.run()

    assert "RolledBack" == ready.reason
    assert "is being brought back" in ready.message
    assert (ESTABLISHED,) == tuple(each.setting for each in host.status.failures)
    assert 2 == host.kernel.tried.count(TIMEOUT)


def reload(host: Host) -> None:
    """Unload the module and load it again before anybody looks."""
    host.kernel.unload()
    host.kernel.load()


def absence(host: Host) -> None:
    """Unload the module, and load it after a while in which all is looked at."""
    host.kernel.unload()
    for _ in range(100):
        ready = host.run()
        assert "NotLoaded" == ready.reason
    host.kernel.load()


@pytest.mark.parametrize("trouble", [reload, absence])
def test_a_module_that_was_loaded_anew_is_no_verdict(trouble: object) -> None:
    """Nobody undid the change: it is made again and has its whole soak before it."""
    host = Host()
    host.rest()
    host.agent.accept(wish(BIGGER))
    for _ in range(10):
        assert "Pending" == host.run().reason
    assert callable(trouble)
    trouble(host)
    assert OLD == host.values

    reasons = [host.run().reason for _ in range(3)]
    assert NEW == host.values
    reasons += [host.run().reason for _ in range(10)]

    assert {"Pending"} == set(reasons)
    assert "Applied" == host.run().reason
    assert 6 == len(host.kernel.writes)


def test_the_way_back_does_not_lead_to_what_a_new_module_had() -> None:
    """A value that was as asked before the change is as asked after the way back."""
    host = Host()
    host.rest()
    host.agent.accept(wish({ESTABLISHED: 86400}, number=1, soak=0))
    host.run()
    host.agent.accept(wish({**BIGGER}, number=2))
    host.run()
    host.run()
    reload(host)
    for _ in range(4):
        host.run()
    assert NEW == host.values
    host.drops = 5

    assert "RolledBack" == host.run().reason
    assert (65536, 65536, 86400) == host.values


def test_a_resize_that_had_to_wait_is_tried_when_it_comes() -> None:
    """What is written late has a soak and a way back of its own."""
    host = Host()
    host.kernel.files[COUNT] = "100000\n"
    host.rest()
    host.agent.accept(wish({MAX: 200_000, HASH: 66048}, number=1, soak=0))
    assert "Applied" == host.run().reason
    host.agent.accept(wish({HASH: 131072, ESTABLISHED: 86400}, number=2))
    host.run()
    assert (200_000, 66048, 86400) == host.values
    for _ in range(20):
        assert "Pending" == host.run().reason
    assert host.journal.memory.trial is None, "the rest was kept"

    while host.kernel.value(BUCKETS) != 131072:
        assert "Pending" == host.run().reason
    assert "soaking" in host.run().message
    assert {HASH: 66048} == (host.journal.memory.trial or Trial(revision="")).previous
    host.drops = 5

    assert "RolledBack" == host.run().reason
    assert (200_000, 66048, 86400) == host.values


def test_what_is_put_back_has_no_soak_of_its_own() -> None:
    """What somebody else wrote is nothing to go back to."""
    host = Host()
    host.kernel.files[COUNT] = "100000\n"
    host.rest()
    host.agent.accept(wish({MAX: 200_000, HASH: 66048}, number=1, soak=0))
    host.run()
    host.agent.accept(wish({HASH: 131072, ESTABLISHED: 86400}, number=2))
    for _ in range(14):
        host.run()
    host.kernel.poke(TIMEOUT, 7)

    for _ in range(2):
        host.run()

    assert 86400 == host.kernel.value(TIMEOUT)
    assert host.journal.memory.trial is None
