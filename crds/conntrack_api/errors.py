"""
What can be wrong with an object::

    ContractError
    └── InvalidObject      one or more fields do not hold; all of them are listed

Raised by `codec` only. Callers turn it into a condition or into a sentence on a
terminal; nobody shows a traceback for it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One field that does not hold."""

    field: str
    """Path of the field as written in YAML, for example ``spec.table.buckets``."""

    value: object
    """The value found; ``None`` when the field is missing."""

    allowed: str
    """What would be accepted, as the end of "must be ..."."""

    def __str__(self) -> str:
        """
        Say it the way the API server does: field, value, what is allowed.
        """
        if self.value is None:
            return f"{self.field}: required, must be {self.allowed}"
        shown = repr(self.value)
        if len(shown) > 80:  # noqa: PLR2004 - a terminal line, not a dump
            shown = shown[:77] + "..."
        return f"{self.field}: invalid value {shown}, must be {self.allowed}"


class ContractError(Exception):
    """Base of everything that can be wrong with an object."""


class InvalidObject(ContractError):
    """One or more fields of an object do not hold."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        """
        Keep every problem, so that a person can mend all of them at once.

        Args:
            problems: At least one, in the order of the object's fields.
        """
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems
