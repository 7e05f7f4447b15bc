"""
What separates a kernel from its spec, as ordered changes and reasoned refusals.

Computes only; `apply` has the effects. A setting that this kernel lacks, or that must
not be changed, is said by name and does not hide the others. What the size of the
table needs is in `size`.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from conntrack_agent.changes import Change, Difference
from conntrack_agent.observations import Observation, file_of
from conntrack_agent.size import limit_order, resize
from conntrack_agent.stall import Stall
from conntrack_api.conditions import NodeReason
from conntrack_api.node import Failure, NodeSpec
from conntrack_api.settings import (
    BY_NAME,
    NF_CONNTRACK_BUCKETS,
    NF_CONNTRACK_EVENTS,
    NF_CONNTRACK_MAX,
    TCP_IGNORE_INVALID_RST,
    Unit,
    rounded_buckets,
)
from conntrack_api.table import Adjust

_MAX: Final = NF_CONNTRACK_MAX.name
_BUCKETS: Final = NF_CONNTRACK_BUCKETS.name
_SIZE: Final = (_MAX, _BUCKETS)
_EVENTS: Final = NF_CONNTRACK_EVENTS.name
_AUTO: Final = NF_CONNTRACK_EVENTS.words["Auto"]
_NEWER: Final = TCP_IGNORE_INVALID_RST.name


def diff(spec: NodeSpec, seen: Observation, stall: Stall | None = None) -> Difference:
    """
    Compare what is asked with what is.

    Args:
        spec: What the node was told.
        seen: The kernel as it was found.
        stall: What a resize may cost now; ``None``: anything.

    Returns:
        Changes in the order in which they are to be written, and a refusal for each
        setting that cannot or must not be changed. Both empty: nothing to do.
    """
    if seen.entries is None:
        message = "connection tracking is not loaded on this host; nothing tracks yet"
        return Difference(
            refusals=tuple(
                Failure(setting=name, reason=NodeReason.NOT_LOADED, message=message)
                for name in spec.settings
            )
        )
    asked = {name: spec.settings[name] for name in spec.settings if name in seen.values}
    lacking = tuple(_lacking(spec.settings, seen))
    return _compared(asked, spec.adjust, seen, lacking, stall)


def revert(
    baseline: Mapping[str, int], seen: Observation, stall: Stall | None = None
) -> Difference:
    """
    Compare the baseline with what is.

    Args:
        baseline: Kernel name to the value found before our first write of it.
        seen: The kernel as it was found.
        stall: What a resize may cost now; ``None``: anything.

    Returns:
        As `diff`, with the same care: a baseline that no longer fits is refused. A
        setting that is gone has nothing left to bring back.
    """
    asked = {name: baseline[name] for name in baseline if name in seen.values}
    unreadable = {name: baseline[name] for name in baseline if name in seen.unreadable}
    lacking = tuple(_lacking(unreadable, seen))
    return _compared(asked, Adjust.EXACT, seen, lacking, stall)


def _compared(
    asked: Mapping[str, int],
    adjust: Adjust,
    seen: Observation,
    lacking: tuple[Failure, ...],
    stall: Stall | None,
) -> Difference:
    """
    Compare settings that this kernel has.
    """
    differing = {
        name: value
        for name, value in asked.items()
        if _differs(name, value, adjust, seen)
    }
    size = resize(
        {
            name: _as_shown(name, value, seen)
            for name, value in differing.items()
            if name in _SIZE
        },
        seen,
        stall,
    )
    rest = {name: value for name, value in differing.items() if name not in _SIZE}
    without_auto = _without_auto(seen)
    harmful = {
        name: Failure(
            setting=name,
            reason=NodeReason.WRITE_REFUSED,
            message=f"{value} is never written, allowed are "
            f"{BY_NAME[name].minimum} to {BY_NAME[name].maximum}",
        )
        for name, value in rest.items()
        if BY_NAME[name].unit == Unit.SECONDS
        and not BY_NAME[name].minimum <= value <= BY_NAME[name].maximum
    }
    if rest.get(_EVENTS) == _AUTO and _NEWER not in (*seen.values, *seen.unreadable):
        harmful[_EVENTS] = Failure(
            setting=_EVENTS, reason=NodeReason.WRITE_REFUSED, message=without_auto
        )
    changes = tuple(
        Change(
            setting=name,
            file=file_of(name, seen.buckets_path, legacy=seen.legacy),
            before=seen.values[name],
            after=value,
            hint=without_auto if (name, value) == (_EVENTS, _AUTO) else "",
        )
        for name, value in rest.items()
        if name not in harmful
    )
    return Difference(
        changes=size.changes + changes,
        refusals=size.refusals + tuple(harmful.values()) + lacking,
    )


def _without_auto(seen: Observation) -> str:
    """
    Say that events cannot be Auto here.

    Kernels before 5.3 take any number and mean Enabled, the next ones refuse it; only
    those that have a switch which came shortly before Auto are asked.
    """
    return (
        f"this kernel ({seen.host.kernel[:64]}) has no Auto for {_EVENTS}, only "
        "Enabled and Disabled"
    )


def _differs(name: str, value: int, adjust: Adjust, seen: Observation) -> bool:
    """
    Tell whether a setting has to change.
    """
    found, shown = seen.values[name], _as_shown(name, value, seen)
    if name not in _SIZE or adjust == Adjust.EXACT:
        return shown != found
    if name == _MAX:
        return limit_order(shown) > limit_order(found)
    return shown > found


def _as_shown(name: str, value: int, seen: Observation) -> int:
    """
    Give a value as this kernel will show it.
    """
    if name == _BUCKETS:
        return rounded_buckets(value, seen.host.page_bytes)
    return value


def _lacking(names: Mapping[str, int], seen: Observation) -> Iterator[Failure]:
    """
    Name the settings that this kernel does not have, or does not let us read.
    """
    for name in names:
        if name in seen.unreadable:
            yield Failure(
                setting=name,
                reason=NodeReason.WRITE_REFUSED,
                message=f"cannot be read, so it is not written: "
                f"{seen.unreadable[name]}",
            )
        elif name not in seen.values:
            yield Failure(
                setting=name,
                reason=NodeReason.UNSUPPORTED,
                message=f"this kernel ({seen.host.kernel[:64]}) has no {name}",
            )
