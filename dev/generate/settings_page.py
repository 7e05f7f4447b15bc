"""
``docs/settings.md``: every kernel setting that a policy may ask for.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from conntrack_api.settings import (
    FLAGS,
    MAX_ENTRIES_PER_BUCKET,
    MAX_TIMEOUT_SECONDS,
    NF_CONNTRACK_BUCKETS,
    NF_CONNTRACK_MAX,
    TIMEOUTS,
)
from conntrack_api.table import DEFAULT_ENTRIES_PER_BUCKET
from generate.markdown import code, page, prose, table

if TYPE_CHECKING:
    from conntrack_api.settings import Setting

INTRODUCTION = """
A policy may ask for the settings on this page, and for no others. A field that is
left out leaves its setting alone: what the node has stays as it is. The kernel
default is what an untouched kernel has; a node's image or kube-proxy may have written
something else since. What a node had before the first write stands in
`status.baseline` of its `ConntrackNode`. The files of all settings are in
`/proc/sys/net/netfilter/`, under the kernel's name.
"""

SIZE = f"""
Both come from `spec.table` of a policy. A policy may give `entriesPerBucket` instead
of `buckets`; with neither, there is one bucket for every {DEFAULT_ENTRIES_PER_BUCKET}
entries. `maxEntries` is at most {MAX_ENTRIES_PER_BUCKET} times the buckets, because
newer kernels refuse flows without a message when the chains grow long. Where
`nf_conntrack_buckets` is read-only, the agent writes the module parameter `hashsize`,
which is the same number.
"""

TIME = f"""
All of them are whole seconds from 1 to {MAX_TIMEOUT_SECONDS}, which is 24 days and 20
hours. A policy may write a duration instead, in hours, minutes and seconds: `90s`,
`30m`, `1h30m`. Kernels accept zero and negative values as well, and flows are then
forgotten at once; a policy with such a value is refused. A changed timeout acts on a
flow from its next packet on.
"""

FLAGS_SAY = """
Words that say what the kernel has as a number; what the number was before stands in
the baseline. `Auto` for events came with Linux 5.19: where a kernel has none, the node
says so and leaves the setting as it is.
"""

_PROTOCOLS = {
    "tcp": "TCP",
    "udp": "UDP",
    "": "ICMP and everything else",
    "gre": "GRE",
    "sctp": "SCTP",
    "dccp": "DCCP",
}

_REMARKS = {"dccp": "Kernels from 6.17 on have no DCCP tracking any more."}


def settings_page() -> str:
    """
    Write the page.

    Returns:
        Markdown, one sentence on a line.
    """
    protocols = [
        block
        for protocol, rows in groupby(TIMEOUTS, _protocol)
        for block in _timeouts(protocol, list(rows))
    ]
    return page(
        "# Settings",
        prose(INTRODUCTION),
        "## Size of the table",
        prose(SIZE),
        table(
            ("Field", "Kernel name", "Unit", "Bounds", "Kernel default", "What it is"),
            map(_size_row, (NF_CONNTRACK_MAX, NF_CONNTRACK_BUCKETS)),
        ),
        "## Timeouts",
        prose(TIME),
        *protocols,
        "## Flags",
        prose(FLAGS_SAY),
        table(
            ("Field", "Kernel name", "Values", "Kernel default", "What it is"),
            map(_flag_row, FLAGS),
        ),
    )


def _protocol(row: Setting) -> str:
    """
    Give the first level below ``timeouts``; empty for fields that stand there alone.
    """
    return row.field.removeprefix("timeouts.").rpartition(".")[0]


def _timeouts(protocol: str, rows: list[Setting]) -> list[str]:
    """
    Write the section of one protocol.
    """
    head = ("Field", "Kernel name", "Kernel default", "What it is")
    remark = [_REMARKS[protocol]] if protocol in _REMARKS else []
    cells = [
        (code(row.field), code(row.name), row.kernel_default, _sentence(row.note))
        for row in rows
    ]
    return [f"### {_PROTOCOLS[protocol]}", *remark, table(head, cells)]


def _size_row(row: Setting) -> tuple[str, ...]:
    """
    Write the row of one of the two sizes.
    """
    return (
        code(row.field),
        code(row.name),
        row.unit.value,
        f"{row.minimum} to {row.maximum}",
        row.kernel_default,
        _sentence(row.note),
    )


def _flag_row(row: Setting) -> tuple[str, ...]:
    """
    Write the row of one switch: its words with their numbers, or its bounds.
    """
    words = ", ".join(f"{code(word)} ({value})" for word, value in row.words.items())
    return (
        code(row.field),
        code(row.name),
        words or f"{row.minimum} to {row.maximum} {row.unit}",
        row.kernel_default,
        _sentence(row.note),
    )


def _sentence(note: str) -> str:
    """
    Begin with a capital, unless the first word is a name of the kernel.
    """
    return note[0].upper() + note[1:]
