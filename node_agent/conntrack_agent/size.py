"""
Limit and buckets: two settings, one wish.

Computes only. The promises kept here:

- growing: buckets, then limit; shrinking: limit, then buckets, so that chains never
  get longer than either end state makes them (`_ordered`);
- one alone is never written where it would do harm without the other (`resize`);
- no resize that would stop packets for longer than allowed (`stall`);
- never a limit below the live entries plus headroom (`_limit_refusal`);
- never a size that the memory at hand cannot hold (`_memory_refusal`).
"""

from collections.abc import Mapping
from typing import Final

from conntrack_agent.changes import Change, Difference
from conntrack_agent.observations import Observation, file_of
from conntrack_agent.stall import Stall
from conntrack_agent.stall import refusal as stall_refusal
from conntrack_api.conditions import NodeReason
from conntrack_api.node import BucketsPath, Failure
from conntrack_api.settings import (
    BUCKET_BYTES,
    MAX_ENTRIES_PER_BUCKET,
    NF_CONNTRACK_BUCKETS,
    NF_CONNTRACK_MAX,
)

MIN_HEADROOM: Final = 1000
"""Entries that must still fit above the live ones after a shrink."""

HEADROOM_SHARE: Final = 10
"""One part in this many of the live entries, when that is more."""

_MAX: Final = NF_CONNTRACK_MAX.name
_BUCKETS: Final = NF_CONNTRACK_BUCKETS.name
_UNLIMITED: Final = 1 << 62


def resize(
    wanted: Mapping[str, int], seen: Observation, stall: Stall | None = None
) -> Difference:
    """
    Order the changes of limit and buckets, or say why they must not be made.

    Args:
        wanted:
            Kernel name to value, only of those that are to change, as the kernel
            will show them.
        seen: The kernel as it was found; has both names of `wanted`.
        stall: What a resize may cost now; ``None``: anything.

    Returns:
        Changes in the order in which they are to be written. Whatever is wanted and
        not changed is refused by name.
    """
    refused = {
        name: refusal
        for name in wanted
        if (refusal := _refusal(name, wanted, seen, stall)) is not None
    }
    ordered = _ordered(wanted, seen)
    for change in ordered:
        # Buckets without the limit that they were meant for would cost a resize, which
        # stops packets, and bring nothing.
        other = _MAX if change.setting == _BUCKETS else change.requires
        if change.setting not in refused and other in refused:
            refused[change.setting] = Failure(
                setting=change.setting,
                reason=refused[other].reason,
                message=f"left at {change.before}, since {other} cannot be changed",
            )
    return Difference(
        changes=tuple(each for each in ordered if each.setting not in refused),
        # What speaks for itself first, then what is left alone because of it.
        refusals=tuple(refused.values()),
    )


def limit_order(value: int) -> int:
    """
    Order limits: 0 and negative numbers are "no limit" on the kernels that take them.
    """
    return value if value > 0 else _UNLIMITED


def _ordered(wanted: Mapping[str, int], seen: Observation) -> tuple[Change, ...]:
    """
    Put limit and buckets in order, and tie them where one alone would do harm.
    """
    old_limit = limit_order(seen.values.get(_MAX, 0))
    old_buckets = seen.values.get(_BUCKETS, 0)
    limit = limit_order(wanted.get(_MAX, seen.values.get(_MAX, 0)))
    buckets = wanted.get(_BUCKETS, old_buckets)
    most = MAX_ENTRIES_PER_BUCKET
    limit_needs = limit > old_limit and limit > most * old_buckets
    buckets_need = buckets < old_buckets and old_limit > most * buckets
    needs = {
        _MAX: _BUCKETS if limit_needs and _BUCKETS in wanted else None,
        _BUCKETS: _MAX if buckets_need and _MAX in wanted else None,
    }
    order = (_BUCKETS, _MAX) if limit >= old_limit else (_MAX, _BUCKETS)
    return tuple(
        Change(
            setting=name,
            file=file_of(name, seen.buckets_path, legacy=seen.legacy),
            before=seen.values[name],
            after=wanted[name],
            requires=needs[name],
        )
        for name in order
        if name in wanted
    )


def _refusal(
    name: str, wanted: Mapping[str, int], seen: Observation, stall: Stall | None
) -> Failure | None:
    """
    Say why a size must not be written; ``None`` when it may.
    """
    if not seen.initial_namespace:
        return Failure(
            setting=name,
            reason=NodeReason.NOT_IN_INITIAL_NAMESPACE,
            message="the size of the table belongs to the host that this node runs in "
            "(a container such as a kind node, or an agent without hostNetwork); set "
            "it there. Timeouts are this node's own and are applied",
        )
    if name == _BUCKETS and seen.buckets_path == BucketsPath.NONE:
        return Failure(
            setting=name,
            reason=NodeReason.WRITE_REFUSED,
            message="neither nf_conntrack_buckets nor the module parameter hashsize "
            "can be opened for writing",
        )
    if name == _MAX and (refusal := _limit_refusal(wanted[name], seen)):
        return refusal
    if refusal := _memory_refusal(name, wanted, seen):
        return refusal
    return stall_refusal(stall, seen) if name == _BUCKETS and stall else None


def _limit_refusal(limit: int, seen: Observation) -> Failure | None:
    """
    Refuse a limit that would drop connections, or that is none.
    """
    if limit <= 0:
        return Failure(
            setting=_MAX,
            reason=NodeReason.WRITE_REFUSED,
            message="the table was found without a limit, and that is never written",
        )
    entries = seen.entries or 0
    needed = entries + max(MIN_HEADROOM, entries // HEADROOM_SHARE)
    if limit < needed and limit < limit_order(seen.values[_MAX]):
        return Failure(
            setting=_MAX,
            reason=NodeReason.WOULD_DROP,
            message=f"a limit of {limit} is too close to the {entries} live entries; "
            f"at least {needed} is needed",
        )
    return None


def _memory_refusal(
    name: str, wanted: Mapping[str, int], seen: Observation
) -> Failure | None:
    """
    Refuse a size that does not fit; the kernel would let the OOM killer make room.

    While buckets are resized the old and the new array exist together.
    """
    limit, buckets = wanted.get(_MAX, 0), wanted.get(_BUCKETS, 0)
    grow = buckets > seen.values.get(_BUCKETS, 0)
    price = 2 * buckets * BUCKET_BYTES if grow else 0
    if name == _MAX:
        if limit <= limit_order(seen.values[_MAX]):
            return None
        # Buckets that do not fit by themselves will not be there.
        price = price if price <= seen.available_bytes else 0
        price += max(0, limit - (seen.entries or 0)) * seen.entry_bytes
    if price <= seen.available_bytes:
        return None
    what = f"a full table of {limit} entries" if name == _MAX else f"{buckets} buckets"
    return Failure(
        setting=name,
        reason=NodeReason.NOT_ENOUGH_MEMORY,
        message=f"{what} may take {_mib(price)} more; "
        f"{_mib(seen.available_bytes)} are available",
    )


def _mib(number: int) -> str:
    """
    Give a number of bytes in MiB, for a message.
    """
    return f"{number / 1048576:.0f} MiB"
