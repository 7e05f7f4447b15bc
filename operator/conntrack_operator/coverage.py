"""
Coverage: on which nodes agents run, as the node affinity of their DaemonSet.

Computes only. Terms are sets of requirements: a term selects the nodes that meet all
of its requirements, so the empty term selects every node; a coverage is a set of terms
and selects what any of them does, so the empty coverage selects nothing.

Source:
    Kubernetes, NodeSelector: terms are OR-ed, the requirements of one are AND-ed, and
    a term without requirements selects no node; ``nodeSelectorTerms`` is never empty.
"""

from collections.abc import Iterable, Sequence
from itertools import chain, product
from typing import Any, Final, NamedTuple

from conntrack_api.policy import LabelSelector, Operator
from conntrack_operator.rows import Json, NodeRow, PolicyRow

MAX_TERMS: Final = 200
MAX_CHARACTERS: Final = 100_000
"""
More would make a large object, and Kubernetes keeps ten revisions of it.

Beyond either, agents run wherever the template lets them: one without an object does
nothing, but one that is missing leaves a node alone.
"""

NAME: Final = "metadata.name"
"""The one field of a node that Kubernetes lets an affinity ask for."""


class Need(NamedTuple):
    """One requirement; `kind` is the list of a term that it stands in."""

    kind: str
    key: str
    operator: str
    values: tuple[str, ...] = ()


Term = frozenset[Need]
Coverage = frozenset[Term]

EVERY_NODE: Final[Coverage] = frozenset({frozenset()})
NO_NODE: Final[Coverage] = frozenset()


def wanted(
    own: Coverage,
    policies: Iterable[PolicyRow],
    let_go: Sequence[NodeRow],
    live: Coverage,
) -> Coverage:
    """
    Say where agents should run.

    Args:
        own: What the template itself asks of a node.
        policies: All of them; one that is being deleted still selects its nodes.
        let_go: Nodes that no policy governs and that still have an object, so that
            their agents may have work to do.
        live: Where agents run now.

    Returns:
        The union of all selectors. As long as a node is being let go, or a policy
        cannot be read, nothing of the present coverage is given up; a node outside of
        both, such as one that was labelled anew, is selected by its name.
    """
    rows = list(policies)
    selectors = {_of(row.policy.spec.node_selector) for row in rows if row.policy}
    found = _both(own, _fewest(selectors))
    if let_go or any(row.policy is None for row in rows):
        found = union(found, live)
    names = {
        _by_name(node.name)
        for node in let_go
        if not any(_selects(term, node) for term in found)
    }
    found = union(found, _both(own, frozenset(names)))
    size = sum(map(len, chain.from_iterable(map(_words, chain.from_iterable(found)))))
    return found if len(found) <= MAX_TERMS and size <= MAX_CHARACTERS else own


def union(one: Coverage, other: Coverage) -> Coverage:
    """
    Select what either of two selects, in as few terms as can be seen.
    """
    return _fewest({*one, *other})


def read(affinity: Json | None) -> Coverage:
    """
    Read the coverage of a pod's affinity.
    """
    required = _required(affinity or {})
    if required is None:
        return EVERY_NODE
    terms = (
        frozenset(
            Need(kind, each["key"], each["operator"], tuple(each.get("values") or ()))
            for kind in ("matchExpressions", "matchFields")
            for each in term.get(kind) or ()
        )
        for term in required.get("nodeSelectorTerms") or ()
    )
    return frozenset(filter(None, terms))


def written(affinity: Json | None, coverage: Coverage) -> Json | None:
    """
    Write a coverage into a pod's affinity; the rest of it stays.

    Returns:
        The same for equal coverages; ``None`` where nothing is asked at all.
    """
    every = dict(affinity or {})
    node = dict(every.pop("nodeAffinity", None) or {})
    node.pop(_REQUIRED, None)
    if coverage != EVERY_NODE:
        terms = [_object(term) for term in sorted(map(sorted, coverage))] or [{}]
        node[_REQUIRED] = {"nodeSelectorTerms": terms}
    if node:
        every["nodeAffinity"] = node
    return every or None


_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"


def _required(affinity: Json) -> Json | None:
    """
    Give the part of an affinity that has to be met; ``None``: nothing has to.
    """
    return (affinity.get("nodeAffinity") or {}).get(_REQUIRED)


def _words(need: Need) -> tuple[str, ...]:
    """
    List what a requirement takes room with.
    """
    return need.key, *need.values


def _object(term: Iterable[Need]) -> Json:
    """
    Write a term.
    """
    found: dict[str, list[Any]] = {}
    for need in term:
        one: dict[str, Any] = {"key": need.key, "operator": need.operator}
        if need.values:
            one["values"] = list(need.values)
        found.setdefault(need.kind, []).append(one)
    return found


def _of(selector: LabelSelector) -> Term:
    """
    Write a policy's selector as a term.
    """
    labels = {
        Need("matchExpressions", key, Operator.IN.value, (value,))
        for key, value in selector.match_labels.items()
    }
    expressions = {
        Need(
            "matchExpressions",
            each.key,
            each.operator.value,
            tuple(sorted(set(each.values))),
        )
        for each in selector.match_expressions
    }
    return frozenset(labels | expressions)


def _by_name(name: str) -> Term:
    """
    Select one node.
    """
    return frozenset({Need("matchFields", NAME, Operator.IN.value, (name,))})


def _both(one: Coverage, other: Coverage) -> Coverage:
    """
    Select what both of two select.
    """
    return frozenset(first | second for first, second in product(one, other))


def _fewest(terms: Iterable[Term]) -> Coverage:
    """
    Leave out each term that asks for more than another one does.
    """
    kept: list[Term] = []
    for term in sorted(terms, key=len):
        if not any(each <= term for each in kept):
            kept.append(term)
    return frozenset(kept)


def _selects(term: Term, node: NodeRow) -> bool:
    """
    Tell whether a term selects a node.
    """
    return all(_meets(each, node) for each in term)


def _meets(need: Need, node: NodeRow) -> bool:
    """
    Tell whether a node meets a requirement.

    Comparisons of numbers stand in templates only, and so in every term alike.
    """
    value = node.name if need.key == NAME else node.labels.get(need.key)
    match need.operator:
        case Operator.IN:
            return value in need.values
        case Operator.NOT_IN:
            return value not in need.values
        case Operator.EXISTS:
            return value is not None
        case Operator.DOES_NOT_EXIST:
            return value is None
    return True
