"""
Who may have changed a value: looks into the host's files when there is drift.

They are read once for each new set of foreign values, never while all is well.
"""

from collections.abc import Callable, Mapping

from conntrack_agent.assignments import Assignment, Files
from conntrack_agent.changes import Change
from conntrack_agent.configured import configured
from conntrack_agent.writers import likely_writer


class Suspects:
    """The likely writer of what was found last."""

    def __init__(self, look: Callable[[], Files] | None) -> None:
        """
        Say where to look.

        Args:
            look: Gives the host's files for one look; ``None``: they are not ours to
                read.
        """
        self._look = look
        self._found: frozenset[tuple[str, int]] = frozenset()
        self._assignments: tuple[Assignment, ...] = ()

    def name(
        self, drifted: tuple[Change, ...], baseline: Mapping[str, int], cores: int
    ) -> str:
        """
        Name the likely writer, as `likely_writer` does.

        Args:
            drifted: What would put the values back; empty: nothing is read.
            baseline: Kernel name to the value found before our first write.
            cores: Online; 0 when they cannot be counted.
        """
        found = frozenset((each.setting, each.before) for each in drifted)
        if found != self._found:
            self._found = found
            look = self._look if found else None
            self._assignments = configured(look()) if look else ()
        return likely_writer(drifted, baseline, cores, self._assignments)
