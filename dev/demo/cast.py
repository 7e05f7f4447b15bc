"""
Who plays: the operator, and one agent for each node, as processes of their own.
"""

import os
import re
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from conntrack_agent.testing import tree
from control_plane import ControlPlane
from control_plane.processes import Program, Watch

ROOT: Final = Path(__file__).resolve().parents[2]
"""The checkout."""

FIXTURES: Final = ROOT / "tests/conntrack_agent/fixtures"
"""Captured kernels."""

CAPTURED: Final = ("4.4", "5.10", "7.2")
"""Which of them play along."""

NAMESPACE: Final = "conntrack-system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One node of the little cluster."""

    name: str
    root: Path
    """Where its ``proc`` and ``sys`` are."""
    labels: dict[str, str]

    def manifest(self) -> str:
        """
        Give its Node object as YAML.
        """
        labels = {"kubernetes.io/os": "linux", **self.labels}
        meta = {"name": self.name, "labels": labels}
        return yaml.safe_dump({"apiVersion": "v1", "kind": "Node", "metadata": meta})


def members(folder: Path, *, observe_host: bool) -> tuple[Member, ...]:
    """
    Make up the cluster: this host first, then the captured kernels.

    Args:
        folder: Where copies of the captured trees go; the agents write to them.
        observe_host: Whether the host gets the label of the Observe policy.
    """
    name = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower()).strip("-")
    labels = {"conntrack.dev/observe": "true"} if observe_host else {}
    host = Member(name=name or "this-host", root=Path("/"), labels=labels)
    captured = (
        Member(
            name=f"linux-{version.replace('.', '-')}",
            root=tree(FIXTURES / f"linux-{version}", folder / f"linux-{version}"),
            labels={},
        )
        for version in CAPTURED
    )
    return (host, *captured)


class Cast:
    """Starts and ends the processes of the product."""

    def __init__(
        self,
        plane: ControlPlane,
        folder: Path,
        watch: Watch,
        *,
        observe_seconds: str = "1",
    ) -> None:
        """
        Say where they live.

        Args:
            plane: The control plane they talk to.
            folder: Logs, tokens and journals.
            watch: Ends them should we be killed.
            observe_seconds: How often the agents look at their kernels.
        """
        self._plane = plane
        self._folder = folder
        self._watch = watch
        self._observe_seconds = observe_seconds
        self._programs: list[Program] = []
        self.operator: Program
        """The one that was started last."""

    def start_operator(self, kubeconfig: Path | None = None, *options: str) -> Program:
        """
        Start the operator.

        Args:
            kubeconfig: Its way to the API server; ``None``: under its own account.
            options: More of its command line.
        """
        if kubeconfig is None:
            token = self._plane.token_for(NAMESPACE, "conntrack-operator")
            kubeconfig = self._plane.kubeconfig_for_token(token)
        self.operator = self._start(
            "operator",
            "conntrack_operator",
            *("--kubeconfig", str(kubeconfig), "--liveness-port", "0", *options),
        )
        return self.operator

    def start_agent(self, member: Member) -> Program:
        """
        Start the agent of one node.
        """
        token = self._folder / f"{member.name}.token"
        token.touch(mode=0o600)
        token.write_text(self._plane.token_for(NAMESPACE, "conntrack-agent"))
        return self._start(
            f"agent-{member.name}",
            "conntrack_agent",
            *("--node", member.name, "--server", self._plane.url),
            *("--ca-file", str(self._plane.ca_file), "--token-file", str(token)),
            *("--host-root", str(member.root)),
            *("--observe-seconds", self._observe_seconds, "--start-seconds", "0"),
            *("--state-dir", str(self._folder / f"{member.name}.state")),
        )

    def end(self) -> None:
        """
        End everything that was started, and wait for it.
        """
        for program in self._programs:
            program.terminate(seconds=10)
        self._programs.clear()

    def tails(self) -> str:
        """
        Give the end of every log, for somebody who has to find out what went wrong.
        """
        return "\n".join(f"--- {each.name}\n{each.tail()}" for each in self._programs)

    def _start(self, name: str, module: str, *arguments: str) -> Program:
        """
        Start one Python program of the product.
        """
        program = Program(
            name,
            [sys.executable, "-m", module, *arguments],
            log=self._folder / f"{name}-{len(self._programs)}.log",
            environ={"PATH": os.environ.get("PATH", "/usr/bin:/bin")},
            watch=self._watch,
        )
        self._programs.append(program)
        return program
