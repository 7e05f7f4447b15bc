"""
The words for what must outlive the agent.

Values only; `journal` keeps them on disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from conntrack_agent.changes import Change
from conntrack_agent.counters import Sample
from conntrack_agent.gate import Trial
from conntrack_agent.growth import Grown, kept
from conntrack_agent.stall import (
    LONGEST_REST,
    NANOSECONDS_PER_ENTRY,
    Stall,
    predicted,
    rest,
)
from conntrack_api.node import NodeMode, NodeSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The last spec that the agent took on."""

    object_uid: str
    """UID of the ConntrackNode; another one is another object."""
    generation: int
    """Its ``metadata.generation``; a lower one never wins."""
    spec: NodeSpec
    """With the epoch of the operator that wrote it; a lower one never wins, either."""
    hold: str | None = None
    """Why nothing may be written; ``None``: it may."""

    def __str__(self) -> str:
        """
        Say which version it is, for a log line.
        """
        return f"generation {self.generation}, epoch {self.spec.epoch}"

    def outranks(self, other: "Accepted") -> bool:
        """
        Tell whether another one is an older version of the same object.

        The API server lets no epoch go down; an etcd that was restored, or a schema
        without that rule, would.
        """
        return self.object_uid == other.object_uid and (
            self.generation > other.generation or self.spec.epoch > other.spec.epoch
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Everything the journal holds."""

    boot_id: str = ""
    """The boot that everything speaks of, but for what is said to outlive one."""
    baseline: Mapping[str, int] = field(default_factory=dict)
    """Kernel name to the value found before our first write of it in this boot."""
    accepted: Accepted | None = None
    """The wish in force; outlives a boot."""
    absent: bool = False
    """The object of `accepted` is gone: hands off; outlives a boot."""
    applied_revision: str | None = None
    """The last revision that was carried out in this boot."""
    intent: Mapping[str, int] = field(default_factory=dict)
    """What is about to be written; empty when nothing is under way."""
    tried_revision: str | None = None
    """The last revision that we began to write in this boot."""
    corrections: tuple[float, ...] = ()
    """
    When `tried_revision` was written again, monotonic seconds.

    The clock goes on while the agent restarts, so a restart is no way around the
    hourly bound.
    """
    counters: Sample = field(default_factory=dict)
    """The drop counters at our first sight of this boot, CPU by CPU."""

    lost: str = ""
    """
    Why an earlier journal of this boot was not believed; empty: there was none.

    What was found before it is not known.
    """
    trial: Trial | None = None
    """What is not kept yet, or was taken back; the latter outlives a boot."""
    grown: Grown | None = None
    """The size that we have chosen by ourselves; ``None``: the told one."""
    resize_after: float = 0.0
    """Before that no further resize of the buckets, monotonic seconds."""
    nanoseconds_per_entry: int = NANOSECONDS_PER_ENTRY
    """What a resize takes for each entry on this host; outlives a boot."""

    @property
    def reverted(self) -> bool:
        """
        Tell whether the baseline was asked for and is back.
        """
        accepted = self.accepted
        return (
            accepted is not None
            and accepted.spec.mode == NodeMode.REVERT
            and accepted.spec.revision == self.applied_revision
        )

    def stall(self, most_milliseconds: int, now: float) -> Stall:
        """
        Say what a resize may cost at the moment.
        """
        wait = self.resize_after - now
        return Stall(
            most_milliseconds=most_milliseconds,
            nanoseconds=self.nanoseconds_per_entry,
            # A longer one was of another clock.
            wait=wait if wait <= LONGEST_REST else 0.0,
        )

    def resizing(self, now: float, entries: int) -> "Memory":
        """
        Note that the buckets are about to be changed.
        """
        price = predicted(entries, self.nanoseconds_per_entry)
        return replace(self, resize_after=now + rest(price))

    def of_boot(self, boot_id: str) -> "Memory":
        """
        Forget what belongs to an earlier boot: a reboot undoes every write.
        """
        if boot_id == self.boot_id:
            return self
        trial = self.trial
        return Memory(
            boot_id=boot_id,
            accepted=self.accepted,
            absent=self.absent,
            # Not of a boot yet: nothing but this is known.
            lost="" if self.boot_id else self.lost,
            nanoseconds_per_entry=self.nanoseconds_per_entry,
            # The boot has undone what was being taken back.
            trial=replace(trial, back=True) if trial and trial.failed else None,
        )

    def accepting(self, accepted: Accepted) -> "Memory":
        """
        Take on a spec. After a revert the next first write finds a new baseline.
        """
        over = self.reverted and accepted.spec.mode != NodeMode.REVERT
        baseline = {} if over else self.baseline
        return replace(
            self,
            accepted=accepted,
            absent=False,
            baseline=baseline,
            grown=kept(self.grown, accepted.spec),
        )

    def intending(
        self,
        revision: str,
        changes: tuple[Change, ...],
        corrections: tuple[float, ...],
    ) -> "Memory":
        """
        Note what was found and what will be written.
        """
        found = {change.setting: change.before for change in changes}
        known = self.applied_revision
        return replace(
            self,
            baseline={**found, **self.baseline},
            applied_revision=known if known == revision else None,
            intent={change.setting: change.after for change in changes},
            tried_revision=revision,
            corrections=corrections,
        )
