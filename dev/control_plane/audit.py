"""
What was asked of an API server, by its own account.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class AuditLog:
    """
    An API server's audit log.

    A request is written down when it comes, before anything is done, and again after
    its answer was sent. So a test that has seen what a request did finds the request
    here, but perhaps not yet its answer.
    """

    def __init__(self, folder: Path, rules: str) -> None:
        """
        Write the audit policy.

        Args:
            folder: Holds the policy and the log.
            rules: Which requests are logged: the policy's rules as a list in YAML.
        """
        self._policy = folder / "audit.yaml"
        self._log = folder / "audit.log"
        self._policy.write_text(
            "apiVersion: audit.k8s.io/v1\nkind: Policy\n"
            "omitStages: [ResponseStarted]\n"
            f"rules: {rules}\n"
        )

    @property
    def arguments(self) -> tuple[str, ...]:
        """
        Give the API server's flags.
        """
        return (
            f"--audit-policy-file={self._policy}",
            f"--audit-log-path={self._log}",
            "--audit-log-maxsize=0",
        )

    def events(self) -> Iterator[dict[str, Any]]:
        """
        Read the log.

        Returns:
            An ``Event`` of ``audit.k8s.io/v1`` for each request, in the order in which
            they came: the one of its answer, or while that is not written down the
            one of its coming, which has no ``responseStatus``.
        """
        if not self._log.exists():
            return
        events: dict[str, dict[str, Any]] = {}
        for line in self._log.read_text().splitlines():
            event = json.loads(line)
            events[event["auditID"]] = event
        yield from events.values()
