from collections.abc import Mapping
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conntrack_api.policy import ConntrackPolicy, Operator, Requirement
from conntrack_operator.match import match
from conntrack_operator.rows import NodeRow
from conntrack_operator.testing import node, policy

IN, NOT_IN = Operator.IN, Operator.NOT_IN
EXISTS, DOES_NOT_EXIST = Operator.EXISTS, Operator.DOES_NOT_EXIST


def governed(labels: Mapping[str, str], *policies: ConntrackPolicy) -> str | None:
    """
    Give the name of the policy that governs one node with these labels.
    """
    row = replace(node("n1"), labels=labels)
    winner = match(policies, [row]).governing.get("n1")
    return winner.name if winner else None


@pytest.mark.parametrize(
    ("operator", "values", "value", "expected"),
    [
        pytest.param(IN, ("a", "b"), "b", True, id="in: one of them"),
        pytest.param(IN, ("a", "b"), "c", False, id="in: another value"),
        pytest.param(IN, ("a", "b"), None, False, id="in: no such label"),
        pytest.param(IN, ("",), "", True, id="in: the empty value is a value"),
        pytest.param(NOT_IN, ("a", "b"), "b", False, id="not in: one of them"),
        pytest.param(NOT_IN, ("a", "b"), "c", True, id="not in: another value"),
        pytest.param(NOT_IN, ("a", "b"), None, True, id="not in: no such label"),
        pytest.param(EXISTS, (), "", True, id="exists: with an empty value"),
        pytest.param(EXISTS, (), None, False, id="exists: no such label"),
        pytest.param(DOES_NOT_EXIST, (), "a", False, id="does not exist: it does"),
        pytest.param(DOES_NOT_EXIST, (), None, True, id="does not exist: it does not"),
    ],
)
def test_requirement(
    operator: Operator,
    values: tuple[str, ...],
    value: str | None,
    expected: bool,  # noqa: FBT001 - a table's column
) -> None:
    """A requirement means what it means for every other Kubernetes selector."""
    wanted = Requirement(key="role", operator=operator, values=values)
    labels = {} if value is None else {"role": value}

    assert expected is bool(governed(labels, policy(expressions=(wanted,))))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, "default"),
        ({"kubernetes.io/os": "linux"}, "default"),
        ({"kubernetes.io/os": "windows"}, None),
    ],
)
def test_empty_selector_is_every_linux_node(
    labels: Mapping[str, str], expected: str | None
) -> None:
    """A node that names another system than Linux is never governed."""
    assert expected == governed(labels, policy())


def test_all_requirements_must_hold() -> None:
    """Labels and expressions of one selector are joined by "and"."""
    wanted = Requirement(key="zone", operator=EXISTS)
    both = policy(labels={"role": "web"}, expressions=(wanted,))

    assert governed({"role": "web"}, both) is None
    assert governed({"zone": "a"}, both) is None
    assert "default" == governed({"role": "web", "zone": "a"}, both)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param(
            policy("a", priority=1),
            policy("b", priority=2, created="2026-06-01T00:00:00Z"),
            "b",
            id="the higher priority, though younger",
        ),
        pytest.param(
            policy("a", created="2026-02-01T00:00:00Z"),
            policy("b", created="2026-01-01T00:00:00Z"),
            "b",
            id="the older of equal priority",
        ),
        pytest.param(policy("b"), policy("a"), "a", id="the lower name at equal age"),
        pytest.param(
            policy("a", priority=9, deleting=True),
            policy("b"),
            "b",
            id="none that is being deleted",
        ),
        pytest.param(policy("a", priority=-5), policy("b", priority=-6), "a", id="< 0"),
    ],
)
def test_winner(first: ConntrackPolicy, second: ConntrackPolicy, expected: str) -> None:
    """One policy governs a node, whatever the order of the list."""
    assert expected == governed({}, first, second)
    assert expected == governed({}, second, first)


def test_losses_are_counted_by_winner() -> None:
    """A policy is told how many of its nodes each other policy governs."""
    nodes = [node(f"web{index}", role="web") for index in range(3)]
    nodes += [node("db", role="db"), node("plain")]
    web = policy("web", labels={"role": "web"}, priority=1)
    database = policy("db", labels={"role": "db"}, priority=2)

    losses = match([policy(), web, database], nodes).losses

    assert {"uid-default"} == set(losses)
    found = [(loss.winner.name, loss.nodes) for loss in losses["uid-default"]]
    assert [("db", 1), ("web", 3)] == found


policies = st.lists(
    st.builds(
        policy,
        name=st.sampled_from("abcdef"),
        labels=st.dictionaries(st.sampled_from("xy"), st.sampled_from("12")),
        priority=st.integers(-1, 1),
        created=st.sampled_from(["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"]),
        deleting=st.booleans(),
    ),
    unique_by=lambda each: each.name,
)
nodes = st.lists(
    st.builds(
        lambda name, labels: NodeRow(name=name, uid=name, labels=labels),
        name=st.sampled_from("nopqrst"),
        labels=st.dictionaries(st.sampled_from("xy"), st.sampled_from("123")),
    ),
    unique_by=lambda each: each.name,
)


@given(policies, nodes, st.randoms(use_true_random=False))
def test_order_does_not_matter(
    policies: list[ConntrackPolicy], nodes: list[NodeRow], random: Random
) -> None:
    """The answer is the same for every order of policies and nodes."""
    expected = match(policies, nodes)

    random.shuffle(policies)
    random.shuffle(nodes)

    assert expected == match(policies, nodes)


@given(policies, nodes)
def test_every_selected_node_is_governed_or_lost(
    policies: list[ConntrackPolicy], nodes: list[NodeRow]
) -> None:
    """What a policy governs and what it lost is what it would govern alone."""
    matching = match(policies, nodes)

    for each in policies:
        alone = match([each], nodes).governing
        governs = [one for one in matching.governing.values() if one.uid == each.uid]
        lost = sum(loss.nodes for loss in matching.losses.get(each.uid, ()))
        assert len(alone) == len(governs) + lost
