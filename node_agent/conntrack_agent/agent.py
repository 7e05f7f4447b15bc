"""
The order of work on a node: one pass.

Each pass starts from what is: look; compare; write down what will be done; do it;
look again; say so. Missing information (no object, no answer) means wait, never undo.
"""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from conntrack_agent.assignments import Files
from conntrack_agent.changes import Findings
from conntrack_agent.clamp import limits
from conntrack_agent.diff import diff
from conntrack_agent.enforce import Enforcer, Kernel
from conntrack_agent.errors import KernelError
from conntrack_agent.growing import Growing
from conntrack_agent.growth import grown_spec, told_revision
from conntrack_agent.memory import Accepted
from conntrack_agent.meter import Counters, Meter
from conntrack_agent.notes import Journal, Notes
from conntrack_agent.observations import Observation
from conntrack_agent.observe import observe
from conntrack_agent.report import report
from conntrack_agent.walk import Entries, Walk
from conntrack_api.node import ConntrackNode, NodeMode, NodeStatus
from conntrack_api.settings import NF_CONNTRACK_MAX

log = logging.getLogger("conntrack_agent")

_MAX = NF_CONNTRACK_MAX.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What an agent looks at besides the settings; it can do without each."""

    counters: Counters | None = None
    """The drop counters over netlink."""
    entries: Entries | None = None
    """The table's entries over netlink; ``None``: leave them alone."""
    drops: Callable[[], int | None] | None = None
    """Connections dropped until now; ``None``: as the meter counts them."""
    host_files: Callable[[], Files] | None = None
    """The host's configuration, anew for each look."""
    kernel_log: Callable[[], str] | None = None
    """The end of the kernel's log."""


class Agent:
    """The agent of one node, without its connection to the cluster."""

    def __init__(
        self,
        kernel: Kernel,
        journal: Journal,
        *,
        clock: Callable[[], float],
        chance: Callable[[], float] = random.random,
        sources: Sources = Sources(),
    ) -> None:
        """
        Put the parts together and read the journal.

        Args:
            kernel: The kernel settings.
            journal: What outlives the process.
            clock: Monotonic seconds; goes on while the process restarts.
            chance: Random numbers in [0, 1).
            sources: What else there is to look at.
        """
        self._kernel = kernel
        self._clock = clock
        self._meter = Meter(
            kernel, sources.counters, clock=clock, kernel_log=sources.kernel_log
        )
        self._notes = Notes(journal)
        self._enforcer = Enforcer(
            kernel,
            self._notes,
            clock=clock,
            chance=chance,
            drops=sources.drops or (lambda: self._meter.dropped),
            host_files=sources.host_files,
        )
        self._growing = Growing(self._notes)
        self._walk = Walk(sources.entries, clock)
        self._defended: Accepted | None = None
        """What older versions were refused for: that is said once."""
        self._heard_of = ""
        self._last = NodeStatus()

    @property
    def accepted(self) -> Accepted | None:
        """
        The wish in force; ``None`` before the first.
        """
        return self._notes.memory.accepted

    @property
    def last(self) -> NodeStatus:
        """
        The status as last computed; may be read from another thread.
        """
        return self._last

    def accept(self, node: ConntrackNode) -> bool:
        """
        Take on what the API server says, unless it is older than what we know.

        Args:
            node: This node's object.

        Returns:
            Whether a pass now would know something new. False for a copy of what is
            known, such as the echo of our own report, and for an older version.
        """
        known = self.accepted
        offered = Accepted(
            object_uid=node.uid,
            generation=node.generation,
            spec=node.spec,
            hold=node.hold,
        )
        back = self._notes.memory.absent
        if known and known.outranks(offered):
            if back:
                self._notes.save(replace(self._notes.memory, absent=False))
            if self._defended != known:
                log.warning(
                    "older version refused",
                    extra={"known": str(known), "offered": str(offered)},
                )
            self._defended = known
            return back
        first = self._heard_of != node.uid
        if first:
            # Only we write the status, so what we said last is newer than any echo.
            self._last, self._heard_of = node.status, node.uid
        if back or offered != known:
            self._notes.save(self._notes.memory.accepting(offered))
        return first or back or offered != known

    def gone(self) -> None:
        """
        Take note that there is no object: values stay, nothing is written any more.

        This is on disk, too: a restart while the API server is away must not bring the
        wish of an object back that was heard to be gone.
        """
        self._walk.aim(None)
        if not self._notes.memory.absent:
            self._notes.save(replace(self._notes.memory, absent=True))

    def sample(self) -> bool:
        """
        Look at the fill alone; tell whether the next pass should not wait.

        Entries that outlive their timeouts are cut here, too, some at a time.
        """
        self._walk.step()
        return self._meter.sample()

    def reported(self) -> None:
        """
        Take note that the last status was written: the next peak begins now.
        """
        self._meter.reported()

    def pass_once(self, now: str) -> NodeStatus | None:
        """
        Run the stages once.

        Args:
            now: RFC 3339, for the status.

        Returns:
            What to report; ``None`` while there is nothing to report on.

        Raises:
            KernelError: The kernel cannot even be looked at.
        """
        try:
            seen = self._meter.weighed(observe(self._kernel))
        except KernelError:
            self._walk.aim(None)
            raise
        self._notes.retry()
        accepted = self.accepted
        if accepted is None or self._notes.memory.absent:
            self._walk.aim(None)
            return None
        told, boot_id, refusal = accepted.spec, seen.host.boot_id, ""
        if boot_id:
            self._begin(seen)
            if accepted.hold is None:
                refusal = self._growing.grow(told, seen, self._clock())
        spec = grown_spec(told, self._notes.memory.grown)
        if spec.mode == NodeMode.OBSERVE:
            difference = diff(spec, seen)
            found = Findings(
                applied_revision=spec.revision,
                baseline=self._notes.memory.baseline,
                failures=difference.refusals,
                pending=tuple(str(change) for change in difference.changes),
            )
        else:
            seen, found = self._enforcer.enforce(spec, seen, accepted.hold)
        load = self._meter.look(seen, self._notes.memory.counters)
        found = self._walk.said(replace(found, load=load), limits(spec, seen, found))
        grown = told.settings.get(_MAX) if spec is not told else None
        applied = told_revision(found.applied_revision)
        found = replace(
            found, grown_from=grown, no_growth=refusal, applied_revision=applied
        )
        self._last = report(
            told, accepted.generation, seen, found, last=self._last, now=now
        )
        return self._last

    def _begin(self, seen: Observation) -> None:
        """
        Write down, once for each boot, which one it is and where its counters stood.
        """
        known = self._notes.memory
        memory = known.of_boot(seen.host.boot_id)
        if not memory.counters:
            memory = replace(memory, counters=self._meter.first_sight(seen))
        if memory != known:
            self._notes.save(memory)
