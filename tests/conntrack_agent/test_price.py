"""What an entry costs, on kernels that say so and on others."""

from pathlib import Path

import pytest

from conntrack_agent.price import ENTRY_BYTES, Slab, slab, table_bytes

FIXTURES = Path(__file__).parent / "fixtures"
HEADS = {"nf_conntrack_buckets": 1000}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ip_conntrack-2.6", Slab(object_bytes=316, objects=13, total_bytes=8192)),
        ("linux-4.4", Slab(object_bytes=293, objects=229, total_bytes=18 * 4096)),
        ("linux-5.4", Slab(object_bytes=342, objects=187, total_bytes=16 * 4096)),
        ("linux-6.1", Slab(object_bytes=256, objects=16, total_bytes=4096)),
        ("linux-7.2", Slab(object_bytes=256, objects=28, total_bytes=2 * 4096)),
    ],
)
def test_captured_caches(name: str, expected: Slab) -> None:
    """One cache or one for each namespace; expectations are not entries."""
    text = (FIXTURES / name / "proc/slabinfo").read_text()

    assert expected == slab(text, 4096)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "slabinfo - version: 2.1\n# name\n",
        "nf_conntrack\n",
        "nf_conntrack 1 2 3\n",
        "nf_conntrack a b c d e : tunables 0 0 0 : slabdata 1 1 0\n",
        "nf_conntrack 1 1 256 0 0 : tunables 0 0 0 : slabdata 1 1 0\n",
    ],
)
def test_without_the_caches_there_is_no_price(text: str) -> None:
    """The usual price is taken then."""
    assert slab(text, 4096) is None


def test_a_price_leaves_room_for_extensions() -> None:
    """Masquerading adds them one by one, and no switch tells of it."""
    assert 384 == Slab(object_bytes=256, objects=0, total_bytes=0).entry_bytes


@pytest.mark.parametrize(
    ("found", "values", "expected"),
    [
        (None, HEADS, 10 * ENTRY_BYTES + 8000),
        (None, {}, 10 * ENTRY_BYTES),
        (Slab(object_bytes=256, objects=30, total_bytes=8192), HEADS, 8192 + 8000),
        (
            Slab(object_bytes=256, objects=30, total_bytes=8192),
            {**HEADS, "nf_conntrack_acct": 1},
            8192 + 8000 + 30 * 128,
        ),
    ],
)
def test_what_a_table_takes(
    found: Slab | None, values: dict[str, int], expected: int
) -> None:
    """The caches know the entries of every namespace, we only ours."""
    assert expected == table_bytes(found, 10, values)
