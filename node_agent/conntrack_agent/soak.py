"""
What the enforcer asks while a change is on trial.

Stands between the gate, which computes, and the notes, which outlive the process.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

from conntrack_agent import gate
from conntrack_agent.changes import Difference, Findings
from conntrack_agent.diff import revert
from conntrack_agent.memory import Memory
from conntrack_agent.notes import Notes
from conntrack_agent.observations import Observation
from conntrack_api.node import NodeMode, NodeSpec

log = logging.getLogger("conntrack_agent")


class Soak:
    """The trial of one node, as far as it is noted."""

    def __init__(
        self,
        notes: Notes,
        *,
        clock: Callable[[], float],
        drops: Callable[[], int | None],
    ) -> None:
        """
        Put the parts together.

        Args:
            notes: What is known; has the trial.
            clock: Monotonic seconds; goes on while the process restarts.
            drops: Connections dropped until now; ``None``: not known.
        """
        self._notes = notes
        self._clock = clock
        self._drops = drops
        self._readings: tuple[int | None, int | None] = (None, None)
        """Connections dropped until the last pass and until this one."""
        self._lost: int | None = None
        """Files lost until the last pass; ``None``: there was none."""

    def trial(self, spec: NodeSpec) -> gate.Trial | None:
        """
        Give the trial of this very spec, if there is one.
        """
        found = self._notes.memory.trial
        return found if found and found.revision == spec.revision else None

    def goal(self, spec: NodeSpec) -> str:
        """
        Name what is being written: a revision, or the way back from it.
        """
        trial = self.trial(spec)
        return f"{spec.revision} back" if trial and trial.failed else spec.revision

    def back(self, spec: NodeSpec, seen: Observation) -> Difference | None:
        """
        Compare with the previous values; ``None`` when those are not wanted.
        """
        trial = self.trial(spec)
        if trial is None or not trial.failed:
            return None
        return Difference() if trial.back else revert(trial.previous, seen)

    def gives_up(self, spec: NodeSpec, wanted: Difference, seen: Observation) -> bool:
        """
        Judge the change; tell whether it has just been found wanting.
        """
        drops = self._drops()
        self._readings = (self._readings[1], drops)
        lost, self._lost = self._lost, seen.lost_files
        trial = self.trial(spec)
        if trial and trial.began is not None and not trial.failed:
            if seen.entries is None or lost not in (None, seen.lost_files):
                # Another table, with values of its own: nothing was tried on it yet.
                self._note(replace(trial, began=None))
                return False
            failed = gate.judge(trial, wanted.changes, seen, drops)
            if failed:
                log.warning(
                    "going back", extra={"revision": spec.revision, "why": failed}
                )
                self._note(replace(trial, failed=failed))
                return True
        return False

    def intent(
        self,
        intent: Memory,
        spec: NodeSpec,
        wanted: Difference,
        seen: Observation,
        held: frozenset[str],
    ) -> Memory:
        """
        Add the way back to what is noted before the first write.

        Args:
            intent: What is about to be noted.
            spec: What the node was told.
            wanted: What is about to be written.
            seen: The kernel as it was found.
            held: Settings that were as asked before; what was found of them is not
                what a way back leads to.
        """
        trial = self.trial(spec)
        if trial and trial.failed:
            return intent
        first = self._notes.memory.tried_revision != spec.revision
        if spec.mode is NodeMode.REVERT or (first and not spec.soak_seconds):
            return replace(intent, trial=None)
        found = {
            each.setting: each.before
            for each in wanted.changes
            if each.setting not in held
        }
        # What had to wait, such as a resize, is tried when it comes; what was kept and
        # is put back is not.
        kept = not found or intent.applied_revision == spec.revision
        if not first and trial is None and (kept or not spec.soak_seconds):
            return intent
        full = trial.full if trial else gate.is_full(seen)
        before, now = self._readings
        # Drops that went on before, or may have, are not the fault of the change.
        quiet = before is not None and before == now and not full
        opened = gate.opened(
            self._notes.memory.trial,
            spec.revision,
            found,
            full=full,
            drops=trial.drops if trial else now if quiet else None,
        )
        return replace(intent, trial=opened)

    def settle(self, spec: NodeSpec, left: Difference) -> bool:
        """
        Take note that nothing is to be written now.

        Args:
            spec: What the node was told.
            left: What still cannot be changed; the way back is not walked until there
                is nothing of it left.

        Returns:
            Whether the revision may count as applied.
        """
        trial = self.trial(spec)
        if trial is None:
            return True
        if left.not_loaded:
            return False
        if trial.failed:
            if not trial.back and left.only_unsupported:
                self._note(replace(trial, back=True))
            return False
        now = self._clock()
        if trial.began is None:
            drops = None if trial.drops is None else self._drops()
            trial = replace(trial, began=now, drops=drops)
            self._note(trial)
        if gate.left(trial, spec.soak_seconds, now):
            return False
        self._note(None)
        return True

    def said(self, spec: NodeSpec, found: Findings) -> Findings:
        """
        Add what people should know of the trial.
        """
        trial = self.trial(spec)
        if trial is None:
            return found
        if trial.failed:
            count = len(trial.previous)
            now = "is back" if trial.back else "is being brought back"
            text = f"{trial.failed}; what was before {now} ({count} settings)"
            return replace(found, rolled_back=text)
        seconds = gate.left(trial, spec.soak_seconds, self._clock())
        text = f"soaking: kept in {seconds:.0f} of {spec.soak_seconds} s if all is well"
        return replace(found, soaking=text)

    def _note(self, trial: gate.Trial | None) -> None:
        """
        Put a state of the trial on disk.
        """
        self._notes.save(replace(self._notes.memory, trial=trial, intent={}))
