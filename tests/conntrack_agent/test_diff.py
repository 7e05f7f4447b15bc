"""What separates a kernel from its spec: named cases, then what always holds."""

import errno
from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conntrack_agent.apply import apply
from conntrack_agent.changes import Difference
from conntrack_agent.diff import diff, revert
from conntrack_agent.fake_kernel import FakeKernel
from conntrack_agent.observations import (
    BUCKETS,
    COUNT,
    HASHSIZE,
    INITIAL_NAMESPACE_ONLY,
    LIMIT,
)
from conntrack_agent.observe import observe
from conntrack_agent.size import HEADROOM_SHARE, MIN_HEADROOM
from conntrack_agent.testing import ESTABLISHED, node_spec
from conntrack_api.conditions import NodeReason
from conntrack_api.settings import SETTINGS
from conntrack_api.table import Adjust

MAX, HASH = "nf_conntrack_max", "nf_conntrack_buckets"
TIMEOUT = f"proc/sys/net/netfilter/{ESTABLISHED}"


def shown(difference: Difference) -> list[str]:
    """Changes as text, in order."""
    return [str(each) for each in difference.changes]


def reasons(difference: Difference) -> dict[str, str]:
    """Setting to the reason of its refusal."""
    return {each.setting: each.reason for each in difference.refusals}


class Case(NamedTuple):
    """A kernel, a wish, and what is to come of it."""

    name: str
    kernel: FakeKernel
    settings: dict[str, int]
    changes: list[str] = []  # noqa: RUF012 - never changed
    refusals: dict[str, str] = {}  # noqa: RUF012
    adjust: Adjust = Adjust.EXACT


CASES = [
    Case("nothing asked", FakeKernel(), {}),
    Case("already so", FakeKernel(), {MAX: 65536, HASH: 65536, ESTABLISHED: 600}),
    Case(
        "growing: buckets, then limit",
        FakeKernel(limit=65536, buckets=16384),
        {MAX: 262144, HASH: 65536},
        [f"{HASH} 16384 -> 65536", f"{MAX} 65536 -> 262144"],
    ),
    Case(
        "shrinking: limit, then buckets",
        FakeKernel(limit=262144, buckets=65536),
        {HASH: 16384, MAX: 65536},
        [f"{MAX} 262144 -> 65536", f"{HASH} 65536 -> 16384"],
    ),
    Case(
        "timeouts come after the size",
        FakeKernel(),
        {ESTABLISHED: 86400, MAX: 131072},
        [f"{MAX} 65536 -> 131072", f"{ESTABLISHED} 600 -> 86400"],
    ),
    Case(
        "buckets are compared as 4 KiB pages show them",
        FakeKernel(buckets=512),
        {HASH: 1},
    ),
    Case(
        "buckets are written as 4 KiB pages show them",
        FakeKernel(buckets=512),
        {HASH: 10000},
        [f"{HASH} 512 -> 10240"],
    ),
    Case(
        "buckets are written as 64 KiB pages show them",
        FakeKernel(buckets=8192, page_bytes=65536),
        {HASH: 10000},
        [f"{HASH} 8192 -> 16384"],
    ),
    Case(
        "buckets are compared as 64 KiB pages show them",
        FakeKernel(buckets=8192, page_bytes=65536),
        {HASH: 512},
    ),
    Case(
        "raise only leaves a larger size alone",
        FakeKernel(limit=262144, buckets=65536),
        {MAX: 65536, HASH: 16384, ESTABLISHED: 60},
        [f"{ESTABLISHED} 600 -> 60"],
        adjust=Adjust.RAISE_ONLY,
    ),
    Case(
        "raise only raises",
        FakeKernel(limit=65536, buckets=65536),
        {MAX: 131072, HASH: 16384},
        [f"{MAX} 65536 -> 131072"],
        adjust=Adjust.RAISE_ONLY,
    ),
    Case(
        "raise only leaves an unlimited table alone",
        FakeKernel(limit=0),
        {MAX: 131072},
        adjust=Adjust.RAISE_ONLY,
    ),
    Case(
        "an unlimited table (0) gets its limit",
        FakeKernel(limit=0),
        {MAX: 131072},
        [f"{MAX} 0 -> 131072"],
    ),
    Case(
        "an unlimited table (-1) gets its limit before it loses buckets",
        FakeKernel(limit=-1, buckets=65536),
        {MAX: 131072, HASH: 32768},
        [f"{MAX} -1 -> 131072", f"{HASH} 65536 -> 32768"],
    ),
    Case(
        "an unlimited table does not get a limit that would drop",
        FakeKernel(limit=0, entries=131000),
        {MAX: 131072},
        [],
        {MAX: NodeReason.WOULD_DROP},
    ),
    Case(
        "a limit below the live entries is refused, the timeouts are not",
        FakeKernel(limit=262144, buckets=65536, entries=200000),
        {MAX: 210000, HASH: 32768, ESTABLISHED: 60},
        [f"{ESTABLISHED} 600 -> 60"],
        {MAX: NodeReason.WOULD_DROP, HASH: NodeReason.WOULD_DROP},
    ),
    Case(
        "a tenth of the live entries is headroom enough",
        FakeKernel(limit=262144, entries=100000),
        {MAX: 110000},
        [f"{MAX} 262144 -> 110000"],
    ),
    Case(
        "less than a tenth of the live entries is not",
        FakeKernel(limit=262144, entries=100000),
        {MAX: 109999},
        [],
        {MAX: NodeReason.WOULD_DROP},
    ),
    Case(
        "a small table keeps a thousand entries of headroom",
        FakeKernel(limit=262144, entries=100),
        {MAX: 1099},
        [],
        {MAX: NodeReason.WOULD_DROP},
    ),
    Case(
        "a full table may grow, even if it stays tight",
        FakeKernel(limit=65536, entries=65536),
        {MAX: 66000},
        [f"{MAX} 65536 -> 66000"],
    ),
    Case(
        "what memory cannot hold is refused",
        FakeKernel(available_mib=100),
        {MAX: 1048576, HASH: 262144},
        [],
        {MAX: NodeReason.NOT_ENOUGH_MEMORY, HASH: NodeReason.NOT_ENOUGH_MEMORY},
    ),
    Case(
        "buckets that memory cannot hold are refused, a harmless limit is not",
        FakeKernel(available_mib=100),
        {MAX: 131072, HASH: 16777216},
        [f"{MAX} 65536 -> 131072"],
        {HASH: NodeReason.NOT_ENOUGH_MEMORY},
    ),
    Case(
        "buckets grow although the limit that is there would not fit again",
        FakeKernel(limit=10_000_000, buckets=65536, available_mib=100),
        {HASH: 131072},
        [f"{HASH} 65536 -> 131072"],
    ),
    Case(
        "shrinking needs no memory",
        FakeKernel(limit=262144, buckets=65536, available_mib=0),
        {MAX: 65536, HASH: 16384},
        [f"{MAX} 262144 -> 65536", f"{HASH} 65536 -> 16384"],
    ),
    Case(
        "a setting that this kernel lacks does not hide the others",
        FakeKernel(),
        {"nf_conntrack_later": 5, ESTABLISHED: 60},
        [f"{ESTABLISHED} 600 -> 60"],
        {"nf_conntrack_later": NodeReason.UNSUPPORTED},
    ),
    Case(
        "a timeout that would destroy flows is never written",
        FakeKernel(),
        {
            ESTABLISHED: 0,
            "nf_conntrack_udp_timeout": -1,
            "nf_conntrack_icmp_timeout": 9,
        },
        ["nf_conntrack_icmp_timeout 600 -> 9"],
        {
            ESTABLISHED: NodeReason.WRITE_REFUSED,
            "nf_conntrack_udp_timeout": NodeReason.WRITE_REFUSED,
        },
    ),
    Case(
        "no limit is ever asked of a kernel",
        FakeKernel(),
        {MAX: 0},
        [],
        {MAX: NodeReason.WRITE_REFUSED},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_named_cases(case: Case) -> None:
    """A wish becomes ordered changes and named refusals."""
    spec = node_spec(case.settings, adjust=case.adjust)

    difference = diff(spec, observe(case.kernel))

    assert case.changes == shown(difference)
    assert case.refusals == reasons(difference)


def test_nothing_is_written_where_nothing_is_tracked() -> None:
    """Without the module every setting waits, by name."""
    kernel = FakeKernel()
    del kernel.files[COUNT]

    difference = diff(node_spec({MAX: 1024, ESTABLISHED: 60}), observe(kernel))

    assert () == difference.changes
    expected = {MAX: NodeReason.NOT_LOADED, ESTABLISHED: NodeReason.NOT_LOADED}
    assert expected == reasons(difference)


def test_the_size_belongs_to_the_first_namespace() -> None:
    """In a namespace of its own a node gets its timeouts, and is told why not more."""
    kernel = FakeKernel()
    del kernel.files[INITIAL_NAMESPACE_ONLY]
    spec = node_spec({MAX: 131072, HASH: 131072, ESTABLISHED: 60})

    difference = diff(spec, observe(kernel))

    assert [f"{ESTABLISHED} 600 -> 60"] == shown(difference)
    namespace = NodeReason.NOT_IN_INITIAL_NAMESPACE
    assert {MAX: namespace, HASH: namespace} == reasons(difference)


@pytest.mark.parametrize(
    ("limit", "changes", "refused"),
    [
        (131072, [f"{MAX} 65536 -> 131072"], [HASH]),
        (1048576, [], [MAX, HASH]),
    ],
)
def test_buckets_that_cannot_be_written(
    limit: int, changes: list[str], refused: list[str]
) -> None:
    """The limit follows only as far as the chains of the present buckets allow."""
    kernel = FakeKernel(buckets=65536)
    kernel.read_only |= {BUCKETS, HASHSIZE}

    difference = diff(node_spec({MAX: limit, HASH: 262144}), observe(kernel))

    assert changes == shown(difference)
    assert set(refused) == set(reasons(difference))
    assert {NodeReason.WRITE_REFUSED} == set(reasons(difference).values())


def test_an_unreadable_setting_is_not_written() -> None:
    """What cannot be read back cannot be proved, and is named."""
    kernel = FakeKernel()
    kernel.read_errors[TIMEOUT] = errno.EIO

    difference = diff(node_spec({ESTABLISHED: 60, MAX: 131072}), observe(kernel))

    assert [f"{MAX} 65536 -> 131072"] == shown(difference)
    assert {ESTABLISHED: NodeReason.WRITE_REFUSED} == reasons(difference)


def test_the_module_parameter_carries_buckets_of_an_old_kernel() -> None:
    """A change names the file that takes it."""
    kernel = FakeKernel(buckets=512)
    kernel.read_only.add(BUCKETS)

    (change,) = diff(node_spec({HASH: 1024}), observe(kernel)).changes

    assert HASHSIZE == change.file


def test_revert_brings_back_what_was_found() -> None:
    """The baseline is a wish like any other, in the same order."""
    kernel = FakeKernel(limit=262144, buckets=65536)
    baseline = {MAX: 65536, HASH: 16384, ESTABLISHED: 432000, "gone": 1}

    difference = revert(baseline, observe(kernel))

    assert [
        f"{MAX} 262144 -> 65536",
        f"{HASH} 65536 -> 16384",
        f"{ESTABLISHED} 600 -> 432000",
    ] == shown(difference)


def test_revert_keeps_the_promises() -> None:
    """A baseline that would drop connections or destroy flows is refused."""
    kernel = FakeKernel(entries=60000)
    baseline = {MAX: 0, ESTABLISHED: 0}

    assert {
        MAX: NodeReason.WRITE_REFUSED,
        ESTABLISHED: NodeReason.WRITE_REFUSED,
    } == reasons(revert(baseline, observe(kernel)))
    assert {MAX: NodeReason.WOULD_DROP} == reasons(
        revert({MAX: 60500}, observe(kernel))
    )


limits = st.one_of(st.sampled_from([-1, 0]), st.integers(1, 4_194_304))
buckets = st.integers(1, 2048).map(lambda pages: pages * 512)


@st.composite
def kernels(draw: st.DrawFn) -> FakeKernel:
    """Any kernel in any state, some of it broken."""
    kernel = FakeKernel(
        limit=draw(limits),
        buckets=draw(buckets) * 16,
        entries=draw(st.integers(0, 2_000_000)),
        available_mib=draw(st.sampled_from([0, 64, 1024, 65536])),
        page_bytes=draw(st.sampled_from([4096, 65536])),
    )
    kernel.read_only |= draw(st.sets(st.sampled_from([BUCKETS, HASHSIZE])))
    for setting in draw(st.lists(st.sampled_from(SETTINGS), max_size=3)):
        kernel.files.pop(f"proc/sys/net/{setting.file}", None)
    return kernel


@st.composite
def wishes(draw: st.DrawFn) -> dict[str, int]:
    """Any settings within their bounds that the API server lets through."""
    rows = draw(st.lists(st.sampled_from(SETTINGS[2:]), unique=True, max_size=5))
    wish = {row.name: draw(st.integers(row.minimum, row.maximum)) for row in rows}
    size = draw(st.sampled_from(["none", "limit", "buckets", "both"]))
    if size in ("buckets", "both"):
        wish[HASH] = draw(st.integers(512, 1_000_000))
    if size in ("limit", "both"):
        wish[MAX] = draw(st.integers(1024, min(8 * wish.get(HASH, 1 << 20), 1 << 22)))
    return wish


adjusts = st.sampled_from(list(Adjust))


@given(kernels(), wishes(), adjusts)
def test_a_diff_after_a_perfect_apply_is_empty(
    kernel: FakeKernel, wish: dict[str, int], adjust: Adjust
) -> None:
    """What was written counts as done, and what was refused stays refused."""
    spec = node_spec(wish, adjust=adjust)
    before = diff(spec, observe(kernel))

    outcomes = apply(before.changes, kernel)

    assert all(each.failure is None for each in outcomes)
    after = diff(spec, observe(kernel))
    assert () == after.changes
    assert set(reasons(before)) == set(reasons(after))


@given(kernels(), wishes(), adjusts)
def test_every_wish_is_met_changed_or_refused(
    kernel: FakeKernel, wish: dict[str, int], adjust: Adjust
) -> None:
    """No setting is passed over in silence, and none is named twice."""
    seen = observe(kernel)

    difference = diff(node_spec(wish, adjust=adjust), seen)

    named = [each.setting for each in difference.changes]
    named += [each.setting for each in difference.refusals]
    assert len(named) == len(set(named))
    for name in set(wish) - set(named):
        if name in (MAX, HASH):
            assert adjust == Adjust.RAISE_ONLY or wish[name] <= seen.values[name]
        else:
            assert wish[name] == seen.values[name]


@given(kernels(), wishes(), adjusts)
def test_a_shrunk_limit_leaves_headroom(
    kernel: FakeKernel, wish: dict[str, int], adjust: Adjust
) -> None:
    """A limit is never lowered to less than the live entries and a tenth, or 1000."""
    seen = observe(kernel)

    difference = diff(node_spec(wish, adjust=adjust), seen)

    for change in difference.changes:
        if change.setting != MAX:
            continue
        assert change.after > 0
        if change.before <= 0 or change.after < change.before:
            entries = seen.entries or 0
            spare = max(MIN_HEADROOM, entries // HEADROOM_SHARE)
            assert change.after >= entries + spare


@given(kernels(), wishes())
def test_raise_only_never_lowers(kernel: FakeKernel, wish: dict[str, int]) -> None:
    """Neither limit nor buckets get smaller; no limit is the largest limit."""
    difference = diff(node_spec(wish, adjust=Adjust.RAISE_ONLY), observe(kernel))

    for change in difference.changes:
        if change.setting in (MAX, HASH):
            assert 0 < change.before < change.after


def chains(kernel: FakeKernel) -> bool:
    """Whether chains may get longer than a policy may ask for."""
    limit, size = kernel.value(LIMIT), kernel.value(BUCKETS)
    return limit <= 0 or limit > 8 * size


@given(kernels(), wishes(), adjusts, st.sampled_from([None, LIMIT, BUCKETS, HASHSIZE]))
def test_no_step_makes_chains_longer_than_both_ends(
    kernel: FakeKernel, wish: dict[str, int], adjust: Adjust, failing: str | None
) -> None:
    """
    No intermediate state, and none after a failed write, has more than 8 entries a
    bucket, unless the state before or the one asked for has.
    """
    if LIMIT not in kernel.files or BUCKETS not in kernel.files:
        return
    states: list[bool] = [chains(kernel)]
    kernel.after_write = lambda _file: states.append(chains(kernel))
    if failing:
        kernel.write_errors[failing] = errno.ENOMEM

    asked = replace(node_spec(wish), adjust=adjust)
    difference = diff(asked, observe(kernel))
    goal_limit, goal_buckets = kernel.value(LIMIT), kernel.value(BUCKETS)
    for change in difference.changes:
        goal_limit = change.after if change.setting == MAX else goal_limit
        goal_buckets = change.after if change.setting == HASH else goal_buckets
    goal = goal_limit <= 0 or goal_limit > 8 * goal_buckets
    apply(difference.changes, kernel)

    assert states[0] or goal or not any(states)


@given(kernels(), wishes())
def test_what_memory_cannot_hold_is_not_written(
    kernel: FakeKernel, wish: dict[str, int]
) -> None:
    """A limit grows only if its table, at the cheapest, fits into what is available."""
    seen = observe(kernel)

    for change in diff(node_spec(wish), seen).changes:
        if change.setting == MAX and 0 < change.before < change.after:
            more = max(0, change.after - (seen.entries or 0))
            assert more * 256 <= seen.available_bytes
