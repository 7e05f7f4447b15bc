"""
The whole product on real parts, for tests.

An API server that keeps an audit log, the operator and two agents as processes of
their own. Only the kernels are captured trees.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from conntrack_agent.testing import tree
from control_plane import ControlPlane
from control_plane.audit import AuditLog
from control_plane.processes import Watch
from demo.cast import FIXTURES, ROOT, Cast, Member
from demo.errors import DemoFailed

NETFILTER = "proc/sys/net/netfilter"
DEADLINE = 300.0
"""
Longest wait for anything, in seconds: after an outage of a minute an agent's next try
is up to two minutes away, and the first answer may still be a refusal.
"""
AT_ONCE = {"maxUnavailable": "100%", "canaries": 0, "soakSeconds": 0}
"""The rollout of a test that is about something else."""

_FIRST_FAILURE = 300


class Cluster:
    """A little cluster, and what was written in it."""

    def __init__(self, plane: ControlPlane, folder: Path, watch: Watch) -> None:
        """
        Register two nodes and start everything.
        """
        self.plane = plane
        self.members = tuple(
            Member(
                name=f"linux-{version.replace('.', '-')}",
                root=tree(FIXTURES / f"linux-{version}", folder / version),
                labels={},
            )
            for version in ("4.4", "6.1")
        )
        self.cast = Cast(plane, folder, watch)
        plane.kubectl_run("apply", "-f", str(ROOT / "crds"))
        plane.kubectl_run("apply", "-f", str(ROOT / "dev/demo/rbac.yaml"))
        plane.kubectl_run("wait", "--for=condition=Established", "crd", "--all")
        for member in self.members:
            plane.kubectl_run("apply", "-f", "-", input=member.manifest())
        self.operator = self.cast.start_operator()
        self.agents = [self.cast.start_agent(member) for member in self.members]

    def apply(self, **spec: object) -> None:
        """
        Apply the one policy as a person would.
        """
        policy = {
            "apiVersion": "conntrack.dev/v1alpha1",
            "kind": "ConntrackPolicy",
            "metadata": {"name": "everything"},
            "spec": {"nodeSelector": {}, "rollout": AT_ONCE, **spec},
        }
        self.plane.kubectl_run("apply", "-f", "-", input=yaml.safe_dump(policy))

    def wait_ready(self) -> None:
        """
        Wait as a person would.
        """
        self.plane.kubectl_run(
            *("wait", "--for=condition=Ready", "conntrackpolicy/everything"),
            f"--timeout={DEADLINE:.0f}s",
        )

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """
        Read one object.
        """
        done = self.plane.kubectl_run("get", kind, name, "-o", "json")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def values(self) -> list[dict[str, str]]:
        """
        Read every kernel's settings.
        """
        return [
            {
                file.name: file.read_text().strip()
                for file in sorted((member.root / NETFILTER).iterdir())
            }
            | {"hashsize": self.hashsize(member).read_text().strip()}
            for member in self.members
        ]

    def kernel_writes(self) -> list[dict[str, int]]:
        """
        Tell when each kernel file was last written; equal lists mean no write.
        """
        return [
            {
                str(file): file.stat().st_mtime_ns
                for file in [
                    *(member.root / NETFILTER).iterdir(),
                    self.hashsize(member),
                ]
            }
            for member in self.members
        ]

    @staticmethod
    def hashsize(member: Member) -> Path:
        """
        Name the module parameter of a node.
        """
        return member.root / "sys/module/nf_conntrack/parameters/hashsize"


def until(check: Callable[[], object], what: str) -> None:
    """
    Wait for a condition; fail with its name.
    """
    deadline = time.monotonic() + DEADLINE
    while not check():
        if time.monotonic() > deadline:
            raise DemoFailed(f"not within {DEADLINE:.0f} s: {what}")
        time.sleep(0.05)


class Audit(AuditLog):
    """What was asked of the API server about our two kinds."""

    def __init__(self, folder: Path) -> None:
        """
        Write the audit policy.
        """
        super().__init__(
            folder, "[{level: Metadata, resources: [{group: conntrack.dev}]}]"
        )

    def writes(self, *accounts: str) -> list[str]:
        """
        List the writes of our two accounts so far, oldest first, but for refused ones.
        """
        found = []
        for event in self.events():
            account = event["user"]["username"].rpartition(":")[2]
            wanted = account in (accounts or ("conntrack-operator", "conntrack-agent"))
            # What a test has seen may be in the log without its answer.
            refused = event.get("responseStatus", {}).get("code", 0) >= _FIRST_FAILURE
            if wanted and not refused and event["verb"] not in ("get", "list", "watch"):
                found.append(f"{account} {event['verb']} {event['requestURI']}")
        return found
