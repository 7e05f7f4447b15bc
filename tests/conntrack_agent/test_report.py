"""What the node answers, and when that is worth a write."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conntrack_agent.changes import Findings
from conntrack_agent.fake_kernel import FakeKernel
from conntrack_agent.fit import MOST_BYTES, size
from conntrack_agent.load import Load
from conntrack_agent.observations import COUNT, LIMIT
from conntrack_agent.observe import observe
from conntrack_agent.report import report, worth_writing
from conntrack_agent.testing import ESTABLISHED, node_spec
from conntrack_api.codec import node_from_object, to_object
from conntrack_api.conditions import Condition, NodeCondition, NodeReason, find
from conntrack_api.node import (
    Drops,
    ExistingEntriesStatus,
    Failure,
    NodeMode,
    NodeStatus,
    WalkState,
)
from conntrack_api.settings import SETTINGS

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"
DONE = Findings(applied_revision="r1")


def status(
    found: Findings = DONE,
    *,
    kernel: FakeKernel | None = None,
    mode: NodeMode = NodeMode.ENFORCE,
    last: NodeStatus | None = None,
    now: str = NOW,
) -> NodeStatus:
    """A status of the usual spec."""
    seen = observe(kernel or FakeKernel())
    spec = node_spec(mode=mode)
    return report(spec, 7, seen, found, last=last or NodeStatus(), now=now)


def condition(of: NodeStatus, type_: str) -> Condition:
    """One condition, which must be there."""
    found = find(of.conditions, type_)
    assert found is not None
    return found


def filled(percent: int, last: NodeStatus | None = None) -> NodeStatus:
    """A status of a table that is so full."""
    return status(kernel=FakeKernel(limit=1000, entries=percent * 10), last=last)


def failure(reason: NodeReason, message: str = "because") -> Failure:
    """Something that is not as asked."""
    return Failure(setting=ESTABLISHED, reason=reason, message=message)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (DONE, ("True", "Applied", "1 of 1 settings are as asked")),
        (Findings(), ("False", "Pending", "waiting for the first pass")),
        (
            replace(DONE, pending=("a 1 -> 2",)),
            ("False", "Pending", "waiting for a 1 -> 2"),
        ),
        (
            replace(DONE, failures=(failure(NodeReason.UNSUPPORTED),)),
            (
                "True",
                "Applied",
                f"0 of 1 settings are as asked; this kernel has no {ESTABLISHED}",
            ),
        ),
        (
            replace(DONE, failures=(failure(NodeReason.WOULD_DROP),)),
            ("False", "WouldDrop", f"not as asked: {ESTABLISHED} (because)"),
        ),
        (
            replace(
                DONE, failures=(failure(NodeReason.WRITE_REFUSED),), pending=("a",)
            ),
            ("False", "WriteRefused", f"not as asked: {ESTABLISHED} (because)"),
        ),
        (
            replace(DONE, journal="disk full", pending=("a",)),
            (
                "False",
                "JournalUnavailable",
                "nothing is written without a journal: disk full",
            ),
        ),
        (
            replace(
                DONE,
                drifted=("a is 1 instead of 2",),
                pending=("a 1 -> 2",),
                contended=True,
            ),
            (
                "False",
                "Contended",
                (
                    "somebody else keeps changing values: a is 1 instead of 2; "
                    "corrected 3 times in the last hour, hands off until it is over"
                ),
            ),
        ),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_ready_says_why(found: Findings, expected: tuple[str, str, str]) -> None:
    """One status, one reason and one sentence for everything a pass can find."""
    ready = condition(status(found), NodeCondition.READY)

    assert expected == (ready.status, ready.reason, ready.message)
    assert 7 == ready.observed_generation


def test_observing_says_what_it_would_do() -> None:
    """A node that only reports is ready, and tells what enforcing would change."""
    found = replace(
        DONE, pending=("a 1 -> 2",), failures=(failure(NodeReason.WOULD_DROP),)
    )

    ready = condition(status(found, mode=NodeMode.OBSERVE), NodeCondition.READY)

    assert ("True", "Observing") == (ready.status, ready.reason)
    expected = (
        f"reports only; would change a 1 -> 2; could not: {ESTABLISHED} (because)"
    )
    assert expected == ready.message


def test_what_is_wrong_alike_is_said_once() -> None:
    """Thirty settings with the same trouble make one sentence."""
    failures = tuple(
        Failure(setting=row.name, reason=NodeReason.NOT_LOADED, message="not loaded")
        for row in SETTINGS
    )

    ready = condition(status(Findings(failures=failures)), NodeCondition.READY)

    assert 1 == ready.message.count("not loaded")
    assert f"and {len(SETTINGS) - 3} more" in ready.message


@pytest.mark.parametrize(
    ("percent", "expected"),
    [
        (79, ("False", "BelowThreshold")),
        (80, ("True", "NearLimit")),
        (94, ("True", "NearLimit")),
        (95, ("True", "TableFull")),
        (150, ("True", "TableFull")),
    ],
)
def test_pressure_has_two_levels(percent: int, expected: tuple[str, str]) -> None:
    """From the warning level on there is pressure, from the critical one it is full."""
    pressure = condition(filled(percent), NodeCondition.PRESSURE)

    assert expected == (pressure.status, pressure.reason)
    assert f"{percent} %" in pressure.message


def test_pressure_is_over_five_points_lower() -> None:
    """A fill that swings around a level does not make the condition swing."""
    row, last = [], NodeStatus()
    for percent in (80, 76, 75, 74, 79, 95, 91, 90, 89, 75, 74):
        last = filled(percent, last)
        row.append(condition(last, NodeCondition.PRESSURE).reason)

    assert [
        "NearLimit",
        "NearLimit",
        "NearLimit",
        "BelowThreshold",
        "BelowThreshold",
        "TableFull",
        "TableFull",
        "TableFull",
        "NearLimit",
        "NearLimit",
        "BelowThreshold",
    ] == row


def test_a_table_without_a_limit_has_no_pressure() -> None:
    """0 and -1 are no limit; nothing is divided by them."""
    for limit in (0, -1):
        found = status(kernel=FakeKernel(limit=limit))

        assert NodeReason.UNLIMITED == condition(found, NodeCondition.PRESSURE).reason
        assert found.table is not None
        assert (0, 0) == (found.table.max_entries, found.table.used_percent)


def test_not_loaded_is_not_taken_for_unlimited() -> None:
    """Without the module there is no table to speak of."""
    kernel = FakeKernel()
    del kernel.files[COUNT], kernel.files[LIMIT]

    found = status(kernel=kernel)

    pressure = condition(found, NodeCondition.PRESSURE)
    assert found.table is None
    assert NodeReason.BELOW_THRESHOLD == pressure.reason
    assert "not loaded" in pressure.message


def test_negative_counts_are_not_reported() -> None:
    """The schema has no negative numbers, so a strange kernel must not lose its say."""
    kernel = FakeKernel()
    kernel.files[COUNT] = "-5\n"

    found = status(kernel=kernel)

    assert found.table is not None
    assert (0, 0) == (found.table.entries, found.table.used_percent)


def test_transition_times_move_with_the_status_only() -> None:
    """Another reason is not another answer."""
    first = filled(85)
    second = report(
        node_spec(),
        7,
        observe(FakeKernel(limit=1000, entries=960)),
        replace(DONE, failures=(failure(NodeReason.WOULD_DROP),)),
        last=first,
        now=LATER,
    )

    assert NOW == condition(second, NodeCondition.PRESSURE).last_transition_time
    assert LATER == condition(second, NodeCondition.READY).last_transition_time


def test_the_clock_alone_is_not_worth_a_write() -> None:
    """A quiet node writes its heartbeat and nothing else."""
    first = status()

    assert not worth_writing(status(last=first, now=LATER), first)


def test_numbers_within_a_message_are_not_worth_a_write() -> None:
    """Free memory and live entries change every second, what they mean does not."""

    def refused(available: int) -> NodeStatus:
        reason = NodeReason.NOT_ENOUGH_MEMORY
        text = f"may take 400 MiB more; {available} MiB are available"
        return status(Findings(failures=(failure(reason, text),)))

    assert not worth_writing(refused(101), refused(99))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(50, 54, False), (50, 46, False), (49, 51, False), (50, 55, True), (50, 45, True)],
)
def test_five_points_of_fill_are_worth_a_write(
    before: int, after: int, *, expected: bool
) -> None:
    """The distance from what was written counts, so no border can be danced on."""
    last = filled(before)

    assert expected is worth_writing(filled(after, last), last)


@pytest.mark.parametrize(
    "new",
    [
        status(Findings(applied_revision="r2")),
        status(replace(DONE, baseline={ESTABLISHED: 600})),
        status(replace(DONE, failures=(failure(NodeReason.UNSUPPORTED),))),
        status(replace(DONE, drifted=("a is 1 instead of 2",), pending=("a 1 -> 2",))),
        status(kernel=FakeKernel(limit=131072)),
        status(kernel=FakeKernel(buckets=131072)),
        replace(status(), observed_generation=8),
        NodeStatus(),
    ],
)
def test_news_are_worth_a_write(new: NodeStatus) -> None:
    """Every fact but the clock and the fill is told at once."""
    assert worth_writing(new, status())


def obj(of: NodeStatus) -> dict[str, object]:
    """A status as an object of the API."""
    spec = to_object(node_spec())
    return {"metadata": {}, "spec": spec, "status": to_object(of)}


def test_a_usual_status_is_whole() -> None:
    """Size, buckets and ten timeouts, all changed by us: nothing is left out."""
    baseline = {row.name: 2147483 for row in SETTINGS[:12]}

    found = status(replace(DONE, baseline=baseline))

    assert size(found) <= MOST_BYTES
    assert baseline == found.baseline
    assert found.baseline_omitted is None


def test_every_setting_in_the_baseline_is_counted() -> None:
    """A policy that asks for everything: what does not fit has a number."""
    baseline = {row.name: 2147483647 for row in SETTINGS}

    found = status(replace(DONE, baseline=baseline))

    assert size(found) <= MOST_BYTES
    assert [row.name for row in SETTINGS[:12]] == list(found.baseline)[:12]
    assert len(SETTINGS) == len(found.baseline) + (found.baseline_omitted or 0)


texts = st.text(max_size=2000) | st.text('\x00"\\\n\U0001f525é', max_size=2000)
numbers = st.integers(0, 2**63 - 1)
drops = st.builds(
    Drops, table=numbers, early=numbers, insert_failed=numbers, chain_too_long=numbers
)
names = st.sampled_from([row.name for row in SETTINGS])
failures = st.builds(
    Failure,
    setting=names | st.text(max_size=100),
    reason=st.sampled_from(NodeReason),
    message=texts,
)
many = st.lists(texts, max_size=5).map(tuple)
findings = st.builds(
    Findings,
    applied_revision=st.none() | st.text("\U0001f525a", max_size=32),
    baseline=st.dictionaries(names, st.integers(-(2**31), 2**31 - 1)),
    failures=st.lists(failures, max_size=50).map(tuple),
    pending=many,
    drifted=many,
    writer=texts,
    contended=st.booleans(),
    soaking=texts,
    rolled_back=texts,
    no_growth=texts,
    hold=st.none() | texts,
    journal=texts,
    existing=st.none()
    | st.builds(
        ExistingEntriesStatus,
        state=st.sampled_from(WalkState),
        examined=numbers,
        shortened=numbers,
    ),
    load=st.builds(
        Load,
        drops=st.none() | drops,
        dropping=numbers,
        memory_bytes=numbers,
        peak_entries=st.integers(0, 2**31 - 1),
        hint=texts,
        no_log=st.booleans(),
    ),
)


@settings(deadline=None)
@given(findings, st.sampled_from(NodeMode), numbers, st.text(max_size=200))
def test_no_status_is_larger_than_two_kibibytes(
    found: Findings, mode: NodeMode, generation: int, release: str
) -> None:
    """Whatever is in it; it is accepted as it is, and nothing vanishes uncounted."""
    kernel = FakeKernel(limit=2**31 - 1, entries=2**31 - 1)
    kernel.files["proc/sys/kernel/osrelease"] = release

    said = report(
        node_spec(mode=mode),
        generation,
        observe(kernel),
        found,
        last=NodeStatus(),
        now=NOW,
    )

    assert size(said) <= MOST_BYTES
    assert said == node_from_object(obj(said)).status
    assert len(found.baseline) == len(said.baseline) + (said.baseline_omitted or 0)
    assert 3 == len(said.conditions)


def test_a_number_that_grows_in_a_sentence_that_was_cut_is_no_news() -> None:
    """What was cut off moves, and nobody should hear of it twice."""
    rows = [
        status(Findings(journal=f"{live} entries of {live}" + "x" * 500))
        for live in (9, 10, 99, 100)
    ]

    assert not any(worth_writing(each, rows[0]) for each in rows)


def test_failures_are_named_once_each() -> None:
    """The API server refuses a list with the same setting twice."""
    twice = (failure(NodeReason.WRITE_REFUSED), failure(NodeReason.WOULD_DROP))

    found = status(replace(DONE, failures=twice))

    assert (failure(NodeReason.WRITE_REFUSED),) == found.failures
