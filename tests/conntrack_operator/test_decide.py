from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from conntrack_api.policy import ConntrackPolicy, OnRemoval
from conntrack_operator.decide import Decision, decide
from conntrack_operator.plan import Delete, Revert, Tell, Wait
from conntrack_operator.rows import FINALIZER, ConntrackNodeRow, PolicyRow
from conntrack_operator.testing import (
    FACTS,
    answered,
    conntrack_node,
    node,
    policy,
    policy_row,
    unreadable,
)

NODES = {"n1": node("n1")}


def settled(asked: ConntrackPolicy) -> ConntrackNodeRow:
    """
    Make the object of a node that has what a policy asks.
    """
    row = conntrack_node(spec=None, facts=FACTS)
    for _ in range(2):
        rows = {"n1": row} if row.spec else {}
        planned = decide([policy_row(asked)], NODES, rows).nodes["n1"].plan
        assert isinstance(planned, Tell)
        row = answered(replace(row, spec=planned.spec))
    return row


def decided(
    *policies: PolicyRow, current: ConntrackNodeRow | None = None
) -> Decision | None:
    """
    Decide for one node.
    """
    rows = {"n1": current} if current else {}
    return decide(policies, NODES, rows).nodes.get("n1")


def test_node_that_is_nobodys_business() -> None:
    """A node without a policy and without an object is left out."""
    assert decided() is None


def test_object_without_a_node() -> None:
    """An object whose Node is gone is the garbage collector's."""
    rows = {"n1": settled(policy())}

    assert {} == decide([], {}, rows).nodes


def test_converged_node_has_nothing_to_write() -> None:
    """Deciding again after a perfect answer finds no difference."""
    found = decided(policy_row(policy()), current=settled(policy()))

    assert found is not None
    assert not found.differs
    assert not found.removes


def test_policy_that_vanished_counts_as_keep() -> None:
    """Without our finalizer on it, a policy cannot have asked for a revert."""
    found = decided(current=settled(policy(on_removal=OnRemoval.REVERT)))

    assert found is not None
    assert Delete() == found.plan
    assert found.removes


def test_narrowed_policy_reverts() -> None:
    """A policy that no longer selects a node still says how it lets go of it."""
    before = policy(on_removal=OnRemoval.REVERT)
    after = policy(on_removal=OnRemoval.REVERT, labels={"role": "web"})

    found = decided(policy_row(after), current=settled(before))

    assert found is not None
    assert isinstance(found.plan, Revert)
    assert found.removes


def test_next_policy_takes_over_without_a_revert() -> None:
    """A node that another policy governs is told that, and nothing is removed."""
    leaving = policy("old", on_removal=OnRemoval.REVERT, deleting=True)

    found = decided(
        policy_row(leaving), policy_row(policy("new")), current=settled(policy("old"))
    )

    assert found is not None
    assert isinstance(found.plan, Tell)
    assert "new" == found.plan.spec.policy_ref.name
    assert not found.removes


def test_node_of_an_unreadable_policy_is_left_as_it_is() -> None:
    """Unreadable is not a command, not even for another policy to take over."""
    current = settled(policy())

    for others in ((), (policy_row(policy("other", priority=9)),)):
        found = decided(unreadable(), *others, current=current)
        assert found is not None
        assert Wait() == found.plan


def test_unreadable_policy_that_is_being_deleted() -> None:
    """A deletion is explicit; the finalizer still tells what was asked."""
    current = settled(policy())

    keep = decided(unreadable(deleting=True), current=current)
    revert = decided(
        unreadable(deleting=True, finalizers=(FINALIZER,)), current=current
    )

    assert keep is not None
    assert revert is not None
    assert Delete() == keep.plan
    assert isinstance(revert.plan, Revert)


states = st.sampled_from([None, "settled", "first", "unreadable"])


@given(st.dictionaries(st.sampled_from("abcdef"), states), st.booleans())
def test_absence_never_removes(
    objects: dict[str, str | None],
    known: bool,  # noqa: FBT001 - drawn
) -> None:
    """Nodes that are missing from the list have nothing decided for them."""
    rows = {
        name: replace(
            conntrack_node(spec=None) if state == "unreadable" else settled(policy()),
            name=name,
        )
        for name, state in objects.items()
        if state
    }
    policies = [policy_row(policy())] if known else []

    assert {} == decide(policies, {}, rows).nodes
