"""
What the kernel's log says of a full table: a hint, and never more than that.

Computes only. The line is rate limited together with those of the whole network stack,
so that none does not mean that nothing was dropped. Up to Linux 6.12 it does not say
whose table was full, that of this node or that of a pod. Counters count; this helps a
person where there are none, or where they surprise.

Source: Linux, ``net/netfilter/nf_conntrack_core.c``, ``__nf_conntrack_alloc``;
``net/core/utils.c``, ``net_ratelimit``.
"""

import re
from dataclasses import dataclass
from typing import Final

RECENT: Final = 600.0
"""Seconds after which a line explains nothing any more."""

_LINE: Final = re.compile(
    # The kernel's own: what a program writes into its log has a facility above 7.
    r"^<[0-7]>"
    r"(?:\[ *([0-9]{1,10}\.[0-9]{1,6})\])?(?:\[ *[TC][0-9]+\])? ?"
    # "in netns" speaks of another table: that of the host has no number.
    r"(?:(?:nf|ip)_conntrack: )+table full, dropping packet\.?$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FullLine:
    """A line of the log that says that the table of the host was full."""

    at: float | None
    """Seconds since boot; ``None``: this log has no time stamps."""


def last_full(text: str) -> FullLine | None:
    """
    Find the youngest line of its kind.

    Args:
        text: Lines as syslog(2) gives them, each with its level: ``<4>[ 12.5] text``.

    Returns:
        ``None`` when there is none.
    """
    found = None
    for each in _LINE.finditer(text):
        found = each
    return found and FullLine(at=float(found[1]) if found[1] else None)


def said(line: FullLine, found_at: float, now: float) -> str:
    """
    Put a line into words, for a message.

    Args:
        line: As it was found.
        found_at: When that was, monotonic seconds.
        now: Monotonic seconds.

    Returns:
        Empty when the line is not recent. The age follows the log's clock, which no
        time server corrects: it may be off by seconds after a day.
    """
    age = now - (found_at if line.at is None else min(line.at, found_at))
    if age > RECENT:
        return ""
    when = "at an unknown time" if line.at is None else f"{age:.0f} s ago"
    return f'the kernel\'s log says "table full", {when}'
