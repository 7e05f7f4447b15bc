"""A table that is about to be full grows by itself, and stays as large as it became."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conntrack_agent.test_soak import Host

from conntrack_agent.fake_kernel import BOOT_ID, FakeKernel
from conntrack_agent.growth import HOUR, PER_HOUR, Grown, grown_spec, kept, wanted
from conntrack_agent.memory import Memory
from conntrack_agent.observations import BUCKETS, COUNT, LIMIT, Observation
from conntrack_agent.observe import observe
from conntrack_agent.report import worth_writing
from conntrack_agent.testing import conntrack_node, node_spec
from conntrack_api.conditions import NodeCondition, find
from conntrack_api.growth import NodeGrowth
from conntrack_api.node import ConntrackNode, NodeMode, NodeSpec
from conntrack_api.table import Adjust

MAX, HASH = "nf_conntrack_max", "nf_conntrack_buckets"
GROWS = NodeGrowth(at_percent=80, factor=2, ceiling=524_288)
SIZE = {MAX: 65536, HASH: 65536}


def told(
    settings: dict[str, int] | None = None,
    *,
    growth: NodeGrowth | None = GROWS,
    mode: NodeMode = NodeMode.ENFORCE,
    number: int = 1,
    adjust: Adjust = Adjust.EXACT,
    soak: int = 0,
) -> NodeSpec:
    """Give what a node is told, with growth."""
    spec = node_spec(
        settings or SIZE,
        mode=mode,
        revision=f"r{number}",
        adjust=adjust,
        soak_seconds=soak,
    )
    return replace(spec, growth=growth)


def wish(spec: NodeSpec, number: int = 1) -> ConntrackNode:
    """Give the object with this spec."""
    return conntrack_node(spec, generation=number)


class Growing(Host):
    """A machine that has what it was told."""

    def __init__(self, spec: NodeSpec | None = None, entries: int = 0) -> None:
        """Start, be told, and have so many entries afterwards."""
        super().__init__()
        self.agent.accept(wish(spec or told()))
        self.run()
        self.kernel.files[COUNT] = str(entries)

    @property
    def size(self) -> tuple[int, int]:
        """Limit and buckets."""
        return self.kernel.value(LIMIT), self.kernel.value(BUCKETS)

    @property
    def pressure(self) -> str:
        """What is said of the fill."""
        found = find(self.status.conditions, NodeCondition.PRESSURE)
        assert found is not None
        return found.message

    @property
    def grown_from(self) -> int | None:
        """What is reported."""
        return self.status.table.grown_from if self.status.table else None


def seen(limit: int, entries: int) -> Observation:
    """Observe a kernel with this limit and fill."""
    kernel = FakeKernel()
    kernel.files |= {LIMIT: str(limit), COUNT: str(entries)}
    return observe(kernel)


@pytest.mark.parametrize(
    ("spec", "limit", "entries", "expected"),
    [
        pytest.param(told(), 65536, 52428, None, id="79 percent"),
        pytest.param(told(), 65536, 52429, (131072, 131072), id="80 percent"),
        pytest.param(told({MAX: 65536}), 65536, 60000, (131072, None), id="no buckets"),
        pytest.param(told(growth=None), 65536, 65536, None, id="not asked for"),
        pytest.param(told(mode=NodeMode.OBSERVE), 65536, 65536, None, id="observing"),
        pytest.param(told(mode=NodeMode.REVERT), 65536, 65536, None, id="reverting"),
        pytest.param(told({HASH: 65536}), 65536, 65536, None, id="limit not ours"),
        pytest.param(told(), 32768, 32768, None, id="not as told"),
        pytest.param(told(), 0, 60000, None, id="without a limit"),
        pytest.param(
            told(growth=replace(GROWS, ceiling=100_000)),
            65536,
            60000,
            (100_000, 100_352),
            id="up to the ceiling",
        ),
        pytest.param(
            told(growth=replace(GROWS, ceiling=65536)),
            65536,
            65536,
            None,
            id="ceiling reached",
        ),
        pytest.param(
            told(adjust=Adjust.RAISE_ONLY),
            131072,
            120_000,
            (262144, 262144),
            id="from what was left larger",
        ),
    ],
)
def test_wanted(
    spec: NodeSpec, limit: int, entries: int, expected: tuple[int, int | None] | None
) -> None:
    """The table grows from the threshold on, in proportion, to the ceiling."""
    found = wanted(spec, None, seen(limit, entries), now=1.0)

    assert expected == (found and (found.limit, found.buckets))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(told(number=2), 65536, id="the same numbers"),
        pytest.param(told({MAX: 100_000, HASH: 65536}), 100_000, id="more, but less"),
        pytest.param(told({MAX: 131072, HASH: 65536}), None, id="as much"),
        pytest.param(told({MAX: 262144, HASH: 65536}), None, id="more than that"),
        pytest.param(told({MAX: 32768, HASH: 8192}), None, id="explicitly less"),
        pytest.param(told({HASH: 8192}), None, id="no limit"),
        pytest.param(told(growth=None), None, id="growth taken out"),
        pytest.param(
            told(growth=replace(GROWS, ceiling=100_000)), None, id="lower ceiling"
        ),
        pytest.param(told(mode=NodeMode.REVERT), None, id="let go"),
        pytest.param(told(mode=NodeMode.OBSERVE), 65536, id="only observing"),
    ],
)
def test_kept(spec: NodeSpec, expected: int | None) -> None:
    """What was grown to stays until somebody asks for less, or for no growth."""
    found = kept(Grown(told=65536, limit=131072, buckets=131072), spec)

    assert expected == (found and found.told)


steps = st.lists(
    st.tuples(st.integers(0, 100), st.sampled_from([1.0, 600.0, 1300.0])), max_size=30
)


@given(steps, st.integers(50, 95), st.integers(2, 8), st.integers(65536, 2_000_000))
def test_bounds(
    fills: list[tuple[int, float]], at: int, factor: int, ceiling: int
) -> None:
    """
    Whatever the fill does, the table only grows, never past the ceiling, at most three
    times in any hour, and only from the threshold on.
    """
    spec = told(growth=NodeGrowth(at_percent=at, factor=factor, ceiling=ceiling))
    grown: Grown | None = None
    now, times = 0.0, []
    for percent, seconds in fills:
        now += seconds
        limit = grown_spec(spec, grown).settings[MAX]
        more = wanted(spec, grown, seen(limit, limit * percent // 100), now)
        if more is None:
            continue
        times.append(now)
        assert limit < more.limit <= min(ceiling, limit * factor)
        assert seen(limit, limit * percent // 100).used_percent >= at
        assert len([each for each in times if now - each < HOUR]) <= PER_HOUR
        assert more == kept(more, spec)
        assert more.limit == grown_spec(spec, more).settings[MAX]
        grown = more


def test_a_full_table_grows_without_anybody() -> None:
    """
    The threshold is passed: buckets, then limit, in the same pass and from the journal;
    the node stays Ready with the revision that it was told, and says what it did.
    """
    host = Growing(entries=60_000)
    host.kernel.effects.done.clear()

    ready = host.run()

    assert (131072, 131072) == host.size
    assert ("True", "Applied") == (ready.status, ready.reason)
    assert "the limit has grown from 65536" in ready.message
    assert ("r1", 65536) == (host.status.applied_revision, host.grown_from)
    drift = find(host.status.conditions, NodeCondition.DRIFTED)
    assert drift is not None
    assert "False" == drift.status
    first, *done = host.kernel.effects.done
    assert "journal" == first
    writes = [each for each in done if each != "journal"]
    assert [f"{HASH}=131072", f"{MAX}=131072"] == writes


def test_growth_outlives_a_restart_and_an_edit() -> None:
    """Neither a new process nor an edit with the same numbers brings the old size."""
    host = Growing(entries=60_000)
    host.run()
    host.kernel.effects.done.clear()

    host.start()
    first = host.run()
    host.agent.accept(wish(told(number=2), 2))
    second = host.run()

    assert (131072, 131072) == host.size
    assert ("True", "True") == (first.status, second.status)
    assert "r2" == host.status.applied_revision
    assert {"journal"} == set(host.kernel.effects.done)


def test_somebody_else_who_shrinks_a_grown_table_is_corrected() -> None:
    """Drift is measured from what was grown to."""
    host = Growing(entries=60_000)
    host.run()
    host.run()
    host.kernel.files[LIMIT] = "65536"

    host.run()
    host.run()
    host.run(15)

    assert 131072 == host.kernel.value(LIMIT)


def test_explicitly_smaller_size_is_made_as_far_as_it_fits() -> None:
    """A person who asks for less gets less, but never below the live entries."""
    host = Growing(entries=60_000)
    host.run()
    host.agent.accept(wish(told({MAX: 61_000, HASH: 65536}, number=2), 2))

    refused = host.run(700)
    host.kernel.files[COUNT] = "1000"
    for _ in range(3):
        host.run(700)

    assert "WouldDrop" == refused.reason
    assert (61_000, 65536) == host.size
    assert host.grown_from is None


def test_at_most_three_times_an_hour() -> None:
    """A flood does not make a staircase; after the hour it may go on."""
    host = Growing(told(growth=replace(GROWS, ceiling=16_777_216)))
    sizes = []
    for _ in range(6):
        host.kernel.files[COUNT] = str(host.kernel.value(LIMIT) * 9 // 10)
        host.run(601)
        sizes.append(host.kernel.value(LIMIT))

    assert [131072, 262144, 524288, 524288, 524288, 524288] == sizes
    host.run(600)
    assert 1_048_576 == host.kernel.value(LIMIT)


SHORT = "MemTotal: 4000 kB\nMemAvailable: 1024 kB\n"
AGAINST = {
    "memory": "a full table of 131072 entries may take 27 MiB more; 1 MiB are "
    "available",
    "stall": "a resize at 60000 live entries would stop packets for about 30 ms, at "
    "most 1 ms are allowed (table.maxStallMilliseconds); waits for a quieter moment",
    "rest": "the last resize stopped packets not long ago; the next one is made in "
    "85 s",
    "soak": "a change is on trial, or was taken back",
    "hold": "",
    "journal": "",
}


@pytest.mark.parametrize("why", AGAINST)
def test_no_growth(why: str) -> None:
    """
    What speaks against any resize speaks against this one, and is no failure. The
    pressure says it with the numbers, but for what ``Ready`` says already.
    """
    soaking = told({**SIZE, "nf_conntrack_generic_timeout": 60}, soak=3600)
    host = Growing(soaking if why == "soak" else None, entries=60_000)
    if why == "memory":
        host.kernel.files["proc/meminfo"] = SHORT
    if why == "rest":
        memory = host.journal.memory
        host.journal.memory = replace(memory, resize_after=host.clock() + 90)
        host.start()
    if why == "stall":
        slow = replace(told(), max_stall_milliseconds=1)
        host.agent.accept(wish(slow, 2))
    if why == "hold":
        host.agent.accept(replace(wish(told(), 2), hold="swap"))
    if why == "journal":
        host.journal.full = "disk full"

    ready = host.run()

    assert (65536, 65536) == host.size
    assert host.grown_from is None
    if why in ("memory", "stall", "rest"):
        assert "Applied" == ready.reason
    expected = "60000 of 65536 entries, 91 %; the warning level is 80 %"
    if AGAINST[why]:
        expected += f"; does not grow (table.growth): {AGAINST[why]}"
    assert expected == host.pressure


def test_the_cause_is_said_and_not_what_follows_from_it() -> None:
    """A limit that would need the buckets is refused because they are."""
    spec = replace(told({MAX: 65536, HASH: 8192}), max_stall_milliseconds=1)
    host = Growing(spec)
    host.kernel.poke(BUCKETS, 8192)
    host.kernel.files[COUNT] = "60000"
    host.run()

    assert "(table.growth): a resize at 60000 live entries would" in host.pressure


def test_the_bounds_of_growth_are_said() -> None:
    """At the ceiling, and after three times in an hour."""
    host = Growing(told(growth=replace(GROWS, ceiling=4_194_304)))
    said = []
    for _ in range(5):
        host.kernel.files[COUNT] = str(host.kernel.value(LIMIT) * 9 // 10)
        host.run(601)
        said.append(host.pressure.partition("does not grow (table.growth): ")[2])
    low = replace(GROWS, ceiling=524_288)
    host.agent.accept(wish(told(growth=low, number=2), 2))
    host.run()

    assert ["", "", ""] == said[:3]
    assert [
        "it has grown 3 times within an hour, and may again in 1797 s",
        "it has grown 3 times within an hour, and may again in 1196 s",
    ] == said[3:]
    assert host.pressure.endswith("): it may have 524288 entries at most")


def test_a_fill_that_swings_around_the_threshold_is_said_once() -> None:
    """Nor does memory that comes and goes; it is over five points lower."""
    host = Growing(entries=52_429)
    host.kernel.files["proc/meminfo"] = SHORT
    host.run()
    first, writes = host.status, 0
    for percent, memory in [(79, 1), (80, 1), (76, 99), (77, 1), (80, 2)] * 5:
        host.kernel.files[COUNT] = str(65536 * percent // 100 + 1)
        host.kernel.files["proc/meminfo"] = SHORT.replace("1024", str(memory * 1024))
        host.run()
        writes += worth_writing(host.status, first)
        assert "MiB are available" in host.pressure
    host.kernel.files[COUNT] = str(65536 * 74 // 100)
    host.run()

    assert 0 == writes
    assert "grow" not in host.pressure


def test_a_growth_that_became_possible_says_nothing_more() -> None:
    """Memory comes back: the table grows in the next pass."""
    host = Growing(entries=60_000)
    plenty = host.kernel.files["proc/meminfo"]
    host.kernel.files["proc/meminfo"] = SHORT
    host.run()
    host.kernel.files["proc/meminfo"] = plenty
    host.run()

    assert (131072, 131072) == host.size
    assert "does not grow" not in host.pressure


def test_reboot_begins_with_what_is_told() -> None:
    """A boot empties the table, so nothing is left that it had grown for."""
    memory = Memory(boot_id=BOOT_ID, grown=Grown(told=65536, limit=131072))

    assert memory.of_boot("another").grown is None
