"""
Timeouts as people write them.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conntrack_api.durations import ALLOWED, flatten, nested, seconds
from conntrack_api.errors import Problem
from conntrack_api.settings import MAX_TIMEOUT_SECONDS, TIMEOUTS

timeouts = st.dictionaries(
    st.sampled_from([row.name for row in TIMEOUTS]),
    st.integers(1, MAX_TIMEOUT_SECONDS),
)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (1, 1),
        (600, 600),
        (86_400, 86_400),
        (432_000, 432_000),
        (2_147_483, 2_147_483),
        ("1s", 1),
        ("90s", 90),
        ("30m", 1800),
        ("1h30m", 5400),
        ("1h30m15s", 5415),
        ("1h15s", 3615),
        ("120h", 432_000),
        ("2147483s", 2_147_483),
        ("596h31m23s", 2_147_483),
        ("0h0m1s", 1),
        ("0000000000000001s"[-16:], 1),
    ],
)
def test_what_holds(written: object, expected: int) -> None:
    """
    Whole seconds, or hours, minutes and seconds in this order.
    """
    assert expected == seconds(written)


@pytest.mark.parametrize(
    "written",
    [
        0,
        -1,
        2_147_484,
        2**63,
        10**400,
        1.5,
        60.0,
        float("nan"),
        float("inf"),
        True,
        False,
        None,
        [],
        {},
        b"90s",
        "",
        " ",
        "0",
        "0s",
        "-1",
        "-5m",
        "600",
        "1:30",
        "5d",
        "1w",
        "never",
        "s",
        "h",
        "1.5h",
        "1e3",
        "1h 30m",
        " 30m",
        "30m\n",
        "30M",
        "30m1h",
        "1m1m",
        "1500ms",
        "\N{ARABIC-INDIC DIGIT THREE}s",
        "596h31m24s",
        "2147484s",
        "9999999h",
        "00000000000000001s",
        "9" * 1_000_000 + "s",
    ],
    ids=lambda written: repr(written)[:20],
)
def test_what_does_not_hold(written: object) -> None:
    """
    Kernels would take some of these for zero or for never; nobody means that.
    """
    assert seconds(written) is None


@given(st.integers(0, 596), st.integers(0, 59), st.integers(0, 59))
def test_parts_add_up(hours: int, minutes: int, rest: int) -> None:
    """
    Every combination of parts is their sum, as long as the sum is in bounds.
    """
    total = hours * 3600 + minutes * 60 + rest
    expected = total if 1 <= total <= MAX_TIMEOUT_SECONDS else None

    assert expected == seconds(f"{hours}h{minutes}m{rest}s")


@given(timeouts)
def test_nesting_and_flattening_undo_each_other(flat: dict[str, int]) -> None:
    """
    Every set of timeouts has one nested form, and comes back in the table's order.
    """
    problems: list[Problem] = []

    found = flatten(nested(flat), "spec.timeouts", problems, strict=True)

    assert (flat, []) == (found, problems)
    assert [row.name for row in TIMEOUTS if row.name in flat] == list(found)


def test_every_problem_has_its_own_path() -> None:
    """
    What holds is kept, and each field that does not is named.
    """
    problems: list[Problem] = []
    tree = {"tcp": {"established": "5d", "close": 10, "timeWait": 0}, "udp": 60}

    found = flatten(tree, "spec.timeouts", problems, strict=True)

    assert {"nf_conntrack_tcp_timeout_close": 10} == found
    assert [
        Problem(field="spec.timeouts.tcp.established", value="5d", allowed=ALLOWED),
        Problem(field="spec.timeouts.tcp.timeWait", value=0, allowed=ALLOWED),
        Problem(
            field="spec.timeouts.udp",
            value=60,
            allowed="an object with any of unreplied, stream",
        ),
    ] == problems


@pytest.mark.parametrize(
    ("tree", "path", "allowed"),
    [
        ({"udplite": {"stream": 1}}, "t.udplite", "tcp, udp, icmp, icmpv6"),
        (
            {"udp": {"timeout": 1}},
            "t.udp.timeout",
            "one of the fields unreplied, stream",
        ),
        ({"udp": {"timeout": None}}, "t.udp.timeout", "unreplied, stream"),
    ],
)
def test_an_unknown_field_is_a_problem_in_strict_mode_only(
    tree: object, path: str, allowed: str
) -> None:
    """
    People learn what could stand there; of a newer server's fields nothing is said.
    """
    strict: list[Problem] = []
    tolerant: list[Problem] = []

    assert {} == flatten(tree, "t", strict, strict=True)
    assert {} == flatten(tree, "t", tolerant, strict=False)

    (problem,) = strict
    assert path == problem.field
    assert allowed in problem.allowed
    assert [] == tolerant


def test_null_counts_as_left_out() -> None:
    """
    The API server drops it, so a file means the same here.
    """
    problems: list[Problem] = []
    tree = {"generic": None, "tcp": None, "udp": {"stream": None}}

    assert {} == flatten(tree, "t", problems, strict=True)
    assert [] == problems
