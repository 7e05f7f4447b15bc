"""
The little Markdown that the pages need.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NOTICE = "<!-- Written by `make fmt`. Do not edit. -->"
"""First line of every page."""


def code(text: str) -> str:
    """
    Set a name apart.
    """
    return f"`{text}`"


def prose(text: str) -> str:
    """
    Put each sentence on a line of its own, wherever the lines of a text break.
    """
    return re.sub(r"(?<=\.) (?=[A-Z`])", "\n", " ".join(text.split()))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """
    Make a table.

    Args:
        head: Names of the columns.
        rows: As many texts each; a bar inside is escaped.

    Returns:
        Lines without a line break at the end.
    """
    lines = [_line(head), _line(["---"] * len(head))]
    lines += [_line([each.replace("|", "\\|") for each in row]) for row in rows]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def page(*blocks: str) -> str:
    """
    Put blocks under each other, an empty line between, below the notice.
    """
    return "\n\n".join((NOTICE, *blocks)) + "\n"
