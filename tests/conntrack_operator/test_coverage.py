from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conntrack_api.policy import Operator, Requirement
from conntrack_operator import coverage
from conntrack_operator.coverage import EVERY_NODE, NO_NODE
from conntrack_operator.match import match
from conntrack_operator.rows import NodeRow, PolicyRow
from conntrack_operator.testing import node, policy, policy_row, unreadable

VIRTUAL = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {
                    "matchExpressions": [
                        {"key": "type", "operator": "NotIn", "values": ["virtual"]}
                    ]
                }
            ]
        }
    }
}
OWN = coverage.read(VIRTUAL)


def terms(found: coverage.Coverage) -> Any:  # noqa: ANN401 - JSON
    """Write a coverage and give its terms alone."""
    affinity = coverage.written(None, found)
    if affinity is None:
        return None
    (required,) = affinity["nodeAffinity"].values()
    return required["nodeSelectorTerms"]


def wanted(
    *policies: PolicyRow,
    own: coverage.Coverage = EVERY_NODE,
    let_go: tuple[NodeRow, ...] = (),
    live: coverage.Coverage = NO_NODE,
) -> coverage.Coverage:
    """Ask with defaults."""
    return coverage.wanted(own, policies, let_go, live)


def selecting(name: str = "p", **labels: str) -> PolicyRow:
    """Make the row of a policy that selects by labels."""
    return policy_row(policy(name, labels=labels))


def test_no_policy_covers_no_node() -> None:
    """A term without requirements selects nothing, and that is written."""
    assert NO_NODE == wanted(own=OWN)
    assert [{}] == terms(NO_NODE)
    assert NO_NODE == coverage.read(coverage.written(None, NO_NODE))


def test_a_policy_of_every_node_leaves_the_template_as_it_is() -> None:
    """Its empty selector asks for nothing beside what the template asks."""
    assert coverage.written(VIRTUAL, wanted(selecting(), own=OWN)) == VIRTUAL
    assert terms(wanted(selecting())) is None


def test_selectors_are_alternatives_each_with_what_the_template_asks() -> None:
    """Terms are OR-ed, requirements AND-ed, and all of it in one order."""
    expression = Requirement(key="b", operator=Operator.EXISTS)
    web = policy_row(policy("web", labels={"a": "1"}, expressions=(expression,)))

    found = wanted(selecting("db", pool="db"), web, own=OWN)

    not_virtual = {"key": "type", "operator": "NotIn", "values": ["virtual"]}
    assert [
        {
            "matchExpressions": [
                {"key": "a", "operator": "In", "values": ["1"]},
                {"key": "b", "operator": "Exists"},
                not_virtual,
            ]
        },
        {
            "matchExpressions": [
                {"key": "pool", "operator": "In", "values": ["db"]},
                not_virtual,
            ]
        },
    ] == terms(found)


def test_the_rest_of_the_affinity_stays() -> None:
    """Preferences and what concerns pods are the template's own business."""
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}
    affinity = {"podAffinity": {"x": []}, "nodeAffinity": preferred}

    found = coverage.written(affinity, wanted(selecting(pool="db")))

    assert found is not None
    assert {"x": []} == found["podAffinity"]
    assert preferred.items() <= found["nodeAffinity"].items()


def test_a_wider_selector_makes_a_narrower_one_needless() -> None:
    """Terms are few where policies are layered."""
    narrow = selecting("narrow", pool="db", zone="a")

    assert wanted(selecting("wide", pool="db")) == wanted(
        narrow, selecting("wide", pool="db"), selecting("again", pool="db")
    )


def test_too_many_terms_cover_all_that_the_template_allows() -> None:
    """An agent without an object does nothing; one that is missing is missed."""
    many = [
        selecting(f"p{each}", pool=f"p{each}") for each in range(coverage.MAX_TERMS + 1)
    ]
    long = Requirement(
        key="a",
        operator=Operator.IN,
        values=tuple(f"{each:050}" for each in range(coverage.MAX_CHARACTERS // 50)),
    )

    assert wanted(*many, own=OWN) == OWN
    assert wanted(policy_row(policy(expressions=(long,))), own=OWN) == OWN
    assert coverage.MAX_TERMS == len(wanted(*many[1:], own=OWN))


def test_a_deleted_policy_covers_its_nodes_until_it_is_gone() -> None:
    """While it is held, its nodes are being reverted by their agents."""
    row = selecting(pool="db")

    assert row.policy is not None
    deleted = replace(row, deleting=True, policy=replace(row.policy, deleting=True))
    assert wanted(row) == wanted(deleted)


def test_nothing_is_given_up_while_nodes_are_let_go() -> None:
    """The old selector is gone, yet its nodes have objects and keep their agents."""
    live = wanted(selecting(pool="db"), own=OWN)
    old = node("n1", pool="db")

    assert live == wanted(own=OWN, let_go=(old,), live=live)
    assert NO_NODE == wanted(own=OWN, live=live)


def test_a_node_that_was_labelled_anew_keeps_its_agent_by_name() -> None:
    """No selector finds it any more, but its object is still to be released."""
    live = wanted(selecting(pool="db"))

    found = wanted(selecting(pool="db"), let_go=(node("n1", pool="web"),), live=live)

    by_name = {"key": "metadata.name", "operator": "In", "values": ["n1"]}
    assert {"matchFields": [by_name]} in terms(found)
    assert live < found
    assert found == wanted(
        selecting(pool="db"), let_go=(node("n1", pool="web"),), live=found
    )


def test_an_unreadable_policy_gives_up_nothing() -> None:
    """What it selects is not known, so what is covered stays covered."""
    live = wanted(selecting(pool="db"))

    assert live == wanted(unreadable(), live=live)


LABELS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2)
REQUIREMENTS = st.one_of(
    st.builds(
        Requirement,
        key=st.sampled_from("ab"),
        operator=st.sampled_from([Operator.IN, Operator.NOT_IN]),
        values=st.lists(st.sampled_from("xy"), min_size=1, max_size=2).map(tuple),
    ),
    st.builds(
        Requirement,
        key=st.sampled_from("ab"),
        operator=st.sampled_from([Operator.EXISTS, Operator.DOES_NOT_EXIST]),
    ),
)
POLICIES = st.lists(
    st.tuples(LABELS, st.lists(REQUIREMENTS, max_size=2).map(tuple)), max_size=4
).map(
    lambda every: [
        policy(f"p{index}", labels=labels, expressions=expressions)
        for index, (labels, expressions) in enumerate(every)
    ]
)


@given(POLICIES, LABELS, st.randoms())
def test_agents_run_where_a_policy_governs(
    policies: list[Any],
    labels: dict[str, str],
    random: Any,  # noqa: ANN401 - Hypothesis's
) -> None:
    """Match and coverage agree on every node, whatever the order, there and back."""
    one = node("n1", **labels)
    rows = [policy_row(each) for each in policies]
    found = wanted(*rows)
    random.shuffle(rows)

    assert terms(found) == terms(wanted(*rows))
    assert found == coverage.read(coverage.written(None, found))
    governed = "n1" in match(policies, [one]).governing
    assert governed == selects(found, one)


def selects(found: coverage.Coverage, one: NodeRow) -> bool:
    """Evaluate what is written, as Kubernetes does."""
    written = terms(found)
    if written is None:
        return True

    def meets(need: dict[str, Any]) -> bool:
        value = one.labels.get(need["key"])
        return {
            "In": value in need.get("values", ()),
            "NotIn": value not in need.get("values", ()),
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[need["operator"]]

    return any(term and all(map(meets, term["matchExpressions"])) for term in written)


@pytest.mark.parametrize("affinity", [None, {}, {"nodeAffinity": {}}])
def test_no_affinity_covers_every_node(affinity: dict[str, Any] | None) -> None:
    """Nothing that has to be met is met by all."""
    assert EVERY_NODE == coverage.read(affinity)
