"""
Figures: what the operator counts about itself; values only.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from conntrack_api.policy_status import NodeCounts


@dataclass(slots=True, kw_only=True)
class Figures:
    """Kept by the reconciler, read by whoever scrapes."""

    passes: int = 0
    pass_seconds: float = 0.0
    """Of all passes together."""
    writes: Counter[str] = field(default_factory=Counter)
    """Outcomes of writes to ConntrackNodes."""
    events: Counter[str] = field(default_factory=Counter)
    """Outcomes of events."""
    policies: Mapping[str, NodeCounts] = field(default_factory=dict)
    """Policy name to what its status says."""
    epoch: int | None = None
    """Of our lease; ``None`` while it is not ours."""
    synced: bool = False
    """Nodes and ConntrackNodes are completely known."""
