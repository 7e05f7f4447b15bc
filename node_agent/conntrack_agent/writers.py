"""
Who may have changed a value: a guess by the numbers, named only when they fit.

Computes only. The kernel does not tell who writes; but programs that set this table
take their numbers from files that can be read, or compute them by known formulas.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from conntrack_agent.assignments import Assignment
from conntrack_agent.changes import Change
from conntrack_api.settings import (
    NF_CONNTRACK_BUCKETS,
    NF_CONNTRACK_MAX,
    rounded_buckets,
)

PER_CORE: Final = 32768
FLOOR: Final = 131072
CAP: Final = 1048576
"""kube-proxy's ``conntrack.maxPerCore`` and ``min``; and its oldest releases' cap."""

MOST_NAMED: Final = 2
"""Values for which a sentence names the file before it counts the rest."""

LONGEST_PATH: Final = 72
"""Characters of a path in a message; its end says more than its beginning."""

_MAX: Final = NF_CONNTRACK_MAX.name
_BUCKETS: Final = NF_CONNTRACK_BUCKETS.name


def likely_writer(
    drifted: Iterable[Change],
    baseline: Mapping[str, int],
    cores: int,
    assignments: Iterable[Assignment] = (),
) -> str:
    """
    Name the likely writer of values that are not ours.

    Args:
        drifted: What would put them back; ``before`` is what was found.
        baseline: Kernel name to the value found before our first write.
        cores: Online; 0 when they cannot be counted.
        assignments: What the host's configuration files set.

    Returns:
        Words for a message, of everything that fits; empty when nothing does.

    Source:
        Kubernetes, ``cmd/kube-proxy/app/server_linux.go``, ``getConntrackMax``.
    """
    found = {each.setting: each.before for each in drifted}
    told = [_files(found, assignments)]
    if found.keys() <= {_MAX, _BUCKETS}:
        told.append(_kube_proxy(found, cores))
    # One value may be back by chance.
    if len(found) > 1 and all(found[name] == baseline.get(name) for name in found):
        told.append(
            f"all {len(found)} are as they were before our first write, as after the "
            "module was loaded anew"
        )
    return "; ".join(each for each in told if each)


def _files(found: Mapping[str, int], assignments: Iterable[Assignment]) -> str:
    """
    Find the lines that set what was found; the kernel rounds buckets up.
    """
    named = [
        f"{_shown(each.file)} line {each.line} sets {each.setting} to {each.value}"
        for each in assignments
        if each.value is not None
        and found.get(each.setting) == _as_shown(each.setting, each.value)
    ]
    more = f" and {len(named) - MOST_NAMED} more" if named[MOST_NAMED:] else ""
    return ", ".join(named[:MOST_NAMED]) + more


def _as_shown(setting: str, value: int) -> int:
    """
    Give a value as the kernel shows it.
    """
    return rounded_buckets(value) if setting == _BUCKETS and value > 0 else value


def _shown(path: str) -> str:
    """
    Make a path fit for a message, whatever is in it.
    """
    plain = ascii(path)[1:-1]
    return plain if len(plain) <= LONGEST_PATH else f"...{plain[3 - LONGEST_PATH :]}"


def _kube_proxy(found: Mapping[str, int], cores: int) -> str:
    """
    Compare with what kube-proxy computes when nobody configured it.
    """
    computed = max(FLOOR, cores * PER_CORE)
    for limit in (computed, min(computed, CAP)):
        numbers = {_MAX: limit, _BUCKETS: rounded_buckets(limit // 4)}
        if cores and found and all(numbers[name] == found[name] for name in found):
            return (
                f"the numbers are kube-proxy's for {cores} cores; set its "
                "conntrack.maxPerCore and conntrack.min to 0"
            )
    return ""
