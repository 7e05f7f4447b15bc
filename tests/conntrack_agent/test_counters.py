"""How far counters have moved, whatever kernels do to them meanwhile."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conntrack_agent.counters import Counts, Tally, parse
from conntrack_api.node import Drops

FIXTURES = Path(__file__).parent / "fixtures"
WRAP = 1 << 32


def counts(drop: int = 0, early: int = 0, failed: int = 0, chain: int = 0) -> Counts:
    """One CPU."""
    return (drop, early, failed, chain)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linux-5.10", {"0": counts(), "1": counts(drop=5)}),
        ("linux-6.1", {"0": counts(), "1": counts(drop=5)}),
        ("linux-7.2", {"0": counts(), "1": counts(drop=5)}),
    ],
)
def test_a_captured_file_is_read_by_its_head(
    name: str, expected: dict[str, Counts]
) -> None:
    """Columns moved and changed their names; ours are found all the same."""
    text = (FIXTURES / name / "proc/net/stat/nf_conntrack").read_text()

    assert expected == parse(text)


def test_chains_that_are_too_long_have_their_own_column() -> None:
    """``delete_list`` stood at its place before 5.15 and is not taken for it."""
    old = "entries delete_list insert_failed drop early_drop\n0 9 a b c\n"

    assert {"0": counts(11, 12, 10, 0)} == parse(old)
    assert {"0": counts(11, 12, 10, 9)} == parse(
        old.replace("delete_list", "chainlength")
    )


@pytest.mark.parametrize("text", ["", "\n", "0001 0002\n", "drop\nmany\n", "entries\n"])
def test_what_is_no_table_of_counters_is_none(text: str) -> None:
    """Nothing is guessed."""
    assert {} == parse(text)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        pytest.param([{"0": counts(5)}], 0, id="what was before us is not ours"),
        pytest.param([{"0": counts(5)}, {"0": counts(8)}], 3, id="counted"),
        pytest.param(
            [{"0": counts(WRAP - 2)}, {"0": counts(3)}], 5, id="wrapped after 32 bits"
        ),
        pytest.param(
            [{"0": counts(100)}, {"0": counts(4)}], 4, id="module loaded again"
        ),
        pytest.param(
            [{"0": counts(1)}, {"0": counts(1), "1": counts(9)}], 0, id="a CPU comes"
        ),
        pytest.param(
            [
                {"0": counts(1), "1": counts(9)},
                {"0": counts(1)},
                {"0": counts(2), "1": counts(11)},
            ],
            3,
            id="a CPU goes and comes back",
        ),
        pytest.param(
            [{"0": counts(drop=0)}, {"0": counts(drop=9, failed=4)}],
            5,
            id="a clash is no full table",
        ),
        pytest.param(
            [{"0": counts(drop=0)}, {"0": counts(drop=9, failed=4, chain=4)}],
            9,
            id="a long chain moves no drop",
        ),
    ],
)
def test_drops_of_a_full_table(samples: list[dict[str, Counts]], expected: int) -> None:
    """Only what was dropped since our first sight, whatever counters do."""
    tally = Tally(last=samples[0])
    for sample in samples:
        tally = tally.after(sample)

    assert expected == tally.drops().table


def test_every_counter_is_said() -> None:
    """The status has all four."""
    tally = Tally(last={"0": counts()}).after({"0": counts(10, 20, 30, 26)})

    expected = Drops(table=6, early=20, insert_failed=30, chain_too_long=26)
    assert expected == tally.drops()


@given(st.lists(st.integers(0, WRAP // 2 - 1), max_size=20), st.integers(0, WRAP - 1))
def test_any_row_of_steps_adds_up(steps: list[int], start: int) -> None:
    """However often a counter wraps, the steps between two looks are all counted."""
    tally, shown = Tally(last={"0": counts(start)}), start
    for step in steps:
        shown = (shown + step) % WRAP
        tally = tally.after({"0": counts(shown)})

    assert sum(steps) == tally.drops().table
