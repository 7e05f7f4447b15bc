"""
The words that the stages exchange: an intended write, what came of it, and the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from conntrack_agent.errors import KernelError
from conntrack_agent.load import Load
from conntrack_api.conditions import NodeReason
from conntrack_api.node import ExistingEntriesStatus, Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One intended write of one kernel file."""

    setting: str
    """The kernel's name of the setting."""

    file: str
    """Which file carries the write, below the host's root."""

    before: int
    """The value found."""

    after: int
    """The value to write; as the kernel will show it, so already rounded."""

    requires: str | None = None
    """A setting whose change must have worked, or this one is left out."""

    hint: str = ""
    """What a kernel most likely means that does not take the value."""

    def __str__(self) -> str:
        """
        Say it in a log line: ``nf_conntrack_max 65536 -> 262144``.
        """
        return f"{self.setting} {self.before} -> {self.after}"

    @property
    def found(self) -> str:
        """
        Say what is wrong: ``nf_conntrack_max is 65536 instead of 262144``.
        """
        return f"{self.setting} is {self.before} instead of {self.after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one change."""

    change: Change
    failure: Failure | None = None
    """``None``: the kernel shows the new value."""
    error: KernelError | None = None
    """What the kernel answered, if that was an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What separates a kernel from its spec."""

    changes: tuple[Change, ...] = ()
    """To be written in this order."""

    refusals: tuple[Failure, ...] = ()
    """Settings that must not or cannot be changed, each with its reason."""

    held_back: tuple[Change, ...] = ()
    """Changes that failed before and are not worth a try yet; refused by name, too."""

    @property
    def not_loaded(self) -> bool:
        """
        Tell whether there is no table at the moment that could have any settings.
        """
        return any(each.reason == NodeReason.NOT_LOADED for each in self.refusals)

    @property
    def only_unsupported(self) -> bool:
        """
        Tell whether nothing is refused but settings that this kernel lacks.
        """
        return all(each.reason == NodeReason.UNSUPPORTED for each in self.refusals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one pass found out, besides the observation."""

    applied_revision: str | None = None
    """The last revision that was carried out; ``None``: none yet."""
    baseline: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    """Refusals, failed writes, unsupported settings."""
    pending: tuple[str, ...] = ()
    """Changes that wait for their moment, as text."""
    drifted: tuple[str, ...] = ()
    """Values that somebody else changed after we had applied ours, as text."""
    writer: str = ""
    """Who may have changed them, for a message; empty when nobody fits."""
    contended: bool = False
    """The hour's corrections are used up."""
    soaking: str = ""
    """How long a change is still on trial, for a message; empty: it is not."""
    rolled_back: str = ""
    """Why a change was taken back, for a message; empty: it was not."""
    grown_from: int | None = None
    """The told limit, while ours is larger; ``None``: it is as told."""
    no_growth: str = ""
    """Why a table does not grow that should, for a message; empty: it need not."""
    hold: str | None = None
    """Why a person wants nothing to be written; ``None``: nobody does."""
    journal: str = ""
    """Why the journal cannot be used; empty when it can."""
    lost: str = ""
    """Why an earlier journal was not believed; empty: there was none."""
    existing: ExistingEntriesStatus | None = None
    """How far the cutting of entries is; ``None``: none is to be cut."""
    load: Load = field(default_factory=Load)
    """How hard the table is worked."""
