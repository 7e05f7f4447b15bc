"""
Run inside a guest: print the connection tracking files of its kernel as JSON.

Standard library only, and nothing of this package: the guest does not have it.
"""

from __future__ import annotations

import json
import stat
from pathlib import Path

WHOLE = (
    "proc/sys/net/nf_conntrack_max",
    "proc/sys/net/netfilter/nf_conntrack_*",
    "proc/sys/net/netfilter/nf_flowtable_*",
    "proc/sys/net/ipv4/ip_conntrack_max",
    "proc/sys/net/ipv4/netfilter/ip_conntrack_*",
    "sys/module/nf_conntrack/parameters/*",
    "sys/module/ip_conntrack/parameters/*",
    "proc/net/nf_conntrack",
    "proc/net/stat/nf_conntrack",
    "proc/net/stat/ip_conntrack",
    "proc/sys/kernel/osrelease",
    "proc/sys/kernel/random/boot_id",
    "proc/meminfo",
)
"""Files that are taken as they are; none of them is in every kernel."""

LINES = {
    "proc/stat": ("cpu",),
    "proc/slabinfo": ("slabinfo", "#", "nf_conntrack", "ip_conntrack"),
}
"""Long files, of which only the lines that begin so are of use here."""


def main() -> None:
    """
    Print one line: a word to find it by, and for each path its mode and text.
    """
    tree = {}
    for pattern in (*WHOLE, *LINES):
        for path in sorted(Path("/").glob(pattern)):
            text = path.read_text()
            beginnings = LINES.get(pattern)
            if beginnings is not None:
                lines = text.splitlines(keepends=True)
                text = "".join(line for line in lines if line.startswith(beginnings))
            mode = stat.S_IMODE(path.stat().st_mode)
            tree[str(path)] = {"mode": f"{mode:04o}", "text": text}
    print("TREE " + json.dumps(tree))


if __name__ == "__main__":
    main()
