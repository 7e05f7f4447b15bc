"""
The reasons of conditions are a closed list, and every one of them has a use.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from conntrack_api.conditions import NodeReason, PolicyReason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LISTS = {"PolicyReason": PolicyReason, "NodeReason": NodeReason}
FOLDERS = ("operator", "node_agent")


def nodes(root: Path) -> Iterator[tuple[str, ast.AST]]:
    """
    Give every syntax node of both sides, with its place.
    """
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                yield f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)}", node


def used(root: Path) -> dict[str, set[str]]:
    """
    Find the members that are named in code: list to names.
    """
    found: dict[str, set[str]] = {name: set() for name in LISTS}
    for _, node in nodes(root):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.get(node.value.id, set()).add(node.attr)
    return found


@pytest.mark.parametrize("name", LISTS)
def test_every_reason_that_is_used_is_in_the_list(name: str, root: Path) -> None:
    """
    Code names reasons by the members of the list, and they exist.
    """
    assert used(root)[name] <= set(LISTS[name].__members__)


@pytest.mark.parametrize("name", LISTS)
def test_every_reason_in_the_list_is_used(name: str, root: Path) -> None:
    """
    A reason that nothing gives would be a promise to people that nobody keeps.
    """
    assert set() == set(LISTS[name].__members__) - used(root)[name]


def test_no_reason_is_written_as_text(root: Path) -> None:
    """
    ``reason="..."`` in code would go past the list.
    """
    found = [
        place
        for place, node in nodes(root)
        if isinstance(node, ast.keyword)
        and node.arg == "reason"
        and isinstance(node.value, ast.Constant)
        and node.value.value
    ]

    assert [] == found
