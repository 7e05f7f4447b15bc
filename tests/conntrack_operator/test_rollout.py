import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conntrack_api.node import NodeMode, NodeSpec
from conntrack_api.policy import ConntrackPolicy, Mode, OnRemoval
from conntrack_api.rollout import Rollout, Share, read
from conntrack_api.table import TableSize
from conntrack_operator.decide import Decision, decide
from conntrack_operator.plan import Revert, Tell
from conntrack_operator.rollout import Progress, Wave, wave
from conntrack_operator.rows import ConntrackNodeRow
from conntrack_operator.standing import SILENCE
from conntrack_operator.testing import (
    FACTS,
    NOW,
    answered,
    conntrack_node,
    node,
    policy,
    policy_row,
    stamp,
)

LONG_AGO = stamp(NOW - SILENCE - timedelta(seconds=1))
LARGER = TableSize(max_entries=262144)
OLD = policy()
ONE = Rollout(max_unavailable=Share(1), canaries=0, soak_seconds=0)


def asks(rollout: Rollout = ONE, **fields: object) -> ConntrackPolicy:
    """
    Make the policy as a person has edited it, with another table size.
    """
    values = {"table": LARGER, "generation": 2, "rollout": rollout, **fields}
    return policy(**values)  # type: ignore[arg-type]


def spec_of(decision: Decision) -> NodeSpec:
    """
    Give what a decision means to tell a node.
    """
    assert isinstance(decision.plan, Tell | Revert)
    return decision.plan.spec


def has(
    asked: ConntrackPolicy, name: str, *, ready: bool = True, revised: str | None = None
) -> ConntrackNodeRow:
    """
    Make the object of a node that was told what a policy asks, and has answered.
    """
    row = conntrack_node(name, spec=None, facts=FACTS)
    first = replace(told(asked, row), revised_at=revised)
    return answered(replace(row, spec=first), ready=ready)


def told(asked: ConntrackPolicy, row: ConntrackNodeRow) -> NodeSpec:
    """
    Give the spec that a policy means for a node which has reported its facts.
    """
    known = replace(has_nothing(asked, row.name), facts=FACTS)
    plans = decide([policy_row(asked)], {row.name: node(row.name)}, {row.name: known})
    return spec_of(plans.nodes[row.name])


def has_nothing(asked: ConntrackPolicy, name: str) -> ConntrackNodeRow:
    """
    Make the object of a node that was told to observe, and has not answered.
    """
    nodes = {name: node(name)}
    decision = decide([policy_row(asked)], nodes, {}).nodes[name]
    return conntrack_node(name, spec=spec_of(decision))


def busy(asked: ConntrackPolicy, name: str) -> ConntrackNodeRow:
    """
    Make the object of a node that has been told and not answered.
    """
    row = has(asked, name)
    return replace(row, generation=row.generation + 1, applied_revision="before")


def silent(row: ConntrackNodeRow) -> ConntrackNodeRow:
    """
    Let a node's last report be too long ago.
    """
    return replace(row, heartbeat=LONG_AGO)


def turn(
    asked: ConntrackPolicy,
    rows: Iterable[ConntrackNodeRow | str],
    *,
    unshown: Collection[str] = (),
    refused: Collection[str] = (),
    halted: Collection[str] = (),
    now: datetime = NOW,
) -> Wave:
    """
    Choose among these nodes; a name alone is a node without an object.
    """
    names = [each if isinstance(each, str) else each.name for each in rows]
    objects = {each.name: each for each in rows if not isinstance(each, str)}
    nodes = {name: node(name) for name in names}
    decisions = decide([policy_row(asked)], nodes, objects).nodes.values()
    return wave(decisions, unshown=unshown, refused=refused, halted=halted, now=now)


def chosen(found: Wave) -> list[str]:
    """
    Name the nodes whose turn it is.
    """
    return [each.node.name for each in found.released]


def so_far(found: Wave) -> Progress:
    """
    Give how the one policy's rollout stands.
    """
    (only,) = found.progress.values()
    return only


def fleet(asked: ConntrackPolicy, count: int, start: int = 0) -> list[ConntrackNodeRow]:
    """
    Make nodes that are done with what a policy asks.
    """
    return [has(asked, f"n{number:03}") for number in range(start, start + count)]


@pytest.mark.parametrize(
    ("share", "total", "expected"),
    [("10%", 4, 1), ("10%", 100, 10), ("10%", 119, 11), ("0%", 50, 0), (0, 50, 0)],
)
def test_share(share: str | int, total: int, expected: int) -> None:
    """A percentage is rounded down, and is at least one node unless it is zero."""
    found = read(share)
    assert found is not None
    assert expected == found.of(total)


@pytest.mark.parametrize(
    ("limit", "expected"), [(1, 1), (3, 3), (20, 10)], ids=["one", "three", "all"]
)
def test_no_more_than_the_budget(limit: int, expected: int) -> None:
    """As many are told as may be unavailable, in the order of their names."""
    rules = replace(ONE, max_unavailable=Share(limit))

    found = turn(asks(rules), fleet(OLD, 10))

    assert [f"n{number:03}" for number in range(expected)] == chosen(found)
    assert 10 - expected == so_far(found).waiting


def test_changing_and_failed_nodes_are_part_of_the_budget() -> None:
    """Who changes or has failed leaves that much less room for others."""
    rules = replace(ONE, max_unavailable=Share(3), max_failures=5)
    asked = asks(rules)
    others = fleet(OLD, 5, start=2)

    found = turn(asked, [busy(asked, "n000"), has(asked, "n001", ready=False), *others])

    assert ["n002"] == chosen(found)


def test_own_write_that_is_not_shown_yet_is_part_of_the_budget() -> None:
    """The picture may be older than our last write; the budget is not."""
    assert [] == chosen(turn(asks(), fleet(OLD, 3), unshown={"n000"}))


def test_soaking_node_is_part_of_the_budget() -> None:
    """A node is done only after it has stayed Ready; then comes the next one."""
    asked = asks(replace(ONE, soak_seconds=60))
    soaking = has(asked, "n000", revised=stamp(NOW - timedelta(seconds=45)))
    rows = [soaking, *fleet(OLD, 2, start=1)]

    before = turn(asked, rows)
    after = turn(asked, rows, now=NOW + timedelta(seconds=15))

    assert ([], 15.0) == (chosen(before), before.again_in)
    assert (["n001"], None) == (chosen(after), after.again_in)


def test_node_that_became_ready_late_has_soaked() -> None:
    """An agent watches its change before it is Ready; nobody watches it again."""
    asked = asks(replace(ONE, soak_seconds=60))
    row = has(asked, "n000", revised=stamp(NOW - timedelta(seconds=300)))
    assert row.ready is not None
    since = stamp(NOW - timedelta(seconds=20))
    row = replace(row, ready=replace(row.ready, last_transition_time=since))

    found = turn(asked, [row, *fleet(OLD, 1, start=1)])

    assert (["n001"], None) == (chosen(found), found.again_in)


def test_nobody_waits_for_the_soak_of_a_node_that_observes() -> None:
    """It changed nothing, so no pass is due for its sake."""
    asked = asks(replace(ONE, soak_seconds=60), mode=Mode.OBSERVE)
    watching = has(asked, "n000", revised=stamp(NOW - timedelta(seconds=45)))

    assert turn(asked, [watching]).again_in is None


def test_canaries_go_first() -> None:
    """Nobody else is told before the canaries are done, however large the budget."""
    rules = Rollout(max_unavailable=Share(50), canaries=2, soak_seconds=0)
    asked = asks(rules)

    assert ["n000", "n001"] == chosen(turn(asked, fleet(OLD, 10)))
    one_left = [busy(asked, "n000"), *fleet(asked, 1, start=1)]
    assert [] == chosen(turn(asked, [*one_left, *fleet(OLD, 8, start=2)]))
    proved = fleet(asked, 2)
    assert 8 == len(chosen(turn(asked, [*proved, *fleet(OLD, 8, start=2)])))


def test_failed_node_that_is_told_anew_is_a_canary() -> None:
    """An edit that mends what failed is proved there, and by nobody beside it."""
    asked = asks(Rollout(max_unavailable=Share(5), canaries=1, soak_seconds=0))
    failed = has(OLD, "n007", ready=False)

    assert ["n007"] == chosen(turn(asked, [*fleet(OLD, 5), failed]))


def test_canary_is_counted_once_while_its_write_is_not_shown() -> None:
    """One that was just told is one canary, not two: the second is told as well."""
    asked = asks(Rollout(max_unavailable=Share(5), canaries=2, soak_seconds=0))
    rows = [has(asked, "n000"), *fleet(OLD, 3, start=1)]

    assert ["n001"] == chosen(turn(asked, rows, unshown={"n000"}))


def test_canary_that_falls_silent_is_replaced() -> None:
    """A node that does not answer neither proves the change nor holds it up."""
    asked = asks(Rollout(max_unavailable=Share(5), canaries=1, soak_seconds=0))

    found = turn(asked, [silent(busy(asked, "n000")), *fleet(OLD, 3, start=1)])

    assert ["n001"] == chosen(found)


def test_silent_nodes_are_neither_told_nor_counted() -> None:
    """What cannot answer gets no change that it would make unseen, and blocks none."""
    rows = [silent(each) for each in fleet(OLD, 3)]

    found = turn(asks(), [*rows, *fleet(OLD, 2, start=3)])

    assert ["n003"] == chosen(found)
    assert 1 == so_far(found).waiting


def test_nodes_on_hold_are_neither_told_nor_counted() -> None:
    """A person holds them: they get no change to make later, and hold up nobody."""
    asked = asks(Rollout(max_unavailable=Share(1), canaries=1))
    mending = replace(has(asked, "n000", ready=False), hold=True)
    moved = replace(busy(asked, "n001"), hold=True)
    old = replace(has(OLD, "n002"), hold=True)

    found = turn(asked, [mending, moved, old, *fleet(OLD, 2, start=3)])

    assert ["n003"] == chosen(found)
    assert Progress(waiting=1) == so_far(found)


def test_failures_halt() -> None:
    """At maxFailures nobody else is told, with whatever budget."""
    rules = replace(ONE, max_unavailable=Share(50), max_failures=2)
    asked = asks(rules)
    one, two = (has(asked, name, ready=False) for name in ("n000", "n001"))
    others = fleet(OLD, 8, start=2)

    going = turn(asked, [one, *fleet(asked, 1, start=1), *others])
    halted = turn(asked, [one, two, *others])

    assert (8, False) == (len(chosen(going)), so_far(going).halted)
    assert [] == chosen(halted)
    expected = Progress(waiting=8, halted=True, lasting=True, failures=2)
    assert expected == so_far(halted)


def test_halt_outlives_the_failure() -> None:
    """What was halted once stays so when the nodes recover, new nodes included."""
    asked = asks(replace(ONE, max_unavailable=Share(50)))
    new = answered(has_nothing(asked, "n009"))

    found = turn(asked, [has(asked, "n000"), new, *fleet(OLD, 3)], halted={asked.uid})

    assert [] == chosen(found)
    assert Progress(waiting=4, halted=True, lasting=True) == so_far(found)


def test_halted_policy_has_nothing_to_hold_back_once_all_are_told() -> None:
    """A halt without anybody who waits for it is not said."""
    asked = asks()

    found = turn(asked, fleet(asked, 2), halted={asked.uid})

    assert Progress() == so_far(found)


def test_halt_of_one_policy_is_none_of_another() -> None:
    """Each policy is halted for itself."""
    assert ["n000"] == chosen(turn(asks(), fleet(OLD, 2), halted={"uid-other"}))


def test_budget_that_is_all_failures_is_said() -> None:
    """Fewer than maxFailures are no halt, and yet nobody else can be told."""
    rules = replace(ONE, max_failures=2)
    asked = asks(rules)

    found = turn(asked, [has(asked, "n000", ready=False), *fleet(OLD, 3, start=1)])

    assert [] == chosen(found)
    assert Progress(waiting=3, stuck=True, failures=1) == so_far(found)


def test_answer_that_is_due_may_still_free_the_budget() -> None:
    """While a node is changing, a budget full of failures is not the end of it."""
    rules = replace(ONE, max_unavailable=Share(2), max_failures=3)
    asked = asks(rules)
    rows = [has(asked, "n000", ready=False), busy(asked, "n001")]

    found = turn(asked, [*rows, *fleet(OLD, 3, start=2)])

    assert [] == chosen(found)
    assert Progress(waiting=3, failures=1) == so_far(found)


def test_failure_without_anybody_who_waits_is_not_stuck() -> None:
    """Nothing is held back when all have been told."""
    asked = asks(replace(ONE, max_failures=2))

    found = turn(asked, [has(asked, "n000", ready=False), *fleet(asked, 2, start=1)])

    assert Progress(failures=1) == so_far(found)


def test_failures_of_what_is_replaced_do_not_halt() -> None:
    """An edit goes first to the nodes that failed; they are in the budget anyway."""
    failed = has(OLD, "n007", ready=False)

    found = turn(asks(), [*fleet(OLD, 5), failed])

    assert ["n007"] == chosen(found)
    assert not so_far(found).halted


def test_content_that_the_api_server_refuses_halts() -> None:
    """
    What one node cannot be told, the next one is not tried with; but no kernel was
    changed, so nothing is to be remembered.
    """
    found = turn(asks(), fleet(OLD, 3), refused={"n000"})

    assert [] == chosen(found)
    assert Progress(waiting=2, halted=True, failures=1) == so_far(found)


def test_nothing_left_is_no_halt() -> None:
    """A node that fails when all have been told holds nobody back."""
    asked = asks()

    assert not so_far(turn(asked, [has(asked, "n000", ready=False)])).halted


def test_pause() -> None:
    """With a budget of zero nobody is told anything new, new nodes included."""
    asked = asks(replace(ONE, max_unavailable=Share(0, percent=True)))
    new = answered(has_nothing(asked, "n009"))

    found = turn(asked, [*fleet(OLD, 2), new])

    assert [] == chosen(found)
    assert Progress(waiting=3, paused=True) == so_far(found)
    assert not so_far(turn(asked, fleet(asked, 2))).paused


def test_first_observation_is_not_limited() -> None:
    """Nodes without an object are told to observe, all at once, even when paused."""
    asked = asks(replace(ONE, max_unavailable=Share(0)))
    names = [f"n{number}" for number in range(20)]

    found = turn(asked, names)

    assert names == sorted(chosen(found), key=names.index)
    modes = {spec_of(each).mode for each in found.released}
    assert {NodeMode.OBSERVE} == modes


def test_new_nodes_are_brought_up_within_the_budget() -> None:
    """Numbers for nodes that have reported come a few at a time, too."""
    asked = asks(replace(ONE, max_unavailable=Share(2)))
    rows = [answered(has_nothing(asked, f"n{number}")) for number in range(9)]

    assert 2 == len(chosen(turn(asked, rows)))


def test_nodes_that_only_observe_take_no_budget() -> None:
    """A node that has yet to report its facts changes nothing and blocks nothing."""
    asked = asks()
    waiting = [has_nothing(asked, f"a{number}") for number in range(5)]

    assert ["n000"] == chosen(turn(asked, [*waiting, *fleet(OLD, 2)]))


def test_observe_is_told_at_once() -> None:
    """Hands off is an order that waits for nothing."""
    asked = asks(replace(ONE, max_unavailable=Share(0)), mode=Mode.OBSERVE)

    assert 10 == len(chosen(turn(asked, fleet(OLD, 10))))


def test_bookkeeping_is_told_at_once() -> None:
    """What changes nothing in a kernel, such as a priority, is not staged."""
    asked = policy(generation=2, priority=5, rollout=ONE)

    assert 10 == len(chosen(turn(asked, fleet(OLD, 10))))


def test_news_for_the_books_make_nobody_free_to_be_told() -> None:
    """
    Nodes that have not yet acknowledged a mere note are well: an edit that comes right
    after it reaches them within the budget.
    """
    noted = [replace(each, generation=9) for each in fleet(OLD, 10)]

    assert [] == chosen(turn(asks(), noted))
    acknowledged = [replace(each, observed_generation=9) for each in noted]
    assert ["n000"] == chosen(turn(asks(), acknowledged))


def test_back_to_what_most_still_have() -> None:
    """A, B, then A again: who never got B proves A, and only the others change."""
    second = asks()
    third = policy(generation=3, rollout=replace(ONE, canaries=1))
    moved = has(second, "n000")

    found = turn(third, [moved, busy(second, "n001"), *fleet(OLD, 3, start=2)])

    changes = [
        each.node.name
        for each in found.released
        if each.current is not None and each.current.spec is not None
        if spec_of(each).revision != each.current.spec.revision
    ]
    assert ["n001"] == changes


LEAVING = OnRemoval.REVERT


def gone(rollout: Rollout = ONE) -> ConntrackPolicy:
    """
    Make the policy while it is being deleted, and wants its baselines back.
    """
    return policy(on_removal=LEAVING, rollout=rollout, deleting=True)


def reverting(name: str, *, ready: bool | None = None) -> ConntrackNodeRow:
    """
    Make the object of a node that was told to revert, and has answered if it has.
    """
    leaver = has(OLD, name)
    nodes, rows = {name: node(name)}, {name: leaver}
    spec = spec_of(decide([policy_row(gone())], nodes, rows).nodes[name])
    row = replace(leaver, spec=spec, generation=2)
    return row if ready is None else answered(row, ready=ready)


def test_nodes_are_let_go_within_the_budget() -> None:
    """A deleted policy that reverts is no reason to change all kernels at once."""
    rules = replace(ONE, max_unavailable=Share(2))

    found = turn(gone(rules), [reverting("n000"), *fleet(OLD, 4, start=1)])

    assert ["n001"] == chosen(found)
    assert Progress(leaving=3) == so_far(found)


def test_nodes_are_let_go_at_once_with_keep() -> None:
    """That writes to no kernel, so it needs no budget."""
    found = turn(policy(rollout=ONE, deleting=True), fleet(OLD, 10))

    assert 10 == len(chosen(found))
    assert {} == found.progress


def test_canaries_of_those_that_leave() -> None:
    """
    One goes back first; its object stays to prove it until all others were told.
    """
    asked = gone(Rollout(max_unavailable=Share(5), canaries=1))
    others = fleet(OLD, 3, start=1)

    assert ["n000"] == chosen(turn(asked, fleet(OLD, 4)))
    assert [] == chosen(turn(asked, [reverting("n000"), *others]))
    back = reverting("n000", ready=True)
    assert ["n001", "n002", "n003"] == chosen(turn(asked, [back, *others]))
    rest = [reverting(each.name) for each in others]
    assert ["n000"] == chosen(turn(asked, [back, *rest]))


def test_canaries_do_not_wait_for_who_is_silent() -> None:
    """Their objects go once nobody is left who could need the proof."""
    asked = gone(Rollout(max_unavailable=Share(5), canaries=1))
    rest = silent(has(OLD, "n001"))

    assert ["n000"] == chosen(turn(asked, [reverting("n000", ready=True), rest]))


def test_those_that_stay_and_those_that_leave_share_a_budget() -> None:
    """A policy's budget counts all kernels that it changes, whatever for."""
    rules = replace(ONE, max_unavailable=Share(3))
    every = asks(rules, on_removal=LEAVING)
    asked = asks(rules, on_removal=LEAVING, labels={"role": "web"})
    nodes = {f"n{index}": node(f"n{index}", role="web") for index in range(3)}
    nodes |= {f"n{index}": node(f"n{index}", role="db") for index in range(3, 6)}
    rows = {name: has(OLD, name) for name in nodes}
    rows["n0"] = busy(every, "n0")
    decisions = decide([policy_row(asked)], nodes, rows).nodes.values()

    found = wave(decisions, unshown=(), refused=(), now=NOW)

    assert ["n1", "n2"] == chosen(found)
    assert Progress(leaving=3) == so_far(found)


def test_nodes_that_cannot_go_back_halt() -> None:
    """What harms on the way back harms no more nodes than on the way forth."""
    failed = reverting("n000", ready=False)
    rules = Rollout(max_unavailable=Share(3), canaries=0, max_failures=2)
    others = fleet(OLD, 3, start=1)

    one = turn(gone(rules), [failed, *others])
    most = replace(rules, max_failures=1)
    two = turn(gone(most), [failed, *others])

    assert ["n001", "n002"] == chosen(one)
    assert Progress(leaving=1, failures=1) == so_far(one)
    assert [] == chosen(two)
    expected = Progress(leaving=3, halted=True, lasting=True, failures=1)
    assert expected == so_far(two)


def test_halt_of_a_way_back_outlives_the_failure() -> None:
    """The node that failed has gone back, and its object goes: the others wait."""
    back = reverting("n000", ready=True)

    found = turn(gone(), [back, *fleet(OLD, 3, start=1)], halted={OLD.uid})

    assert ["n000"] == chosen(found)
    assert Progress(leaving=3, halted=True, lasting=True) == so_far(found)


def test_node_that_cannot_go_back_is_part_of_the_budget() -> None:
    """Where more may fail, it takes the room that others would need."""
    failed = reverting("n000", ready=False)
    rules = replace(ONE, max_failures=2)

    found = turn(gone(rules), [failed, *fleet(OLD, 3, start=1)])

    assert [] == chosen(found)
    assert Progress(leaving=3, stuck=True, failures=1) == so_far(found)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["old", "busy", "failed", "back", "silent", "held", "unshown"]),
        max_size=10,
    ),
    st.integers(0, 6),
    st.integers(0, 3),
)
def test_letting_go_keeps_to_the_budget(
    drawn: list[str], limit: int, canaries: int
) -> None:
    """In any state, what was healthy and is told to go back fits into the budget."""
    asked = gone(Rollout(max_unavailable=Share(limit), canaries=canaries))
    named = [(state, f"n{number:02}") for number, state in enumerate(drawn)]
    made: Mapping[str, Callable[[str], ConntrackNodeRow]] = {
        "busy": reverting,
        "failed": lambda name: reverting(name, ready=False),
        "back": lambda name: reverting(name, ready=True),
        "silent": lambda name: silent(has(OLD, name)),
        "held": lambda name: replace(has(OLD, name), hold=True),
    }
    rows = [
        made[state](name) if state in made else has(OLD, name) for state, name in named
    ]
    unshown = {name for state, name in named if state == "unshown"}

    found = turn(asked, rows, unshown=unshown)

    told = {each.node.name for each in found.released if isinstance(each.plan, Revert)}
    state_of = {name: state for state, name in named}
    assert {"old"} >= {state_of[name] for name in told}
    busy_ = [state for state in drawn if state in {"busy", "failed", "unshown"}]
    assert not told or len(told) + len(busy_) <= limit
    proved = drawn.count("back")
    assert len(told) <= canaries or proved >= min(canaries, len(drawn))
    gone_ = set(chosen(found)) - told
    assert {"back"} >= {state_of[name] for name in gone_}
    if "old" in drawn and drawn.count("back") >= canaries:
        assert drawn.count("back") - len(gone_) >= canaries


states = st.sampled_from(
    [
        "old",
        "done",
        "busy",
        "failed",
        "old-failed",
        "silent",
        "held",
        "new",
        "first",
        "unshown",
        "refused",
    ]
)


def make(state: str, name: str, asked: ConntrackPolicy) -> ConntrackNodeRow | str:
    """
    Make a node in a drawn state.
    """
    rows: Mapping[str, ConntrackNodeRow | str] = {
        "done": has(asked, name),
        "busy": busy(asked, name),
        "failed": has(asked, name, ready=False),
        "old-failed": has(OLD, name, ready=False),
        "silent": silent(has(OLD, name)),
        "held": replace(has(OLD, name, ready=False), hold=True),
        "new": name,
        "first": answered(has_nothing(asked, name)),
    }
    return rows.get(state, has(OLD, name))


@settings(deadline=None)
@given(
    st.lists(states, max_size=12),
    st.integers(0, 12),
    st.integers(0, 4),
    st.integers(1, 4),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_budget(
    drawn: list[str],
    limit: int,
    canaries: int,
    failures: int,
    halted: bool,  # noqa: FBT001 - drawn
    random: Random,
) -> None:
    """
    In any state and order, what was healthy and is told now fits into the budget.
    """
    rules = Rollout(
        max_unavailable=Share(limit), canaries=canaries, max_failures=failures
    )
    asked = asks(replace(rules, soak_seconds=0))
    named = [(state, f"n{number:02}") for number, state in enumerate(drawn)]
    rows = [make(state, name, asked) for state, name in named]
    names = {
        kind: {name for state, name in named if state == kind} for kind in set(drawn)
    }
    pending, refused = names.get("unshown", set()), names.get("refused", set())

    before = {asked.uid} if halted else set()

    found = turn(asked, rows, unshown=pending, refused=refused, halted=before)
    random.shuffle(rows)
    again = turn(asked, rows, unshown=pending, refused=refused, halted=before)

    assert chosen(again) == chosen(found) or set(chosen(again)) == set(chosen(found))
    assert len(set(chosen(found))) == len(chosen(found)), "a node is told twice"
    changes = [name for name in chosen(found) if name not in names.get("new", set())]
    bad = [name for state, name in named if state in {"busy", "failed", "old-failed"}]
    unavailable = {*bad, *pending, *refused}
    fresh = set(changes) - unavailable
    assert not fresh or len(fresh) + len(unavailable) <= limit
    assert not pending & set(changes)
    assert limit or not changes
    assert not (halted and changes)
    assert not names.get("held", set()) & set(changes)
    assert not changes or drawn.count("failed") + len(refused) < failures
    if drawn.count("done") < canaries and any(state == "old" for state in drawn):
        assert len(changes) <= canaries


def calls(asked: ConntrackPolicy, count: int) -> int:
    """
    Count the calls that choosing among so many nodes takes.
    """
    rows = {row.name: row for row in fleet(OLD, count)}
    nodes = {name: node(name) for name in rows}
    decisions = decide([policy_row(asked)], nodes, rows).nodes.values()
    counted = 0

    def count_one(_frame: object, event: str, _arg: object) -> None:
        nonlocal counted
        counted += event == "call"

    sys.setprofile(count_one)
    try:
        wave(decisions, unshown=(), refused=(), now=NOW)
    finally:
        sys.setprofile(None)
    return counted


def test_work_grows_as_the_fleet_does() -> None:
    """
    Four times the nodes are four times the work, not sixteen times.
    """
    tenth = asks(Rollout(max_unavailable=Share(10, percent=True), canaries=0))

    assert calls(tenth, 800) < 5 * calls(tenth, 200)
