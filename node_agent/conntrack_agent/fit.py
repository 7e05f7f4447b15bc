"""
How much of what a node has to say goes into a status of at most 2 KiB.

Computes only. Fifteen thousand nodes write these, and etcd keeps each one: what is said
first is kept, and what is left out is counted. Sizes are coarse steps, so that a number
which grows by a digit does not change what is left out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from conntrack_api.codec import to_object
from conntrack_api.node import NodeStatus
from conntrack_api.settings import SETTINGS

MOST_BYTES: Final = 2048
"""Of the whole status as JSON without spaces."""

BASELINE_LEAST: Final = 4
"""Settings of the baseline for which sentences leave room."""

BASELINE_BYTES: Final = 64 * BASELINE_LEAST


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How long the sentences of a status may be."""

    condition: int
    """Bytes of a condition's message."""
    failure: int
    """Bytes of a failure's message."""
    failures: int
    """How many there are; the message of ``Ready`` counts the rest."""


ROOMS: Final = (
    Room(condition=400, failure=300, failures=8),
    Room(condition=300, failure=200, failures=3),
    Room(condition=240, failure=120, failures=2),
    Room(condition=160, failure=80, failures=1),
    Room(condition=100, failure=0, failures=0),
)
"""From the widest to the narrowest; the first in which everything fits is taken."""


def fitted(status: NodeStatus) -> NodeStatus:
    """
    Make a status small enough.

    Args:
        status: Everything there is to say, but for a baseline of any size.

    Returns:
        The same with sentences cut, failures and settings of the baseline left out,
        as far as need be. The settings left out are counted.
    """
    bare = replace(status, baseline={}, baseline_omitted=None)
    for room in ROOMS:
        narrow = _within(bare, room)
        left = MOST_BYTES - size(narrow)
        if left >= BASELINE_BYTES:
            break
    return _with_baseline(narrow, status.baseline, left)


def size(value: object) -> int:
    """
    Give the bytes of a value as JSON in UTF-8, without spaces.
    """
    text = json.dumps(to_object(value), ensure_ascii=False, separators=(",", ":"))
    return len(text.encode("utf-8", "replace"))


def cut(text: str, most: int) -> str:
    """
    Shorten a text, visibly, until it takes at most some bytes as JSON.
    """
    if _bytes(text) <= most:
        return text
    left, kept = most - len("..."), 0
    for each in text:
        left -= _bytes(each)
        if left < 0:
            break
        kept += 1
    return f"{text[:kept]}..."


def _bytes(text: str) -> int:
    """
    Give the bytes of a text within JSON; a plain one, which most are, is not encoded.
    """
    plain = text.isascii() and text.isprintable()
    if plain and '"' not in text and "\\" not in text:
        return len(text)
    return size(text) - len('""')


def _within(status: NodeStatus, room: Room) -> NodeStatus:
    """
    Cut the sentences of a status.
    """
    return replace(
        status,
        failures=tuple(
            replace(each, message=cut(each.message, room.failure))
            for each in status.failures[: room.failures]
        ),
        conditions=tuple(
            replace(each, message=cut(each.message, room.condition))
            for each in status.conditions
        ),
    )


def _with_baseline(
    status: NodeStatus, baseline: Mapping[str, int], left: int
) -> NodeStatus:
    """
    Add as much of the baseline as fits, in the order of the table of settings.
    """
    left -= len(',"baselineOmitted":99')
    kept: dict[str, int] = {}
    for row in SETTINGS:
        if row.name in baseline:
            # Every value counts as the longest, so that none moves another one.
            left -= len(f'"{row.name}":{1 << 31},')
            if left < 0:
                break
            kept[row.name] = baseline[row.name]
    omitted = len(baseline) - len(kept) or None
    return replace(status, baseline=kept, baseline_omitted=omitted)
