"""
Make one kernel as its spec says: journal, apply, look again.

The order of these steps is the promise: what was found and what will be written is on
disk before the first write; drift is put back late and seldom; a value counts when
the kernel shows it.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from conntrack_agent.apply import Writer, apply
from conntrack_agent.assignments import Files
from conntrack_agent.attempts import Attempts
from conntrack_agent.changes import Change, Difference, Findings
from conntrack_agent.diff import diff, revert
from conntrack_agent.drift import Corrections, consider, settled
from conntrack_agent.notes import Notes
from conntrack_agent.observations import Observation
from conntrack_agent.observe import Reader, observe
from conntrack_agent.soak import Soak
from conntrack_agent.stall import learnt
from conntrack_agent.suspects import Suspects
from conntrack_api.node import NodeMode, NodeSpec
from conntrack_api.settings import NF_CONNTRACK_BUCKETS

log = logging.getLogger("conntrack_agent")

_BUCKETS = NF_CONNTRACK_BUCKETS.name


class Kernel(Reader, Writer, Protocol):
    """What a pass wants of a kernel: the verbs of `observe` and `apply`."""


class Enforcer:
    """The writing half of a pass, and what it remembers between two."""

    def __init__(
        self,
        kernel: Kernel,
        notes: Notes,
        *,
        clock: Callable[[], float],
        chance: Callable[[], float],
        drops: Callable[[], int | None] = lambda: None,
        host_files: Callable[[], Files] | None = None,
    ) -> None:
        """
        Put the parts together.

        Args:
            kernel: The kernel settings.
            notes: What is known, with what an earlier process noted.
            clock: Monotonic seconds; goes on while the process restarts.
            chance: Random numbers in [0, 1).
            drops: Connections dropped until now; ``None``: not known.
            host_files: The host's configuration; ``None``: not ours to read.
        """
        self._suspects = Suspects(host_files)
        self._soak = Soak(notes, clock=clock, drops=drops)
        self._kernel = kernel
        self._notes = notes
        self._clock = clock
        self._chance = chance
        memory = notes.memory
        self._corrections = Corrections(
            key=(memory.tried_revision or "", memory.boot_id), times=memory.corrections
        )
        self._attempts = Attempts()

    def enforce(
        self, spec: NodeSpec, seen: Observation, hold: str | None = None
    ) -> tuple[Observation, Findings]:
        """
        Make the kernel as the spec says, or say why not yet.

        Args:
            spec: Enforce or Revert.
            seen: The kernel as it was found.
            hold: Why a person wants nothing to be written; ``None``: nobody does.

        Returns:
            The kernel as it is now, and what is to be said about it.

        Raises:
            KernelError: It was written and then could not be looked at.
        """
        seen, found = self._enforce(spec, seen, hold)
        return seen, self._soak.said(spec, found)

    def _enforce(
        self, spec: NodeSpec, seen: Observation, hold: str | None
    ) -> tuple[Observation, Findings]:
        """
        Do the work of `enforce`, without a word about the soak.
        """
        wanted = self._difference(spec, seen)
        obstacle = self._obstacle(seen)
        free = hold is None and not obstacle
        if free and self._soak.gives_up(spec, wanted, seen):
            wanted = self._difference(spec, seen)
        key = self._attempts.key
        drifted, cores = self._drifted(spec, wanted), seen.host.cores
        say = partial(self._findings, drifted=drifted, cores=cores)
        if not free:
            return seen, replace(say(wanted, journal=obstacle), hold=hold)
        if not wanted.changes:
            self._settle(spec, wanted, key)
            return seen, say(wanted)
        corrections, now = consider(
            self._corrections, key, self._clock(), self._chance()
        )
        if now:
            return self._write(spec, wanted, seen, corrections)
        self._corrections = corrections
        return seen, say(self._attempts.named(wanted))

    def _write(
        self,
        spec: NodeSpec,
        wanted: Difference,
        seen: Observation,
        corrections: Corrections,
    ) -> tuple[Observation, Findings]:
        """
        Journal, apply, look again.
        """
        intent = self._notes.memory.intending(
            self._soak.goal(spec), wanted.changes, corrections.times
        )
        intent = self._soak.intent(intent, spec, wanted, seen, self._attempts.held)
        entries, began = seen.entries or 0, self._clock()
        resizes = any(each.setting == _BUCKETS for each in wanted.changes)
        if resizes:
            intent = intent.resizing(began, entries)
        if not self._notes.save(intent):
            return seen, self._findings(wanted)
        self._corrections = corrections
        began = self._clock()
        outcomes = apply(wanted.changes, self._kernel)
        took = self._clock() - began
        self._attempts = self._attempts.after(outcomes, self._clock())
        failed = self._attempts.failed
        changes = [str(each.change) for each in outcomes if not each.failure]
        log.log(
            logging.WARNING if failed else logging.INFO,
            "applied" if changes else "not applied",
            extra={
                "revision": spec.revision,
                "changes": changes,
                "failed": [f"{each.setting}: {each.message}" for each in failed],
            },
        )
        if resizes and not any(each.setting == _BUCKETS for each in failed):
            price = learnt(intent.nanoseconds_per_entry, took, entries)
            self._notes.memory = replace(intent, nanoseconds_per_entry=price)
        seen = replace(observe(self._kernel), entry_bytes=seen.entry_bytes)
        left = self._difference(spec, seen)
        done = not left.changes and self._soak.settle(spec, left)
        if done and left.only_unsupported:
            self._applied(spec)
        else:
            self._notes.save(replace(self._notes.memory, intent={}))
        return seen, self._findings(self._attempts.named(left))

    def _settle(self, spec: NodeSpec, wanted: Difference, key: tuple[str, str]) -> None:
        """
        Take note that nothing is to be changed.
        """
        self._corrections = settled(self._corrections, key, self._clock())
        if not wanted.not_loaded:
            self._attempts = self._attempts.settled(spec.settings, wanted)
        if self._soak.settle(spec, wanted) and wanted.only_unsupported:
            self._applied(spec)

    def _difference(self, spec: NodeSpec, seen: Observation) -> Difference:
        """
        Compare, and leave out what is not worth a try yet.
        """
        key = (self._soak.goal(spec), seen.host.boot_id)
        if key != self._attempts.key:
            self._attempts = Attempts(key=key)
        return self._attempts.without(self._compare(spec, seen), self._clock())

    def _compare(self, spec: NodeSpec, seen: Observation) -> Difference:
        """
        Compare with the spec, or with the baseline until that is back.
        """
        if (back := self._soak.back(spec, seen)) is not None:
            return back
        memory = self._notes.memory
        stall = memory.stall(spec.max_stall_milliseconds, self._clock())
        if spec.mode != NodeMode.REVERT:
            return diff(spec, seen, stall)
        if memory.reverted:
            return Difference()
        return revert(memory.baseline, seen, stall)

    def _drifted(self, spec: NodeSpec, wanted: Difference) -> tuple[Change, ...]:
        """
        Pick the changes that put back what was already as asked.
        """
        differing = (*wanted.changes, *wanted.held_back)
        if self._notes.memory.applied_revision == spec.revision:
            return differing
        return tuple(each for each in differing if each.setting in self._attempts.held)

    def _obstacle(self, seen: Observation) -> str:
        """
        Say why nothing may be written; empty when it may.
        """
        if not seen.host.boot_id:
            return "the boot id cannot be read, so what was noted may be out of date"
        return self._notes.complaint

    def _findings(
        self,
        difference: Difference,
        *,
        drifted: tuple[Change, ...] = (),
        journal: str = "",
        cores: int = 0,
    ) -> Findings:
        """
        Collect what `report` needs.
        """
        memory = self._notes.memory
        return Findings(
            applied_revision=memory.applied_revision,
            baseline=memory.baseline,
            failures=difference.refusals,
            pending=tuple(str(change) for change in difference.changes),
            drifted=tuple(change.found for change in drifted),
            writer=self._suspects.name(drifted, memory.baseline, cores),
            contended=self._corrections.contended,
            journal=journal or self._notes.complaint,
            lost=memory.lost,
        )

    def _applied(self, spec: NodeSpec) -> None:
        """
        Note that the kernel was shown to have a revision.
        """
        memory = self._notes.memory
        if memory.applied_revision != spec.revision or memory.intent:
            self._notes.save(replace(memory, applied_revision=spec.revision, intent={}))
