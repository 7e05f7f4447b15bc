"""
What was asked of an API server, by its own account.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class AuditLog:
    """An API server's audit log; each request is in it once, when it was answered."""

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
            "omitStages: [RequestReceived, ResponseStarted]\n"
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
        Read the log: ``Event`` of ``audit.k8s.io/v1``, in the order of the answers.
        """
        if not self._log.exists():
            return
        for line in self._log.read_text().splitlines():
            yield json.loads(line)
