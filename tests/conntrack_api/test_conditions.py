"""
When the transition time of a condition moves.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from conntrack_api.conditions import (
    Condition,
    ConditionStatus,
    NodeCondition,
    NodeReason,
    PolicyCondition,
    PolicyReason,
    find,
    with_transitions,
)

BEFORE, NOW = "2026-01-02T03:04:05Z", "2026-01-02T04:00:00Z"

READY = Condition(
    type=NodeCondition.READY,
    status=ConditionStatus.TRUE,
    reason=NodeReason.APPLIED,
    message="34 of 34 settings are as asked",
    observed_generation=1,
)
DRIFTED = replace(READY, type=NodeCondition.DRIFTED, reason=NodeReason.NO_DRIFT)

some = st.lists(
    st.builds(
        Condition,
        type=st.sampled_from(["Ready", "Drifted", "ConntrackPressure"]),
        last_transition_time=st.just(""),
    ),
    unique_by=lambda each: each.type,
).map(tuple)


def test_a_first_answer_begins_now() -> None:
    """
    Without an answer before, the time is the present.
    """
    (found,) = with_transitions([READY], [], NOW)

    assert replace(READY, last_transition_time=NOW) == found


def test_the_time_stays_while_the_status_does() -> None:
    """
    Another reason, message or generation is no transition.
    """
    old = replace(READY, last_transition_time=BEFORE)
    new = replace(
        READY,
        reason=NodeReason.OBSERVING,
        message="reports only",
        observed_generation=2,
    )

    (found,) = with_transitions([new], [old], NOW)

    assert replace(new, last_transition_time=BEFORE) == found


def test_the_time_moves_with_the_status() -> None:
    """
    True to False is a transition.
    """
    old = replace(READY, last_transition_time=BEFORE)
    new = replace(READY, status=ConditionStatus.FALSE)

    (found,) = with_transitions([new], [old], NOW)

    assert NOW == found.last_transition_time


def test_types_do_not_mix() -> None:
    """
    Each type has its own time, in whatever order the old ones come.
    """
    old = [replace(DRIFTED, last_transition_time=BEFORE)]

    found = with_transitions([READY, DRIFTED], old, NOW)

    assert [NOW, BEFORE] == [each.last_transition_time for each in found]


@given(some, some)
def test_a_second_look_at_the_same_answers_changes_nothing(
    new: tuple[Condition, ...], old: tuple[Condition, ...]
) -> None:
    """
    A quiet system writes nothing; types that are gone are gone, and order is kept.
    """
    first = with_transitions(new, with_transitions(old, (), BEFORE), BEFORE)

    assert first == with_transitions(new, first, NOW)
    assert first == with_transitions(new, reversed(first), NOW)
    assert [each.type for each in new] == [each.type for each in first]


def test_finding_a_condition() -> None:
    """
    The one of a type; nothing when nobody has said anything yet.
    """
    assert DRIFTED == find([READY, DRIFTED], NodeCondition.DRIFTED)
    assert find([READY], NodeCondition.DRIFTED) is None


def test_reasons_and_types_fit_the_schema() -> None:
    """
    One word in camel case of at most 64 letters, and no word twice in a list.
    """
    for words in (PolicyReason, NodeReason, PolicyCondition, NodeCondition):
        for word in words:
            assert word.isalpha()
            assert word[0].isupper()
            assert len(word) <= 64
