from dataclasses import replace

import pytest

from conntrack_api.policy import ConntrackPolicy
from conntrack_operator.brake import CONFIRM_SECONDS, STALE_SECONDS, Brake
from conntrack_operator.decide import Decision
from conntrack_operator.plan import Delete, Tell, wish
from conntrack_operator.rows import PolicyRow
from conntrack_operator.testing import conntrack_node, node, policy, policy_row

OTHER = policy_row(policy("other"))
LEAVING = policy_row(policy(deleting=True))


def removals(
    count: int, *, stale: bool = False, of: ConntrackPolicy | None = None
) -> list[Decision]:
    """
    Make removals of nodes that a policy governed.
    """
    spec = wish(of or policy()).numbers
    return [
        Decision(
            node=node(f"n{index}"),
            current=conntrack_node(f"n{index}", spec=spec),
            policy=None,
            plan=Delete(stale=stale),
        )
        for index in range(count)
    ]


def moves(count: int) -> list[Decision]:
    """
    Make changes of nodes whose policy has vanished, and that another one governs now.
    """
    other = wish(policy("other")).numbers
    return [
        replace(
            each,
            policy=policy("other"),
            plan=Tell(spec=other, final=True),
            orphaned=True,
        )
        for each in removals(count)
    ]


@pytest.mark.parametrize(
    ("count", "objects", "policies", "expected"),
    [
        pytest.param(3, 3, [OTHER], 3, id="three always may"),
        pytest.param(4, 4, [OTHER], 0, id="four of four wait"),
        pytest.param(30, 100, [OTHER], 30, id="exactly the share"),
        pytest.param(31, 100, [OTHER], 0, id="more than the share"),
        pytest.param(100, 100, [LEAVING], 100, id="explicitly deleted"),
        pytest.param(1, 100, [], 0, id="no policy at all"),
    ],
)
def test_first_sighting(
    count: int, objects: int, policies: list[PolicyRow], expected: int
) -> None:
    """Few removals may go at once, many only when their policy says so."""
    released, wait = Brake().release(
        removals(count), policies, objects=objects, now=1.0
    )

    assert expected == len(released)
    assert (None if expected else CONFIRM_SECONDS) == wait


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        pytest.param(30, 30, id="exactly the share"),
        pytest.param(31, 0, id="more than the share"),
    ],
)
def test_nodes_of_a_policy_that_vanished(count: int, expected: int) -> None:
    """Many are not told another policy's numbers on the first sight; later they are."""
    brake = Brake()

    first, _ = brake.release(moves(count), [OTHER], objects=100, now=1.0)
    later, wait = brake.release(
        moves(count), [OTHER], objects=100, now=1.0 + CONFIRM_SECONDS
    )

    assert expected == len(first)
    assert (count, None) == (len(later), wait)


def test_second_sighting() -> None:
    """What is still wanted after the pause may go."""
    brake = Brake()
    brake.release(removals(10), [OTHER], objects=10, now=1.0)

    early, wait = brake.release(removals(10), [OTHER], objects=10, now=5.0)
    late, _ = brake.release(removals(10), [OTHER], objects=10, now=6.0)

    assert [] == early
    assert 1.0 == wait
    assert 10 == len(late)


def test_a_gap_starts_the_pause_anew() -> None:
    """A removal that was not wanted in between was a mistake."""
    brake = Brake()
    brake.release(removals(10), [OTHER], objects=10, now=1.0)
    brake.release([], [OTHER], objects=10, now=3.0)

    released, wait = brake.release(removals(10), [OTHER], objects=10, now=6.0)

    assert [] == released
    assert CONFIRM_SECONDS == wait


def test_a_move_is_no_first_sighting_of_a_removal() -> None:
    """That a node was to change its policy does not hasten that it has none."""
    brake = Brake()
    brake.release(moves(1), [OTHER], objects=9, now=1.0)

    released, wait = brake.release(removals(1), [], objects=9, now=60.0)

    assert ([], CONFIRM_SECONDS) == (released, wait)


def test_object_of_a_former_node_is_left_to_the_garbage_collector() -> None:
    """Only what nobody has collected for a minute is removed by us."""
    brake = Brake()

    early, wait = brake.release(removals(1, stale=True), [OTHER], objects=9, now=0.0)
    late, _ = brake.release(
        removals(1, stale=True), [OTHER], objects=9, now=STALE_SECONDS
    )

    assert [] == early
    assert STALE_SECONDS == wait
    assert 1 == len(late)
