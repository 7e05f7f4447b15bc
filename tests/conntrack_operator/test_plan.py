from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conntrack_api.flags import Events, Flags, Switch
from conntrack_api.node import NodeMode
from conntrack_api.policy import ConntrackPolicy, ExistingEntries, Mode, OnRemoval
from conntrack_api.settings import (
    MAX_BUCKETS,
    MAX_ENTRIES,
    MIN_BUCKETS,
    MIN_ENTRIES,
    rounded_buckets,
)
from conntrack_api.table import Adjust, TableSize
from conntrack_operator.plan import (
    Delete,
    Plan,
    Revert,
    Tell,
    Wait,
    plan,
    release,
    revision,
    wish,
)
from conntrack_operator.rows import ConntrackNodeRow
from conntrack_operator.testing import FACTS, answered, conntrack_node, node, policy

ESTABLISHED = "nf_conntrack_tcp_timeout_established"


def told(asked: ConntrackPolicy, current: ConntrackNodeRow | None = None) -> Tell:
    """
    Plan for one node, which must be told something.
    """
    planned = plan(wish(asked), node(), current)
    assert isinstance(planned, Tell)
    return planned


def known(asked: ConntrackPolicy) -> ConntrackNodeRow:
    """
    Make the object of a node that has been told its numbers and has answered.
    """
    first = conntrack_node(spec=told(asked).spec, facts=FACTS)
    return answered(replace(first, spec=told(asked, first).spec, generation=2))


def test_facts_first() -> None:
    """A node that has not reported is told to observe, and no number at all."""
    first = told(policy())

    assert NodeMode.OBSERVE == first.spec.mode
    assert {} == first.spec.settings
    assert not first.final
    assert first == told(policy(), conntrack_node(spec=first.spec))


def test_numbers_after_the_facts() -> None:
    """A node that has reported is told what the policy asks, as numbers."""
    asked = policy(
        table=TableSize(max_entries=10_000),
        timeouts={ESTABLISHED: 60},
        flags=Flags(events=Events.AUTO, tcp_loose=Switch.DISABLED),
    )
    observing = conntrack_node(spec=told(asked).spec, facts=FACTS)

    planned = told(asked, observing)

    assert NodeMode.ENFORCE == planned.spec.mode
    expected = {
        "nf_conntrack_max": 10_000,
        "nf_conntrack_buckets": 2560,
        ESTABLISHED: 60,
        "nf_conntrack_tcp_loose": 0,
        "nf_conntrack_events": 2,
    }
    assert expected == planned.spec.settings
    assert planned.final
    assert ("default", "uid-default", 1) == (
        planned.spec.policy_ref.name,
        planned.spec.policy_ref.uid,
        planned.spec.policy_ref.generation,
    )
    assert "uid-n1" == planned.spec.node_uid


def test_the_longest_stall_is_passed_on() -> None:
    """A bound for the agent; it is no part of what is applied."""
    patient = TableSize(max_entries=10_000, max_stall_milliseconds=1000)
    asked = policy(table=patient)
    observing = conntrack_node(spec=told(asked).spec, facts=FACTS)
    usual = policy(table=TableSize(max_entries=10_000))

    assert 1000 == told(asked, observing).spec.max_stall_milliseconds
    assert 200 == told(policy(table=None), observing).spec.max_stall_milliseconds
    assert told(usual, observing).spec.revision == told(asked, observing).spec.revision


def test_cutting_entries_is_a_change_of_its_own() -> None:
    """It goes out in stages like any other; keeping them is what it always was."""
    usual = policy()
    spec = replace(usual.spec, existing_entries=ExistingEntries.CLAMP)
    cutting = replace(usual, spec=spec)
    observing = conntrack_node(spec=told(usual).spec, facts=FACTS)

    kept, cut = told(usual, observing).spec, told(cutting, observing).spec

    assert ExistingEntries.KEEP is kept.existing_entries
    assert ExistingEntries.CLAMP is cut.existing_entries
    assert kept.revision != cut.revision
    assert kept == replace(
        cut, existing_entries=ExistingEntries.KEEP, revision=kept.revision
    )


def test_numbers_are_not_taken_back_with_the_facts() -> None:
    """Facts that go missing later are an unreadable report, not a command."""
    settled = known(policy())
    silent = replace(settled, facts=None, ready=None, table=None, heartbeat=None)

    assert settled.spec == told(policy(), silent).spec


def test_observe_gives_the_numbers_and_forbids_to_write() -> None:
    """In mode Observe the agent can say what would change, and changes nothing."""
    asked = policy(mode=Mode.OBSERVE)
    planned = told(asked, conntrack_node(spec=told(asked).spec, facts=FACTS))

    assert NodeMode.OBSERVE == planned.spec.mode
    assert 131072 == planned.spec.settings["nf_conntrack_max"]


def test_observe_without_numbers_needs_one_step_only() -> None:
    """A policy that asks for nothing is content with the first answer."""
    assert told(policy(mode=Mode.OBSERVE, table=None)).final
    assert not told(policy(mode=Mode.ENFORCE, table=None)).final


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        pytest.param(TableSize(max_entries=131072), 32768, id="a quarter by default"),
        pytest.param(TableSize(max_entries=131073), 33280, id="rounded up"),
        pytest.param(
            TableSize(max_entries=131072, entries_per_bucket=1), 131072, id="one each"
        ),
        pytest.param(
            TableSize(max_entries=131072, buckets=65536), 65536, id="as given"
        ),
        pytest.param(
            TableSize(max_entries=4096, buckets=1000), 1024, id="given, rounded"
        ),
        pytest.param(TableSize(max_entries=1024), MIN_BUCKETS, id="never below a page"),
        pytest.param(
            TableSize(max_entries=MAX_ENTRIES, entries_per_bucket=1),
            MAX_BUCKETS,
            id="never above what kernels take",
        ),
    ],
)
def test_buckets(table: TableSize, expected: int) -> None:
    """Buckets follow from the entries, as a kernel would round them."""
    assert (
        expected == wish(policy(table=table)).numbers.settings["nf_conntrack_buckets"]
    )


@given(st.integers(MIN_ENTRIES, MAX_ENTRIES), st.none() | st.integers(1, 8))
def test_buckets_always_fit(entries: int, ratio: int | None) -> None:
    """Whatever a policy may ask, the two numbers keep the kernel's rules."""
    table = TableSize(max_entries=entries, entries_per_bucket=ratio)
    settings = wish(policy(table=table)).numbers.settings

    buckets = settings["nf_conntrack_buckets"]
    assert MIN_BUCKETS <= buckets <= MAX_BUCKETS
    assert rounded_buckets(buckets) == buckets
    assert settings["nf_conntrack_max"] <= 8 * buckets


def test_revision_is_known_to_other_releases() -> None:
    """The hash of a content never changes: a new release must not touch a fleet."""
    assert "1806830f58e0126b" == revision(
        wish(policy(timeouts={ESTABLISHED: 10800})).numbers
    )


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param(policy(generation=7), True, id="another generation"),
        pytest.param(policy("other"), True, id="another policy, same wish"),
        pytest.param(policy(mode=Mode.OBSERVE), False, id="mode"),
        pytest.param(policy(timeouts={ESTABLISHED: 60}), False, id="a timeout"),
        pytest.param(
            policy(flags=Flags(tcp_loose=Switch.DISABLED)), False, id="a flag"
        ),
        pytest.param(policy(table=TableSize(max_entries=4096)), False, id="size"),
        pytest.param(
            policy(table=TableSize(max_entries=131072, adjust=Adjust.RAISE_ONLY)),
            False,
            id="adjust",
        ),
    ],
)
def test_revision_follows_the_content(
    other: ConntrackPolicy,
    same: bool,  # noqa: FBT001 - a table's column
) -> None:
    """The revision changes with what the agent acts on, and with nothing else."""
    numbers = wish(policy()).numbers

    assert same is (numbers.revision == wish(other).numbers.revision)


def test_another_node_of_the_same_name_is_never_adopted() -> None:
    """An object of a former Node is removed, and not given the new Node's UID."""
    old = known(policy())

    assert Delete(stale=True) == plan(wish(policy()), node(uid="new"), old)
    assert Delete(stale=True) == release(node(uid="new"), old, OnRemoval.REVERT)


@pytest.mark.parametrize(
    "current",
    [
        pytest.param(replace(known(policy()), deleting=True), id="going away"),
        pytest.param(conntrack_node(spec=None), id="written by a newer operator"),
    ],
)
def test_hands_off(current: ConntrackNodeRow) -> None:
    """What is going away or cannot be read is left as it is."""
    assert Wait() == plan(wish(policy()), node(), current)
    assert Wait() == release(node(), current, OnRemoval.REVERT)


def reverting(asked: ConntrackPolicy) -> ConntrackNodeRow:
    """
    Make the object of a node that was told to revert and has not answered.
    """
    current = known(asked)
    planned = release(node(), current, OnRemoval.REVERT)
    assert isinstance(planned, Revert)
    return replace(current, spec=planned.spec, generation=3)


def test_revert_keeps_everything_but_the_mode() -> None:
    """A node is told to revert with a new revision, and nothing else changes."""
    before, after = known(policy()).spec, reverting(policy()).spec

    assert before is not None
    assert after is not None
    assert NodeMode.REVERT == after.mode
    assert before.revision != after.revision
    assert before == replace(after, mode=before.mode, revision=before.revision)


started = reverting(policy())
confirmed = answered(started)


@pytest.mark.parametrize(
    ("current", "on_removal", "expected"),
    [
        pytest.param(known(policy()), OnRemoval.KEEP, Delete(), id="keep"),
        pytest.param(
            conntrack_node(spec=told(policy()).spec),
            OnRemoval.REVERT,
            Delete(),
            id="never touched",
        ),
        pytest.param(
            started,
            OnRemoval.REVERT,
            Revert(spec=started.spec) if started.spec else None,
            id="not answered",
        ),
        pytest.param(confirmed, OnRemoval.REVERT, Delete(), id="confirmed"),
        pytest.param(
            replace(confirmed, generation=4),
            OnRemoval.REVERT,
            Revert(spec=started.spec) if started.spec else None,
            id="confirmed for an older spec",
        ),
        pytest.param(
            answered(started, ready=False, reason="WriteRefused"),
            OnRemoval.REVERT,
            Revert(spec=started.spec) if started.spec else None,
            id="failed",
        ),
        pytest.param(
            answered(started, reason="Applied"),
            OnRemoval.REVERT,
            Revert(spec=started.spec) if started.spec else None,
            id="ready, but not reverted",
        ),
    ],
)
def test_release(
    current: ConntrackNodeRow, on_removal: OnRemoval, expected: Plan
) -> None:
    """With Revert an object stays until its node has confirmed the revert."""
    assert expected == release(node(), current, on_removal)


wishes = st.builds(
    policy,
    mode=st.sampled_from(Mode),
    table=st.none()
    | st.builds(
        TableSize,
        max_entries=st.integers(MIN_ENTRIES, MAX_ENTRIES),
        adjust=st.sampled_from(Adjust),
    ),
    timeouts=st.dictionaries(st.just(ESTABLISHED), st.integers(1, 86400)),
    generation=st.integers(1, 9),
)


@given(wishes)
def test_plan_after_a_perfect_answer_changes_nothing(asked: ConntrackPolicy) -> None:
    """Two steps lead to the end, whatever is asked, and there it stays."""
    settled = known(asked)

    assert settled.spec == told(asked, settled).spec
    assert told(asked, settled).final


@given(wishes, wishes)
def test_plan_does_not_depend_on_the_past(
    asked: ConntrackPolicy, before: ConntrackPolicy
) -> None:
    """What a node is told follows from the policy, not from what it was told."""
    assert told(asked, known(asked)) == told(asked, known(before))
