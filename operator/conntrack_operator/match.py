"""
Match: which policy governs a node.

Computes only; `decide` calls it once per pass with all policies and all nodes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from conntrack_api.policy import ConntrackPolicy, LabelSelector, Operator, Requirement
from conntrack_operator.rows import Loss, NodeRow

OS_LABEL: Final = "kubernetes.io/os"
"""Set by every kubelet. A node that names another system than Linux is not ours."""

_LINUX: Final = frozenset({"linux", None})
"""A node without the label counts as Linux: old clusters did not set it."""

Test = Callable[[str | None], bool]
"""Tells whether a label's value will do; ``None`` means that there is no label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """Who governs whom."""

    governing: Mapping[str, ConntrackPolicy]
    """Node name to its policy; a node that no policy selects is not in it."""

    losses: Mapping[str, tuple[Loss, ...]]
    """Policy UID to what others took from it, the strongest winner first."""


def match(policies: Iterable[ConntrackPolicy], nodes: Iterable[NodeRow]) -> Matching:
    """
    Find the policy of every node.

    The highest priority wins, then the older policy, then the lower name. Policies
    that are being deleted govern nothing.

    Args:
        policies: In any order.
        nodes: In any order, each name once.

    Returns:
        The same for every order of the arguments.
    """
    ranked = sorted((each for each in policies if not each.deleting), key=_rank)
    requirements = [_requirements(each.spec.node_selector) for each in ranked]
    keys = sorted({each.key for every in requirements for each in every})
    columns = {key: column for column, key in enumerate(keys, start=1)}
    selectors = [
        (policy, tuple((columns[each.key], _test(each)) for each in every))
        for policy, every in zip(ranked, requirements, strict=True)
    ]
    # Nodes that agree on all labels that any selector asks for have the same answer.
    # Fleets have few such groups, so few groups are evaluated instead of many nodes.
    groups: dict[tuple[str | None, ...], tuple[ConntrackPolicy, ...]] = {}
    sizes: Counter[tuple[str | None, ...]] = Counter()
    governing: dict[str, ConntrackPolicy] = {}
    for node in nodes:
        group = tuple(map(node.labels.get, (OS_LABEL, *keys)))
        selecting = groups.get(group)
        if selecting is None:
            selecting = groups[group] = _selecting(selectors, group)
        if selecting:
            governing[node.name] = selecting[0]
            sizes[group] += 1
    taken: Counter[tuple[str, str]] = Counter()
    for group, size in sizes.items():
        winner, *losers = groups[group]
        for loser in losers:
            taken[loser.uid, winner.uid] += size
    return Matching(governing=governing, losses=_losses(ranked, taken))


def _rank(policy: ConntrackPolicy) -> tuple[int, str, str]:
    """
    Give the sorting key that puts the winner first.
    """
    return (-policy.spec.priority, policy.created, policy.name)


def _requirements(selector: LabelSelector) -> tuple[Requirement, ...]:
    """
    Write a selector as requirements only.
    """
    labels = (
        Requirement(key=key, operator=Operator.IN, values=(value,))
        for key, value in selector.match_labels.items()
    )
    return (*labels, *selector.match_expressions)


def _test(requirement: Requirement) -> Test:
    """
    Compile one requirement.

    Source:
        Kubernetes, "Labels and Selectors": NotIn also accepts nodes without the label.
    """
    values = frozenset(requirement.values)
    match requirement.operator:
        case Operator.IN:
            return values.__contains__
        case Operator.NOT_IN:
            return lambda value: value not in values
        case Operator.EXISTS:
            return lambda value: value is not None
        case Operator.DOES_NOT_EXIST:
            return lambda value: value is None


def _selecting(
    selectors: Iterable[tuple[ConntrackPolicy, tuple[tuple[int, Test], ...]]],
    group: tuple[str | None, ...],
) -> tuple[ConntrackPolicy, ...]:
    """
    List the policies that select a group of nodes, the winner first.

    Args:
        selectors: Each with its tests, and the columns of the group that they test.
        group: Values of labels, that of the system first.
    """
    if group[0] not in _LINUX:
        return ()
    found: list[ConntrackPolicy] = []
    for policy, tests in selectors:
        for column, test in tests:
            if not test(group[column]):
                break
        else:
            found.append(policy)
    return tuple(found)


def _losses(
    ranked: Iterable[ConntrackPolicy], taken: Mapping[tuple[str, str], int]
) -> dict[str, tuple[Loss, ...]]:
    """
    Group what was taken by the policy that lost it.
    """
    order = list(ranked)
    found: dict[str, tuple[Loss, ...]] = {}
    for loser in {loser for loser, _ in taken}:
        found[loser] = tuple(
            Loss(winner=winner, nodes=taken[loser, winner.uid])
            for winner in order
            if (loser, winner.uid) in taken
        )
    return found
