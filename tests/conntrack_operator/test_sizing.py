from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from conntrack_api.growth import Growth, NodeGrowth
from conntrack_api.node import NodeSpec, TableStatus
from conntrack_api.sizing import Sized, Sizing, SizingTerm
from conntrack_api.table import TableSize
from conntrack_operator.plan import Tell, Wish, plan, wish
from conntrack_operator.rows import ConntrackNodeRow
from conntrack_operator.sizing import Machine, size
from conntrack_operator.testing import FACTS, answered, conntrack_node, node, policy
from generate.sizing_page import GIB, MACHINES, kernel, kube_proxy

RATIO = 4
DEFAULT = Sizing()


@pytest.mark.parametrize(
    ("cores", "gib", "expected", "term", "proxy", "untouched"),
    [
        (1, 1, 131_072, "Floor", 131_072, 8_192),
        (1, 2, 131_072, "Floor", 131_072, 65_536),
        (2, 1, 131_072, "Floor", 131_072, 8_192),
        (2, 2, 131_072, "Floor", 131_072, 65_536),
        (2, 4, 131_072, "Floor", 131_072, 65_536),
        (2, 8, 131_072, "Floor", 131_072, 262_144),
        (4, 4, 131_072, "PerCore", 131_072, 65_536),
        (4, 8, 131_072, "PerCore", 131_072, 262_144),
        (4, 16, 131_072, "PerCore", 131_072, 262_144),
        (8, 16, 262_144, "PerCore", 262_144, 262_144),
        (8, 32, 262_144, "PerCore", 262_144, 262_144),
        (16, 32, 524_288, "PerCore", 524_288, 262_144),
        (16, 64, 524_288, "PerCore", 524_288, 262_144),
        (32, 4, 524_288, "Memory", 1_048_576, 65_536),
        (32, 128, 1_048_576, "PerCore", 1_048_576, 262_144),
        (48, 192, 1_572_864, "PerCore", 1_572_864, 262_144),
        (64, 256, 2_097_152, "PerCore", 2_097_152, 262_144),
        (64, 512, 2_097_152, "PerCore", 2_097_152, 262_144),
        (96, 384, 3_145_728, "PerCore", 3_145_728, 262_144),
        (128, 1024, 4_194_304, "PerCore", 4_194_304, 262_144),
    ],
)
def test_machines(
    cores: int, gib: int, expected: int, term: str, proxy: int, untouched: int
) -> None:
    """Twenty machines, beside what kube-proxy and an untouched kernel would do."""
    found = size(DEFAULT, RATIO, Machine(cores=cores, memory_bytes=gib * GIB))

    assert (expected, term) == (found.entries, found.term)
    assert (proxy, untouched) == (kube_proxy(cores), kernel(gib * GIB))
    assert (cores, gib) in MACHINES


BIG = Machine(cores=8, memory_bytes=64 * GIB)


@pytest.mark.parametrize(
    ("asked", "machine", "expected", "term"),
    [
        pytest.param(
            replace(DEFAULT, ceiling=200_000), BIG, 200_000, "Ceiling", id="ceiling"
        ),
        pytest.param(
            DEFAULT,
            Machine(cores=1, memory_bytes=GIB // 4),
            32_768,
            "Memory",
            id="the memory wins over the floor",
        ),
        pytest.param(
            DEFAULT,
            Machine(cores=0, memory_bytes=0),
            131_072,
            "Floor",
            id="nothing is known of the machine",
        ),
        pytest.param(
            DEFAULT, replace(BIG, peak=150_000), 262_144, "PerCore", id="room enough"
        ),
        pytest.param(DEFAULT, replace(BIG, peak=200_000), 409_600, "Peak", id="peak"),
        pytest.param(
            DEFAULT,
            replace(BIG, entries=200_000),
            409_600,
            "Peak",
            id="live entries are a peak, whatever the agent remembers",
        ),
        pytest.param(
            DEFAULT,
            replace(BIG, peak=200_000, told=1_409_024),
            409_600,
            "Peak",
            id="a peak that has gone away",
        ),
        pytest.param(
            DEFAULT,
            replace(BIG, peak=500_000, told=1_409_024),
            1_409_024,
            "Peak",
            id="a peak that is a little lower",
        ),
        pytest.param(
            replace(DEFAULT, ceiling=262_144),
            replace(BIG, entries=500_000, peak=500_000, told=1_048_576),
            1_048_576,
            "LiveEntries",
            id="not made smaller while the live entries would not fit",
        ),
        pytest.param(
            replace(DEFAULT, ceiling=262_144),
            replace(BIG, entries=238_313, told=1_409_024),
            262_144,
            "Ceiling",
            id="made smaller as soon as they fit with a tenth to spare",
        ),
        pytest.param(
            replace(DEFAULT, ceiling=262_144),
            replace(BIG, entries=238_314, told=1_409_024),
            1_409_024,
            "LiveEntries",
            id="one entry more, and it is not",
        ),
        pytest.param(
            replace(DEFAULT, ceiling=262_144),
            replace(BIG, entries=300_000, told=262_144),
            262_144,
            "Ceiling",
            id="live entries make no table grow past the ceiling",
        ),
    ],
)
def test_terms(asked: Sizing, machine: Machine, expected: int, term: str) -> None:
    """Which term wins, and by how much."""
    found = size(asked, RATIO, machine)

    assert (expected, term) == (found.entries, found.term)


machines = st.builds(
    Machine,
    cores=st.integers(0, 256),
    memory_bytes=st.integers(GIB // 2, 1024 * GIB),
    entries=st.integers(0, 3_000_000),
    peak=st.integers(0, 3_000_000),
    told=st.integers(0, 4_194_304),
)


@given(machines)
def test_size_settles(machine: Machine) -> None:
    """A node that was told its size is told the same again on the same facts."""
    told = size(DEFAULT, RATIO, machine).entries

    assert told == size(DEFAULT, RATIO, replace(machine, told=told)).entries


@given(machines, st.integers(0, 100))
def test_fill_that_moves_a_little_moves_nothing(machine: Machine, more: int) -> None:
    """Live entries that come and go below the peak are no reason for a resize."""
    calm = replace(machine, entries=machine.peak // 2)
    found = size(DEFAULT, RATIO, calm)
    assume(found.term is not SizingTerm.LIVE_ENTRIES)
    told = found.entries
    other = replace(calm, entries=calm.entries * more // 100, told=told)

    assert told == size(DEFAULT, RATIO, other).entries


def told(row: ConntrackNodeRow, **sizing: int) -> ConntrackNodeRow:
    """
    Tell a node what a policy with sizing asks.
    """
    asked = wish(policy(table=TableSize(sizing=Sizing(**sizing)), timeouts={"t": 5}))
    found = plan(asked, node(), row)
    assert isinstance(found, Tell)
    return replace(row, spec=found.spec)


def seen(**values: object) -> ConntrackNodeRow:
    """
    Make a node that was told to observe and has reported its facts.
    """
    first = plan(wish(policy(table=None)), node(), None)
    assert isinstance(first, Tell)
    row = conntrack_node(spec=first.spec, facts=FACTS)
    return replace(row, **values)  # type: ignore[arg-type]


def test_numbers_only_after_the_facts() -> None:
    """What a size is computed from has to be reported first."""
    asked = wish(policy(table=TableSize(sizing=Sizing())))

    first = plan(asked, node(), None)

    assert isinstance(first, Tell)
    assert ({}, False) == (first.spec.settings, first.final)


def test_node_is_told_its_own_size_and_why() -> None:
    """Four cores make 131072 entries, at 400 bytes each and 8 for each bucket."""
    spec = told(seen()).spec
    assert spec is not None

    expected = {"nf_conntrack_max": 131_072, "nf_conntrack_buckets": 32_768, "t": 5}
    assert expected == spec.settings
    price = 131_072 * 400 + 32_768 * 8
    assert Sized(term=SizingTerm.PER_CORE, price_bytes=price) == spec.sizing


def test_peak_that_the_agent_reports() -> None:
    """The peak of the status makes the table grow; without one the fill does."""
    grown = told(seen(peak_entries=300_000)).spec
    table = TableStatus(entries=90_000, max_entries=0, buckets=0, used_percent=0)
    filled = told(seen(table=table)).spec

    assert grown is not None
    assert filled is not None
    assert 606_208 == grown.settings["nf_conntrack_max"]
    assert 180_224 == filled.settings["nf_conntrack_max"]


def grows(*, sized: bool) -> TableSize:
    """Make a table that may grow, of a size of its own or of a fixed one."""
    if sized:
        return TableSize(sizing=DEFAULT, growth=Growth())
    return TableSize(max_entries=131_072, growth=Growth(at_percent=70, factor=4))


def observing(asked: Wish) -> ConntrackNodeRow:
    """Make the row of a node that has reported its facts."""
    return conntrack_node(
        spec=replace(asked.facts_first, node_uid=node().uid), facts=FACTS
    )


def reported(limit: int, entries: int, told: NodeSpec) -> ConntrackNodeRow:
    """Make the row of a node that has grown to a limit."""
    row = answered(conntrack_node(spec=told, facts=FACTS))
    table = TableStatus(
        entries=entries,
        max_entries=limit,
        buckets=limit // 4,
        used_percent=entries * 100 // limit,
        grown_from=131_072,
    )
    return replace(row, table=table, peak_entries=entries)


@pytest.mark.parametrize(
    ("sized", "expected"),
    [
        pytest.param(
            False,
            NodeGrowth(at_percent=70, factor=4, ceiling=1_048_576),
            id="eight times a fixed limit",
        ),
        pytest.param(
            True,
            NodeGrowth(at_percent=80, factor=2, ceiling=1_064_960),
            id="what 5 % of 8 GiB hold",
        ),
    ],
)
def test_growth_is_told_with_its_end(
    sized: bool,  # noqa: FBT001 - a table's column
    expected: NodeGrowth,
) -> None:
    """A node is told numbers only: when, by how much, and where it ends."""
    asked = wish(policy(table=grows(sized=sized)))
    told = plan(asked, node(), observing(asked))

    assert isinstance(told, Tell)
    assert expected == told.spec.growth
    assert asked.facts_first.growth is None


@pytest.mark.parametrize("sized", [False, True])
def test_growth_is_not_fought(sized: bool) -> None:  # noqa: FBT001 - drawn
    """What a node has grown to by itself makes no plan smaller than it was told."""
    asked = wish(policy(table=grows(sized=sized)))
    first = plan(asked, node(), observing(asked))
    assert isinstance(first, Tell)
    for entries in (105_000, 200_000, 90_000):
        again = plan(asked, node(), reported(262_144, entries, first.spec))
        assert isinstance(again, Tell)
        limit = again.spec.settings["nf_conntrack_max"]
        assert limit == 131_072 or limit >= 262_144


def test_growth_is_a_change_like_any_other() -> None:
    """To allow it or to take it back reaches the nodes in stages."""
    plain, growing = TableSize(max_entries=131_072), grows(sized=False)

    revisions = {wish(policy(table=each)).numbers.revision for each in (plain, growing)}

    assert 2 == len(revisions)


def test_lost_facts_change_no_size() -> None:
    """A report that lacks the facts is no reason to resize."""
    row = told(seen(), per_core=65_536)

    again = told(replace(row, facts=None), per_core=65_536)

    assert row.spec == again.spec
