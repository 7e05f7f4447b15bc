"""
The table of settings.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conntrack_api.settings import (
    BY_NAME,
    FLAGS,
    MAX_BUCKETS,
    MAX_ENTRIES,
    MAX_TIMEOUT_SECONDS,
    NF_CONNTRACK_BUCKETS,
    NF_CONNTRACK_MAX,
    SETTINGS,
    TIMEOUTS,
    Setting,
    Unit,
    rounded_buckets,
)

rows = pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.name)


def test_names_and_fields_are_unique() -> None:
    """
    One field, one kernel variable.
    """
    assert len(SETTINGS) == len(BY_NAME)
    assert len(SETTINGS) == len({row.field for row in SETTINGS})
    assert (NF_CONNTRACK_MAX, NF_CONNTRACK_BUCKETS, *TIMEOUTS, *FLAGS) == SETTINGS


@rows
def test_a_row_is_whole(row: Setting) -> None:
    """
    The kernel's own name, its file, sane bounds, and words for a person.
    """
    assert row.name.startswith("nf_conntrack_")
    assert f"netfilter/{row.name}" == row.file
    assert f"ipv4/netfilter/{row.name.replace('nf_', 'ip_')}" == row.legacy_file
    assert (0 if row in FLAGS else 1) <= row.minimum < row.maximum <= MAX_ENTRIES
    assert row.note
    assert not row.note.endswith(".")
    assert row.kernel_default
    assert row is BY_NAME[row.name]


@pytest.mark.parametrize("row", TIMEOUTS, ids=lambda row: row.field)
def test_a_timeout_is_stored_by_every_kernel_as_given(row: Setting) -> None:
    """
    Zero destroys flows; beyond the ceiling old kernels store something else.
    """
    assert (1, MAX_TIMEOUT_SECONDS, Unit.SECONDS) == (
        row.minimum,
        row.maximum,
        row.unit,
    )
    assert MAX_TIMEOUT_SECONDS == (2**31 - 1) // 1000
    assert 1 <= int(row.kernel_default.split()[0]) <= row.maximum


@pytest.mark.parametrize("row", FLAGS, ids=lambda row: row.field)
def test_a_flag_is_words_for_numbers_within_its_bounds(row: Setting) -> None:
    """
    Each word has a number of its own; without words the number itself is said.
    """
    numbers = set(row.words.values())

    assert len(numbers) == len(row.words)
    assert (row.unit is Unit.WORD) == bool(row.words)
    assert not numbers or (row.minimum, row.maximum) == (min(numbers), max(numbers))
    assert row.kernel_default.split()[0] in (row.words or {"3": 3})


def test_the_largest_table_is_possible() -> None:
    """
    With the most buckets, the largest limit keeps the ratio.
    """
    assert MAX_ENTRIES <= 8 * MAX_BUCKETS


@pytest.mark.parametrize(
    ("wish", "page", "expected"),
    [
        (1, 4096, 512),
        (512, 4096, 512),
        (513, 4096, 1024),
        (262_144, 4096, 262_144),
        (262_145, 4096, 262_656),
        (262_145, 65_536, 270_336),
        (MAX_BUCKETS, 4096, MAX_BUCKETS),
    ],
)
def test_kernels_round_buckets_up_to_whole_pages(
    wish: int, page: int, expected: int
) -> None:
    """
    A page of 4 KiB holds 512 bucket heads, one of 64 KiB holds 8192.
    """
    assert expected == rounded_buckets(wish, page)


@given(st.integers(1, MAX_BUCKETS), st.sampled_from([4096, 16_384, 65_536]))
def test_rounding_is_upwards_and_final(wish: int, page: int) -> None:
    """
    Never fewer than asked, less than a page more, and the result stays as it is.
    """
    rounded = rounded_buckets(wish, page)

    assert wish <= rounded < wish + page // 8
    assert rounded == rounded_buckets(rounded, page)
