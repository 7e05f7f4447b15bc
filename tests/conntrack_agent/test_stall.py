"""How long a resize stops packets, and when one is made."""

import pytest

from conntrack_agent.agent import Agent
from conntrack_agent.fake_kernel import FakeKernel
from conntrack_agent.observations import BUCKETS, COUNT, LIMIT
from conntrack_agent.stall import learnt, predicted, rest
from conntrack_agent.testing import (
    ESTABLISHED,
    FakeClock,
    FakeJournal,
    conntrack_node,
    node_spec,
)
from conntrack_api.conditions import Condition, NodeCondition, find

NOW = "2026-01-01T00:00:00Z"
MAX, HASH = "nf_conntrack_max", "nf_conntrack_buckets"
TIMEOUT = f"proc/sys/net/netfilter/{ESTABLISHED}"
RAISE = {MAX: 4194304, HASH: 1048576, ESTABLISHED: 86400}
LOWER = {MAX: 2097152, HASH: 524288}


class Host:
    """A busy machine whose resizes take as long as real ones."""

    def __init__(self, entries: int, nanoseconds: int = 500) -> None:
        """Boot and start."""
        self.kernel = FakeKernel(limit=2097152, buckets=524288, entries=entries)
        self.kernel.after_write = self._stall
        self.journal = FakeJournal()
        self.clock = FakeClock()
        self.nanoseconds = nanoseconds
        self.start()

    def start(self) -> None:
        """Start the agent, or start it again."""
        self.agent = Agent(
            self.kernel, self.journal, clock=self.clock, chance=lambda: 0
        )

    def run(self, seconds: float = 5) -> Condition:
        """Run one pass; give its Ready."""
        self.clock.sleep(seconds)
        status = self.agent.pass_once(NOW)
        assert status is not None
        found = find(status.conditions, NodeCondition.READY)
        assert found is not None
        return found

    def _stall(self, file: str) -> None:
        if file == BUCKETS:
            self.clock.sleep(self.kernel.value(COUNT) * self.nanoseconds / 1e9)


def test_a_resize_that_would_stop_packets_for_long_waits() -> None:
    """Said with the numbers; the rest is set; made when the table is emptier."""
    host = Host(entries=1_000_000)
    host.agent.accept(conntrack_node(node_spec(RAISE)))

    ready = host.run()

    assert ("False", "Pending") == (ready.status, ready.reason)
    assert "1000000 live entries would stop packets for about 500 ms" in ready.message
    assert "at most 200 ms" in ready.message
    # As many entries for each bucket as kernels bear: the limit alone does no harm.
    assert [f"{MAX}=4194304", f"{ESTABLISHED}=86400"] == host.kernel.writes

    host.kernel.poke(COUNT, 300_000)
    host.run()
    assert "Applied" == host.run().reason
    assert 1048576 == host.kernel.value(BUCKETS)


def test_who_wants_it_at_any_price_can_say_so() -> None:
    """The bound is the policy's."""
    host = Host(entries=1_000_000)
    spec = node_spec(RAISE, max_stall_milliseconds=1000)
    host.agent.accept(conntrack_node(spec))

    assert "Applied" == host.run().reason


def test_the_next_resize_comes_after_a_rest() -> None:
    """After 150 ms of stall 450 s, also over a restart; then it is made."""
    host = Host(entries=300_000)
    host.agent.accept(conntrack_node(node_spec(RAISE)))
    assert "Applied" == host.run().reason
    host.agent.accept(conntrack_node(node_spec(LOWER, revision="r2"), generation=2))

    ready = host.run(5)
    assert ("False", "Pending") == (ready.status, ready.reason)
    assert "the next one is made in 445 s" in ready.message
    assert 2097152 == host.kernel.value(LIMIT)

    host.start()
    assert "Pending" == host.run(430).reason
    assert 1048576 == host.kernel.value(BUCKETS)
    host.run(15)
    assert "Applied" == host.run().reason
    assert 524288 == host.kernel.value(BUCKETS)


def test_an_edit_of_an_almost_empty_table_waits_for_nothing() -> None:
    """What stops no packets needs no rest."""
    host = Host(entries=100)
    for number, settings in enumerate([RAISE, LOWER, RAISE, LOWER], start=1):
        spec = node_spec(settings, revision=f"r{number}")
        host.agent.accept(conntrack_node(spec, generation=number))
        assert "Applied" == host.run(1).reason


def test_the_price_of_an_entry_is_learnt_on_this_host() -> None:
    """A slow machine predicts more after its first resize, and a reboot keeps that."""
    host = Host(entries=200_000, nanoseconds=2000)
    host.agent.accept(conntrack_node(node_spec(RAISE)))
    host.run()

    assert 2000 == host.journal.memory.nanoseconds_per_entry
    assert 2000 == host.journal.memory.of_boot("next").nanoseconds_per_entry

    host.agent.accept(conntrack_node(node_spec(LOWER, revision="r2"), generation=2))
    assert "about 400 ms" in host.run(700).message


@pytest.mark.parametrize(
    ("known", "seconds", "entries", "price"),
    [
        (500, 0.05, 100_000, 500),
        (500, 0.2, 100_000, 2000),
        (500, 9.0, 100_000, 5000),
        (500, 0.0, 100_000, 100),
        (500, 0.2, 9_999, 500),
    ],
)
def test_what_a_measurement_teaches(
    known: int, seconds: float, entries: int, price: int
) -> None:
    """Few entries teach nothing; nonsense teaches a bounded nonsense."""
    assert price == learnt(known, seconds, entries)


def test_resizes_take_one_part_in_three_thousand() -> None:
    """The rest is in proportion, and ten minutes at most."""
    assert 50 == predicted(100_000, 500)
    assert (0, 150, 600, 600) == (rest(0), rest(50), rest(200), rest(5000))
