"""What is measured between two passes and over them, told by the node's status."""

import errno
from dataclasses import replace

from conntrack_agent.agent import Agent, Sources
from conntrack_agent.counters import Sample
from conntrack_agent.errors import KernelError, SettingReadOnly
from conntrack_agent.fake_kernel import BOOT_ID, FakeKernel
from conntrack_agent.meter import SLABINFO, STATISTICS, WEIGH_SECONDS
from conntrack_agent.observations import COUNT
from conntrack_agent.testing import FakeClock, FakeJournal, conntrack_node, node_spec
from conntrack_api.conditions import NodeCondition, find
from conntrack_api.node import CounterSource, NodeStatus

NOW = "2026-01-01T00:00:00Z"
SLAB_END = ": tunables 0 0 0 : slabdata 13 13 0\n"


class FakeCounters:
    """Netlink that shows what it is told."""

    def __init__(self, drop: int = 0) -> None:
        """Start with so many drops."""
        self.drop = drop
        self.early = 0
        self.error: KernelError | None = None
        self.asked = 0

    def read(self) -> Sample:
        """Give one CPU."""
        self.asked += 1
        if self.error:
            raise self.error
        return {"0": (self.drop, self.early, 0, 0)}


class Node:
    """An agent that may be started again."""

    def __init__(self, counters: FakeCounters | None = None) -> None:
        """Boot; the table holds 1000 entries at most."""
        self.kernel = FakeKernel(limit=1000, entries=100)
        self.counters = counters
        self.journal = FakeJournal()
        self.clock = FakeClock()
        self.start()

    def start(self) -> None:
        """Start the agent, with what the journal knows."""
        self.agent = Agent(
            self.kernel,
            self.journal,
            clock=self.clock,
            sources=Sources(counters=self.counters),
        )
        self.agent.accept(conntrack_node())

    def fill(self, entries: int) -> None:
        """Track so many flows."""
        self.kernel.files[COUNT] = f"{entries}\n"

    def status(self) -> NodeStatus:
        """Run a pass."""
        status = self.agent.pass_once(NOW)
        assert status is not None
        return status

    def pressure(self) -> tuple[str, str]:
        """Run a pass and give the pressure."""
        found = find(self.status().conditions, NodeCondition.PRESSURE)
        assert found is not None
        return found.reason, found.message

    def dropped(self) -> int:
        """Run a pass and give what a full table has dropped."""
        drops = self.status().drops
        assert drops is not None
        return drops.table


def peak(status: NodeStatus) -> tuple[int, int]:
    """Entries and percent."""
    assert status.table is not None
    return status.table.peak_entries, status.table.peak_percent


def test_a_burst_between_two_passes_is_seen() -> None:
    """The peak is of all looks since the last report, and begins anew after it."""
    node = Node()
    node.status()
    node.fill(900)
    node.agent.sample()
    node.fill(200)

    assert (900, 90) == peak(node.status())
    assert (900, 90) == peak(node.status()), "not reported yet"

    node.agent.reported()
    assert (200, 20) == peak(node.status())


def test_a_sudden_rise_asks_for_a_pass() -> None:
    """Five points more than at the last pass do not wait for the next one."""
    node = Node()
    node.status()

    node.fill(149)
    assert not node.agent.sample()
    node.fill(150)
    assert node.agent.sample()
    node.status()
    assert not node.agent.sample()


def test_a_fill_that_cannot_be_read_is_passed_over() -> None:
    """The next pass says so; a look in between does not fail."""
    node = Node()
    node.status()
    node.kernel.read_errors[COUNT] = errno.EIO

    assert not node.agent.sample()


def test_drops_count_from_our_first_sight_of_a_boot() -> None:
    """What came before us is not said, and a restart of the agent forgets none."""
    node = Node(FakeCounters(drop=70))
    assert 0 == node.dropped()

    assert node.counters is not None
    node.counters.drop = 75
    assert 5 == node.dropped()

    node.start()
    node.counters.drop = 76
    assert 6 == node.dropped()


def test_another_boot_is_another_first_sight() -> None:
    """Counters begin at 0 with the machine."""
    node = Node(FakeCounters(drop=70))
    node.dropped()
    assert node.counters is not None
    node.counters.drop = 3
    node.kernel.files[BOOT_ID] = "second-boot\n"

    assert 0 == node.dropped()
    node.counters.drop = 4
    assert 1 == node.dropped()


def test_the_journal_is_written_once_for_a_boot() -> None:
    """Counters that move are no reason to write to a disk."""
    node = Node(FakeCounters())
    node.dropped()
    before = node.journal.effects.done.count("journal")
    assert node.counters is not None
    for _ in range(5):
        node.counters.drop += 1
        node.dropped()

    assert before == node.journal.effects.done.count("journal")


def test_drops_while_full_are_a_pressure_of_their_own() -> None:
    """The reason stays as long as every look finds more."""
    node = Node(FakeCounters())
    node.fill(1000)
    assert "TableFull" == node.pressure()[0]

    assert node.counters is not None
    node.counters.drop = 12
    reason, message = node.pressure()
    assert "DroppingPackets" == reason
    assert "1000 of 1000 entries, 100 %: 12 packets" in message

    assert "TableFull" == node.pressure()[0]


def test_drops_of_a_table_with_room_are_somebody_else_s() -> None:
    """Trackers refuse packets for reasons of their own."""
    node = Node(FakeCounters())
    node.pressure()
    assert node.counters is not None
    node.counters.drop = 12

    assert "BelowThreshold" == node.pressure()[0]


def test_a_burst_that_filled_the_table_explains_the_drops() -> None:
    """It was full between two looks, and is not any more."""
    node = Node(FakeCounters())
    node.pressure()
    assert node.counters is not None
    node.fill(990)
    node.agent.sample()
    node.fill(100)
    node.counters.drop = 3

    assert "DroppingPackets" == node.pressure()[0]


def test_without_rights_the_file_is_read() -> None:
    """Netlink that refuses is not asked again; without the file only the fill tells."""
    counters = FakeCounters()
    counters.error = SettingReadOnly("netlink: Operation not permitted")
    node = Node(counters)

    status = node.status()
    assert status.drops is None
    assert status.facts is not None
    assert CounterSource.NONE == status.facts.counters

    node.kernel.files[STATISTICS] = "entries drop\n5 0\n5 0\n"
    node.status()
    node.kernel.files[STATISTICS] = "entries drop\n5 1\n5 a\n"
    status = node.status()
    assert status.facts is not None
    assert CounterSource.PROC_STAT == status.facts.counters
    assert status.drops is not None
    assert 11 == status.drops.table
    assert 1 == counters.asked


def test_an_answer_that_is_late_once_is_asked_for_again() -> None:
    """A hiccup loses no drops."""
    counters = FakeCounters()
    node = Node(counters)
    node.status()
    counters.error = KernelError("netlink: timed out")
    assert node.status().drops is None

    counters.error = None
    counters.drop = 2
    assert 2 == node.dropped()


def test_the_measured_price_decides_what_fits() -> None:
    """A host whose entries are dear is not given a table that it cannot hold."""
    node = Node()
    node.kernel.files["proc/meminfo"] = "MemAvailable: 102400 kB\n"
    wish = node_spec({"nf_conntrack_max": 200_000, "nf_conntrack_buckets": 65536})
    node.agent.accept(conntrack_node(wish, generation=2))
    assert () == node.status().failures

    dear = Node()
    dear.kernel.files["proc/meminfo"] = "MemAvailable: 102400 kB\n"
    dear.kernel.files[SLABINFO] = "nf_conntrack 100 100 512 8 1 " + SLAB_END
    dear.agent.accept(conntrack_node(wish, generation=2))
    status = dear.status()

    assert ["NotEnoughMemory"] == [each.reason for each in status.failures]
    assert status.table is not None
    assert 13 * 4096 + 65536 * 8 == status.table.memory_bytes


def test_the_caches_are_weighed_now_and_then() -> None:
    """The kernel makes that file up under a lock; once a minute is enough."""
    node = Node()
    node.kernel.files[SLABINFO] = "nf_conntrack 1 1 256 16 1 " + SLAB_END
    before = node.status()
    node.kernel.files[SLABINFO] = "nf_conntrack 1 1 512 8 1 " + SLAB_END
    assert before.table == node.status().table

    node.kernel.files[SLABINFO] = (
        "nf_conntrack 1 1 256 16 1 : tunables 0 0 0 : slabdata 99 99 0\n"
    )
    node.clock.sleep(WEIGH_SECONDS)

    after = node.status().table
    assert after is not None
    assert 99 * 4096 + 65536 * 8 == after.memory_bytes


def test_nothing_is_asked_of_a_kernel_that_tracks_nothing() -> None:
    """A question over netlink would load a module."""
    counters = FakeCounters()
    node = Node(counters)
    del node.kernel.files[COUNT]

    assert replace(node.status(), conditions=()).drops is None
    assert 0 == counters.asked
