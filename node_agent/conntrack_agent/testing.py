"""
What tests and the demo put in place of a real node.

The fakes pass the same tests as the real ones. They are told what goes wrong, and they
keep a record of what was done to them.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from conntrack_agent.errors import ClusterError, JournalError
from conntrack_agent.fake_kernel import Effects
from conntrack_agent.memory import Memory
from conntrack_api.node import ConntrackNode, NodeMode, NodeSpec, NodeStatus, PolicyRef
from conntrack_api.table import DEFAULT_STALL, Adjust

ESTABLISHED: Final = "nf_conntrack_tcp_timeout_established"


def tree(source: Path, destination: Path) -> Path:
    """
    Copy a captured kernel tree and give its files the modes that the kernel has.

    Git keeps no modes but the executable bit, so a tree says them in its ``MODES``.

    Args:
        source: A tree with ``proc``, ``sys`` and ``MODES``: one octal mode and one
            path a line.
        destination: A directory that is made; its parent is there.

    Returns:
        The destination, to be used as the root of a host.
    """
    shutil.copytree(source, destination, ignore=shutil.ignore_patterns("SOURCE"))
    for line in (destination / "MODES").read_text(encoding="ascii").splitlines():
        mode, file = line.split(maxsplit=1)
        (destination / file).chmod(int(mode, 8))
    return destination


@dataclass(slots=True)
class FakeJournal:
    """A journal that outlives the agent, not the test."""

    memory: Memory = field(default_factory=Memory)
    effects: Effects = field(default_factory=Effects)
    unreadable: str = ""
    """Why it cannot be read; empty when it can."""
    full: str = ""
    """Why it cannot be written; empty when it can."""

    def load(self) -> Memory:
        """
        Read what is known.
        """
        if self.unreadable:
            raise JournalError(self.unreadable)
        return self.memory

    def save(self, memory: Memory) -> None:
        """
        Put a memory on disk.
        """
        if self.full:
            raise JournalError(self.full)
        self.effects.happen("journal")
        self.memory = memory


class FakeClock:
    """Monotonic seconds that pass when told to, and at each `sleep`."""

    def __init__(self) -> None:
        """
        Start at an hour that is not 0, as real ones do.
        """
        self.now = 5000.0

    def __call__(self) -> float:
        """
        Give the time.
        """
        return self.now

    def sleep(self, seconds: float) -> None:
        """
        Let time pass.
        """
        self.now += seconds


Answer = ConntrackNode | Exception
"""What a GET gives or raises."""


@dataclass(slots=True)
class FakeCluster:
    """An API server with one object, and a record of every request."""

    answer: Answer
    stream: Callable[[], Iterator[ConntrackNode | None]] = lambda: iter(())
    refuse_status: ClusterError | None = None
    requests: list[str] = field(default_factory=list)
    reported: list[NodeStatus] = field(default_factory=list)

    def get(self) -> ConntrackNode:
        """
        Read the object.
        """
        self.requests.append("get")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def watch(self, resource_version: str) -> Iterator[ConntrackNode | None]:
        """
        Follow it.
        """
        self.requests.append(f"watch {resource_version}".strip())
        yield from self.stream()

    def apply_status(self, uid: str, status: NodeStatus) -> None:
        """
        Take its status.
        """
        self.requests.append(f"status {uid}")
        if self.refuse_status:
            raise self.refuse_status
        self.reported.append(status)


def node_spec(
    settings: Mapping[str, int] | None = None,
    *,
    mode: NodeMode = NodeMode.ENFORCE,
    revision: str = "r1",
    adjust: Adjust = Adjust.EXACT,
    max_stall_milliseconds: int = DEFAULT_STALL,
    soak_seconds: int = 0,
) -> NodeSpec:
    """
    Build what a node is told.
    """
    return NodeSpec(
        policy_ref=PolicyRef(name="web", uid="policy-uid", generation=1),
        node_uid="node-uid",
        revision=revision,
        mode=mode,
        adjust=adjust,
        soak_seconds=soak_seconds,
        max_stall_milliseconds=max_stall_milliseconds,
        settings={ESTABLISHED: 86400} if settings is None else settings,
    )


def conntrack_node(
    spec: NodeSpec | None = None,
    *,
    generation: int = 1,
    uid: str = "object-uid",
    status: NodeStatus | None = None,
) -> ConntrackNode:
    """
    Build a node's object as the API server gives it.
    """
    return ConntrackNode(
        name="n1",
        uid=uid,
        generation=generation,
        resource_version=f"{1000 + generation}",
        spec=spec or node_spec(),
        status=status or NodeStatus(),
    )
