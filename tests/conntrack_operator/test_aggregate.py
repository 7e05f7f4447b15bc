from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conntrack_api.conditions import ConditionStatus, PolicyReason, find
from conntrack_api.node import NodeSpec
from conntrack_api.policy import Mode
from conntrack_api.policy_status import NodeCounts, PolicyStatus
from conntrack_operator import verdict
from conntrack_operator.aggregate import Governed, aggregate
from conntrack_operator.plan import wish
from conntrack_operator.rollout import Progress
from conntrack_operator.rows import ConntrackNodeRow, Loss, PolicyRow
from conntrack_operator.standing import SILENCE
from conntrack_operator.testing import (
    NOW,
    answered,
    conntrack_node,
    policy,
    policy_row,
    stamp,
    unreadable,
)

LONG_AGO = stamp(NOW - SILENCE - timedelta(seconds=1))
JUST_NOW = stamp(NOW - SILENCE)
NUMBERS = replace(wish(policy()).numbers, node_uid="uid-n1")
OLDER = replace(wish(policy(generation=0)).numbers, node_uid="uid-n1")
OBSERVE = replace(wish(policy(mode=Mode.OBSERVE)).numbers, node_uid="uid-n1")


def told(spec: NodeSpec = NUMBERS, created: str = stamp(NOW)) -> ConntrackNodeRow:
    """
    Make the object of a node that has not answered.
    """
    return conntrack_node(spec=spec, created=created)


def held(row: ConntrackNodeRow) -> ConntrackNodeRow:
    """
    Let a person put a node on hold.
    """
    return replace(row, hold=True)


def governed(
    row: ConntrackNodeRow | None,
    *,
    name: str = "n1",
    planned: NodeSpec | None = NUMBERS,
    final: bool = True,
    refused: str = "",
) -> Governed:
    """
    Make a node of the policy.
    """
    return Governed(name=name, planned=planned, final=final, row=row, refused=refused)


def fold(
    *nodes: Governed,
    row: PolicyRow | None = None,
    losses: Sequence[Loss] = (),
    previous: PolicyStatus | None = None,
    so_far: Progress = Progress(),  # noqa: B008 - frozen
) -> PolicyStatus:
    """
    Aggregate at the time of tests.
    """
    return aggregate(
        row or policy_row(policy()),
        nodes,
        losses,
        so_far,
        previous=previous or PolicyStatus(),
        now=NOW,
    )


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        pytest.param(governed(answered(told())), "updated", id="applied"),
        pytest.param(
            governed(answered(told(OBSERVE)), planned=OBSERVE),
            "updated",
            id="observing, as asked",
        ),
        pytest.param(governed(None), "progressing", id="no object yet"),
        pytest.param(governed(told()), "progressing", id="no answer yet"),
        pytest.param(
            governed(answered(told()), final=False), "progressing", id="facts first"
        ),
        pytest.param(
            governed(replace(answered(told()), generation=2)),
            "progressing",
            id="answer to an older generation",
        ),
        pytest.param(
            governed(replace(answered(told()), applied_revision="other")),
            "progressing",
            id="another revision applied",
        ),
        pytest.param(
            governed(answered(told(OBSERVE))), "progressing", id="not yet told the plan"
        ),
        pytest.param(
            governed(answered(told(OLDER))),
            "progressing",
            id="same settings of an older generation",
        ),
        pytest.param(
            governed(answered(told()), planned=None), "progressing", id="no plan"
        ),
        pytest.param(
            governed(answered(told(), ready=False, reason="Pending")),
            "progressing",
            id="waits for its moment",
        ),
        pytest.param(
            governed(answered(told(), ready=False, reason="WriteRefused")),
            "failed",
            id="refused by the kernel",
        ),
        pytest.param(
            governed(
                replace(
                    answered(told(), ready=False, reason="WriteRefused"), generation=2
                )
            ),
            "progressing",
            id="refused an older generation",
        ),
        pytest.param(
            governed(told(), refused="no"), "failed", id="refused by the API server"
        ),
        pytest.param(
            governed(conntrack_node(spec=None)), "failed", id="spec of a newer operator"
        ),
        pytest.param(
            governed(answered(told(), heartbeat=LONG_AGO)), "unreachable", id="silent"
        ),
        pytest.param(
            governed(answered(told(), heartbeat=JUST_NOW)), "updated", id="just in time"
        ),
        pytest.param(
            governed(told(created=LONG_AGO)), "unreachable", id="never reported"
        ),
        pytest.param(
            governed(answered(told(), heartbeat="yesterday")),
            "updated",
            id="a heartbeat that is no time counts from the creation",
        ),
        pytest.param(
            governed(held(answered(told(), ready=False, reason="OnHold"))),
            "on_hold",
            id="left alone",
        ),
        pytest.param(
            governed(held(answered(told(), ready=False, reason="WouldDrop"))),
            "on_hold",
            id="left alone, and has not said so yet",
        ),
        pytest.param(
            governed(answered(told(), ready=False, reason="OnHold")),
            "progressing",
            id="no longer left alone, and has not said so yet",
        ),
        pytest.param(
            governed(answered(told(), ready=False, reason="WouldDrop")),
            "failed",
            id="would drop connections",
        ),
        pytest.param(
            governed(answered(told(), ready=False, reason="NotEnoughMemory")),
            "failed",
            id="not enough memory",
        ),
    ],
)
def test_state(node: Governed, expected: str) -> None:
    """Each node is counted in exactly one of five states."""
    counts = fold(node).nodes

    assert replace(NodeCounts(matched=1), **{expected: 1}) == counts


def test_pressured_is_counted_beside_the_state() -> None:
    """A node may be up to date and under pressure; a silent one is only silent."""
    near = answered(told(), pressure=True)
    silent = answered(told(), pressure=True, heartbeat=LONG_AGO)

    expected = NodeCounts(matched=2, updated=1, unreachable=1, pressured=1)
    assert expected == fold(governed(near), governed(silent, name="n2")).nodes


def test_grown_nodes_are_counted() -> None:
    """A node that has grown by itself is up to date, and is counted besides."""
    row = answered(told())
    assert row.table is not None
    grown = replace(row, table=replace(row.table, grown_from=50_000))

    found = fold(governed(grown))

    assert NodeCounts(matched=1, updated=1, grown=1) == found.nodes
    ready = find(found.conditions, "Ready")
    assert ready is not None
    assert "1 of 1 node up to date, 1 grown past what was told." == ready.message


def test_fullest_nodes() -> None:
    """The five fullest are named with their numbers; ties go by name."""
    fills = {"a": 10, "b": 90, "c": 50, "d": 50, "e": 20, "f": 0, "g": 5}
    nodes = [
        governed(answered(told(), percent=percent), name=name)
        for name, percent in fills.items()
    ]

    status = fold(*nodes)

    assert ["b", "c", "d", "e", "a"] == [each.name for each in status.fullest]
    assert 90 == status.fullest_percent
    assert (90_000, 100_000) == (
        status.fullest[0].entries,
        status.fullest[0].max_entries,
    )


def test_problem_nodes_worst_first_with_the_true_total() -> None:
    """Failed nodes come first, then silent ones, then the fullest under pressure."""
    failed = answered(told(), ready=False, reason="NotLoaded", message="no module")
    nodes = [
        governed(answered(told(), pressure=True, percent=80 + index), name=f"p{index}")
        for index in range(9)
    ]
    nodes.append(governed(answered(told(), heartbeat=LONG_AGO), name="silent"))
    nodes.append(governed(told(created=LONG_AGO), name="mute"))
    nodes.append(governed(failed, name="bad"))
    nodes.append(governed(told(), name="refused", refused="422: no"))

    found = fold(*nodes).problem_nodes

    assert found is not None
    assert 13 == found.total
    expected = ["bad", "refused", "silent", "mute", "p8", "p7", "p6", "p5", "p4", "p3"]
    assert expected == [each.name for each in found.nodes]
    assert ("NotLoaded", "no module") == (found.nodes[0].reason, found.nodes[0].message)
    assert ("WriteRefused", "422: no") == (
        found.nodes[1].reason,
        found.nodes[1].message,
    )
    ask = "is its agent running?"
    assert f"No report since {LONG_AGO}: {ask}" == found.nodes[2].message
    creation = f"No report since its creation at {LONG_AGO}"
    assert f"{creation}: {ask}" == found.nodes[3].message


def test_words_of_a_node_are_one_plain_line() -> None:
    """What a node says goes to terminals of people: cut, and without codes."""
    said = "no\r\n\x1b[31mmodule\x00\u202e" + "x" * 5000
    row = answered(told(), ready=False, reason="NotLoaded", message=said)

    status = fold(governed(row, name="a"))

    assert status.problem_nodes is not None
    text = status.problem_nodes.nodes[0].message
    assert text.startswith("no [31mmodule xxx")
    assert 512 == len(text)
    assert all(each.message.isprintable() for each in status.conditions)


def test_node_on_hold_is_a_problem_node() -> None:
    """It is named with the person's reason, or with the annotation until it answers."""
    row = held(answered(told(), ready=False, reason="OnHold", message="disk swap"))
    silent_about_it = held(answered(told()))

    found = fold(governed(row, name="a"), governed(silent_about_it, name="b"))

    assert found.problem_nodes is not None
    said = [(each.reason, each.message) for each in found.problem_nodes.nodes]
    annotation = "Left alone by the annotation conntrack.dev/hold."
    assert [("OnHold", "disk swap"), ("OnHold", annotation)] == said


good = governed(answered(told()))
bad = governed(
    answered(told(), ready=False, reason="NotLoaded", message="no module"), name="bad"
)
busy = governed(told(), name="busy")
silent = governed(told(created=LONG_AGO), name="silent")
left_alone = governed(held(answered(told(), ready=False)), name="left-alone")


def test_policy_whose_nodes_are_all_governed_by_others() -> None:
    """It is empty because of them, and says by whom, not that nothing matches."""
    losses = (Loss(winner=policy("strong", priority=5), nodes=3),)

    said = find(fold(losses=losses).conditions, "Ready")

    assert said is not None
    assert "NoNodesMatched" == said.reason
    assert (
        "3 of the 3 nodes that it selects are governed by policies of higher priority: "
        "`strong` (5)." == said.message
    )


@pytest.mark.parametrize(
    ("nodes", "ready", "reason", "extra", "message"),
    [
        pytest.param((), True, "NoNodesMatched", None, verdict.NO_NODE, id="none"),
        pytest.param(
            (good,), True, "AllNodesUpToDate", None, "1 of 1 node up to date.", id="all"
        ),
        pytest.param(
            (good, busy),
            False,
            "RollingOut",
            "Reconciling",
            "1 of 2 nodes up to date, 1 changing.",
            id="some changing",
        ),
        pytest.param(
            (good, bad),
            False,
            "NodesFailed",
            "Stalled",
            "1 of 2 nodes up to date, 1 failed. bad: NotLoaded: no module",
            id="some failed",
        ),
        pytest.param(
            (good, bad, busy),
            False,
            "NodesFailed",
            "Reconciling",
            "1 of 3 nodes up to date, 1 changing, 1 failed. bad: NotLoaded: no module",
            id="some failed, others changing",
        ),
        pytest.param(
            (good, silent),
            False,
            "RollingOut",
            "Reconciling",
            "1 of 2 nodes up to date, 1 not reporting. silent: Unreachable: "
            f"No report since its creation at {LONG_AGO}: is its agent running?",
            id="some silent",
        ),
        pytest.param(
            (good, left_alone),
            True,
            "AllNodesUpToDate",
            None,
            "1 of 2 nodes up to date, 1 on hold.",
            id="some on hold",
        ),
    ],
)
def test_ready(
    nodes: tuple[Governed, ...],
    ready: bool,  # noqa: FBT001 - a table's column
    reason: str,
    extra: str | None,
    message: str,
) -> None:
    """Ready says how far the nodes are; the kstatus conditions follow from it."""
    said = {each.type: each for each in fold(*nodes).conditions}

    assert {"Accepted", "Ready", *filter(None, [extra])} == set(said)
    assert ready is (said["Ready"].status == ConditionStatus.TRUE)
    assert (reason, message) == (said["Ready"].reason, said["Ready"].message)
    assert {1} == {each.observed_generation for each in said.values()}


@pytest.mark.parametrize(
    ("so_far", "reason", "extra", "message"),
    [
        pytest.param(
            Progress(waiting=1),
            "RollingOut",
            {"Reconciling"},
            "1 of 3 nodes up to date, 1 changing, 1 waiting.",
            id="waiting for its turn",
        ),
        pytest.param(
            Progress(waiting=2, paused=True),
            "Paused",
            set(),
            "Paused until spec.rollout.maxUnavailable is above 0: "
            "1 of 3 nodes up to date, 2 waiting.",
            id="paused",
        ),
        pytest.param(
            Progress(waiting=1, halted=True, failures=1),
            "NodesFailed",
            {"Stalled"},
            "Halted after 1 node failed with generation 1; the others keep what they "
            "have until the spec of this policy is edited: "
            "1 of 3 nodes up to date, 1 changing, 1 waiting.",
            id="halted",
        ),
        pytest.param(
            Progress(waiting=1, halted=True),
            "NodesFailed",
            {"Stalled"},
            "Halted after nodes failed with generation 1; the others keep what they "
            "have until the spec of this policy is edited: "
            "1 of 3 nodes up to date, 1 changing, 1 waiting.",
            id="halted, and all are well again",
        ),
        pytest.param(
            Progress(waiting=1, stuck=True, failures=1),
            "NodesFailed",
            {"Stalled"},
            "Held back, since 1 node failed and fill maxUnavailable; the others keep "
            "what they have until they recover or the spec of this policy is edited: "
            "1 of 3 nodes up to date, 1 changing, 1 waiting.",
            id="failures fill the budget",
        ),
    ],
)
def test_rollout(so_far: Progress, reason: str, extra: set[str], message: str) -> None:
    """Nodes that wait are told from nodes that change, and why they wait is said."""
    nodes = (good, busy, replace(busy, name="other"))

    said = {each.type: each for each in fold(*nodes, so_far=so_far).conditions}

    assert {"Accepted", "Ready", *extra} == set(said)
    assert (reason, message) == (said["Ready"].reason, said["Ready"].message)


def test_higher_priority_is_layering_and_not_a_conflict() -> None:
    """A policy that others overrule by priority is accepted, and is told by whom."""
    losses = [
        Loss(winner=policy("gold", priority=10), nodes=2),
        Loss(winner=policy("silver", priority=5), nodes=1),
    ]

    said = {each.type: each for each in fold(good, losses=losses).conditions}

    assert {"Accepted", "Ready"} == set(said)
    assert ConditionStatus.TRUE == said["Accepted"].status
    expected = (
        "3 of the 4 nodes that it selects are governed by policies of higher priority: "
        "`gold` (10), `silver` (5)."
    )
    assert expected == said["Accepted"].message


def test_equal_priority_is_a_conflict() -> None:
    """Two policies of one priority on one node are an ambiguous wish."""
    names = ("a", "b", "c", "d")
    losses = [Loss(winner=policy(name), nodes=1) for name in names]

    said = {each.type: each for each in fold(good, losses=losses).conditions}

    assert {"Accepted", "Ready", "Stalled"} == set(said)
    assert (ConditionStatus.FALSE, "Conflict") == (
        said["Accepted"].status,
        said["Accepted"].reason,
    )
    assert (ConditionStatus.FALSE, "Conflicting") == (
        said["Ready"].status,
        said["Ready"].reason,
    )
    assert said["Ready"].message.startswith(
        "4 of the 5 nodes that it selects are governed by `a`, `b`, `c` and 1 more "
    )


def test_unreadable_policy_keeps_its_numbers() -> None:
    """What cannot be read is said to be so, and the last counts stay."""
    previous = fold(good)

    status = fold(row=unreadable(), previous=previous)

    assert previous.nodes == status.nodes
    accepted = find(status.conditions, "Accepted")
    assert accepted is not None
    assert PolicyReason.INVALID_SELECTOR == accepted.reason
    assert "spec.nodeSelector: required" in accepted.message


def test_policy_that_is_being_deleted_says_what_it_waits_for() -> None:
    """Who deletes a policy with Revert sees how many nodes are still open."""
    status = fold(busy, row=policy_row(policy(deleting=True)))

    ready = find(status.conditions, "Ready")
    assert ready is not None
    assert "Being deleted: 1 node is still to be let go." == ready.message
    assert find(status.conditions, "Reconciling") is not None


def test_policy_that_is_being_deleted_says_what_has_halted_it() -> None:
    """Whoever waits for the end of a deletion is told what would bring it about."""
    row = policy_row(policy(deleting=True, generation=3))
    so_far = Progress(leaving=1, failures=1, halted=True, lasting=True)

    status = aggregate(row, [good, bad], (), so_far, previous=PolicyStatus(), now=NOW)

    stalled = find(status.conditions, "Stalled")
    assert stalled is not None
    assert (
        "Being deleted: 2 nodes are still to be let go, 1 waiting, 1 failed. Halted "
        "after 1 node failed with generation 3; the others keep what they have until "
        "maxFailures or maxUnavailable is raised, or spec.onRemoval is set to Keep. "
        "bad: NotLoaded: no module"
    ) == stalled.message
    assert None is find(status.conditions, "Reconciling")


def test_transition_time_moves_with_the_answer_only() -> None:
    """A later pass with the same facts gives exactly the same status."""
    first = fold(good, busy)
    row, later = policy_row(policy()), NOW + timedelta(minutes=5)

    again = aggregate(row, [good, busy], (), Progress(), previous=first, now=later)
    done = aggregate(row, [good], (), Progress(), previous=first, now=later)

    assert first == again
    ready = find(done.conditions, "Ready")
    accepted = find(done.conditions, "Accepted")
    assert ready is not None
    assert accepted is not None
    assert stamp(later) == ready.last_transition_time
    assert stamp(NOW) == accepted.last_transition_time


rows = st.builds(
    answered,
    st.sampled_from([told(), held(told())]),
    ready=st.booleans(),
    reason=st.sampled_from([None, "Pending", "NotLoaded"]),
    percent=st.integers(0, 100),
    pressure=st.booleans(),
    heartbeat=st.sampled_from([LONG_AGO, JUST_NOW]),
)
fleets = st.lists(
    st.builds(
        governed,
        st.none() | rows,
        name=st.text("abcdef", min_size=1, max_size=3),
        final=st.booleans(),
        refused=st.sampled_from(["", "422"]),
    ),
    max_size=20,
    unique_by=lambda each: each.name,
)
overlaps = st.lists(
    st.builds(
        lambda name, priority: Loss(winner=policy(name, priority=priority), nodes=1),
        st.sampled_from("xyz"),
        st.integers(0, 2),
    ),
    max_size=3,
)


@given(fleets, st.randoms(use_true_random=False))
def test_order_does_not_matter(fleet: list[Governed], random: Random) -> None:
    """The status is the same for every order of the nodes."""
    expected = fold(*fleet)

    random.shuffle(fleet)

    assert expected == fold(*fleet)


@given(fleets)
def test_every_node_is_counted_once(fleet: list[Governed]) -> None:
    """The five states add up to the nodes that the policy governs."""
    counts = fold(*fleet).nodes

    assert counts is not None
    states = (counts.updated, counts.progressing, counts.failed, counts.unreachable)
    assert counts.matched == len(fleet) == sum(states) + counts.on_hold


def kstatus(status: PolicyStatus, generation: int) -> str:
    """
    Compute what tools make of a status.

    Source:
        sigs.k8s.io/cli-utils, ``pkg/kstatus/status/generic.go``: the observed
        generation, then Reconciling, then Stalled; then ``checkReadyCondition``.
    """
    if status.observed_generation != generation:
        return "InProgress"
    if (each := find(status.conditions, "Reconciling")) and each.status == "True":
        return "InProgress"
    if (each := find(status.conditions, "Stalled")) and each.status == "True":
        return "Failed"
    ready = find(status.conditions, "Ready")
    return "Current" if ready is None or ready.status == "True" else "InProgress"


progresses = st.builds(
    Progress,
    waiting=st.integers(0, 3),
    paused=st.booleans(),
    halted=st.booleans(),
    stuck=st.booleans(),
    failures=st.integers(0, 3),
)


@given(fleets, overlaps, progresses, st.booleans())
def test_kstatus(
    fleet: list[Governed],
    losses: list[Loss],
    so_far: Progress,
    deleting: bool,  # noqa: FBT001 - drawn
) -> None:
    """Tools that wait on objects come to the conclusion that Ready states."""
    row = policy_row(policy(deleting=deleting))

    status = fold(*fleet, row=row, losses=losses, so_far=so_far)

    types = [each.type for each in status.conditions]
    assert len(types) == len(set(types))
    assert not {"Reconciling", "Stalled"} <= set(types)
    ready = find(status.conditions, "Ready")
    assert ready is not None
    assert (ready.status == "True") is (kstatus(status, 1) == "Current")
    assert "InProgress" == kstatus(status, 2)
