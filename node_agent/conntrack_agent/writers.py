"""
Who may have changed a value: a guess by the numbers, named only when they fit.

Computes only. The kernel does not tell who writes; but programs that set this table
compute their numbers by known formulas.
"""

from collections.abc import Iterable, Mapping
from typing import Final

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

_MAX: Final = NF_CONNTRACK_MAX.name
_BUCKETS: Final = NF_CONNTRACK_BUCKETS.name


def likely_writer(
    drifted: Iterable[Change], baseline: Mapping[str, int], cores: int
) -> str:
    """
    Name the likely writer of values that are not ours.

    Args:
        drifted: What would put them back; ``before`` is what was found.
        baseline: Kernel name to the value found before our first write.
        cores: Online; 0 when they cannot be counted.

    Returns:
        Words for a message; empty when the numbers fit nobody.

    Source:
        Kubernetes, ``cmd/kube-proxy/app/server_linux.go``, ``getConntrackMax``.
    """
    found = {each.setting: each.before for each in drifted}
    if found.keys() <= {_MAX, _BUCKETS} and (text := _kube_proxy(found, cores)):
        return text
    # One value may be back by chance.
    if len(found) > 1 and all(found[name] == baseline.get(name) for name in found):
        return (
            f"all {len(found)} are as they were before our first write, as after the "
            "module was loaded anew"
        )
    return ""


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
