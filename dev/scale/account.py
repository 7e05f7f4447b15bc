"""
What the operator asked of the API server, by the server's own account: its audit log.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from control_plane.audit import AuditLog

OPERATOR: Final = "system:serviceaccount:conntrack-system:conntrack-operator"
_FIRST_FAILURE: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request that was answered."""

    at: float
    """When it came, seconds since the epoch."""
    verb: str
    resource: str
    """With its subresource: ``conntracknodes`` or ``conntrackpolicies/status``."""
    name: str
    code: int

    @property
    def writes(self) -> bool:
        """
        Tell whether it changed one of our two kinds.
        """
        ours = self.resource.startswith("conntrack")
        reads = self.verb in ("get", "list", "watch")
        return ours and not reads and self.code < _FIRST_FAILURE


class Account(AuditLog):
    """The audit log of one API server; only the operator's requests are kept."""

    def __init__(self, folder: Path) -> None:
        """
        Write the audit policy.
        """
        super().__init__(
            folder, f"[{{level: Metadata, users: ['{OPERATOR}']}}, {{level: None}}]"
        )

    def since(self, moment: float) -> list[Asked]:
        """
        List the answered requests that came after a moment, in the order of coming.
        """
        return [each for each in self._all() if each.at >= moment]

    def _all(self) -> Iterator[Asked]:
        """
        Read the log.
        """
        for event in self.events():
            if "responseStatus" not in event:
                continue
            about = event.get("objectRef", {})
            parts = about.get("resource", ""), about.get("subresource", "")
            yield Asked(
                at=datetime.fromisoformat(
                    event["requestReceivedTimestamp"]
                ).timestamp(),
                verb=event["verb"],
                resource="/".join(filter(None, parts)),
                name=about.get("name", ""),
                code=event["responseStatus"].get("code", 500),
            )


def most_in_a_second(asked: list[Asked]) -> int:
    """
    Give the largest number of requests within one second of the clock.
    """
    return max(Counter(int(each.at) for each in asked).values(), default=0)
