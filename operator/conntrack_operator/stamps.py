"""
Stamps: what is known about a spec only at the moment when it is written.

Computes only. What is planned carries the stamps of what is there, so that they alone
are never a difference.
"""

from dataclasses import replace
from datetime import datetime

from conntrack_api.node import NodeSpec
from conntrack_operator.rows import ConntrackNodeRow


def stamped(
    spec: NodeSpec, current: ConntrackNodeRow | None, *, epoch: int, now: datetime
) -> NodeSpec:
    """
    Complete a spec with what is known only when it is written.

    Args:
        spec: As planned.
        current: The object that it replaces; ``None`` when there is none.
        epoch: Of our lease. It makes no difference by itself: another holder has
            nothing to write to a fleet that is as it should be.
        now: The present time, with a time zone.
    """
    told = current.spec if current else None
    spec = replace(spec, epoch=epoch)
    if told is not None and told.revision == spec.revision:
        return spec
    return replace(spec, revised_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"))
