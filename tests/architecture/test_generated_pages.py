"""
The pages that are made from the contract are as the contract is now.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from conntrack_api.settings import SETTINGS
from generate.__main__ import main, pages
from generate.markdown import prose, table

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_pages_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """
    ``make fmt`` would change nothing.
    """
    code = main(["--check"])

    assert ("", 0) == (capsys.readouterr().err, code)


def test_an_outdated_page_is_named_and_written_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Comparing writes nothing and says what to run; writing makes it right.
    """
    path = tmp_path / "page.md"
    run = partial(main, pages=lambda: {path: "new\n"}, root=tmp_path)

    before = run(["--check"])
    said = capsys.readouterr().err
    wrote = path.exists(), run([]), path.read_text(), run(["--check"])

    assert (1, "page.md is out of date; run: make fmt\n") == (before, said)
    assert (False, 0, "new\n", 0) == wrote


def test_every_setting_is_on_the_page(root: Path) -> None:
    """
    Field and kernel name of each of them stand in one row.
    """
    rows = pages()[root / "docs" / "settings.md"].splitlines()

    for setting in SETTINGS:
        start = f"| `{setting.field}` | `{setting.name}` |"
        assert 1 == sum(row.startswith(start) for row in rows)


def test_tables_are_whole(root: Path) -> None:
    """
    Each row has as many cells as the head of its table.
    """
    for text in pages().values():
        for block in text.split("\n\n"):
            if block.startswith("|"):
                bars = {
                    len(re.findall(r"(?<!\\)\|", row)) for row in block.splitlines()
                }
                assert 1 == len(bars), block

    assert root / "docs" / "api.md" in pages()


def test_prose_has_one_sentence_on_a_line() -> None:
    """
    Wherever the source breaks its lines, a page breaks them at sentences.
    """
    assert "One.\nTwo three." == prose("One. Two\nthree.")
    assert "As of 5.10 it is 7." == prose("As of 5.10\nit is 7.")


def test_a_bar_in_a_cell_is_no_border() -> None:
    """
    Text with a bar stays in its cell.
    """
    assert "| a |\n| --- |\n| x \\| y |" == table(["a"], [["x | y"]])
