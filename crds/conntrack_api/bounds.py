"""
The bounds that a field carries in its annotation.

``Annotated[int, Range(1, 100)]`` is read in two places: by `codec`, which refuses
what lies outside, and by the test that compares these types with the CRD files.
"""

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Range:
    """A whole number between two bounds, both included."""

    minimum: int
    maximum: int

    def __str__(self) -> str:
        """
        Complete the sentence "must be ...".
        """
        return f"a whole number from {self.minimum} to {self.maximum}"


@dataclass(frozen=True, slots=True)
class Text:
    """A string with a longest length and, where it has a form, a pattern."""

    max_length: int
    pattern: str = ""
    meaning: str = "text"

    def __str__(self) -> str:
        """
        Complete the sentence "must be ...".
        """
        return f"{self.meaning} of at most {self.max_length} characters"

    def accepts(self, value: str) -> bool:
        """
        Tell whether a string fits.
        """
        fits = len(value) <= self.max_length
        return fits and (not self.pattern or bool(re.fullmatch(self.pattern, value)))


@dataclass(frozen=True, slots=True)
class Items:
    """A list or a map with a largest number of items."""

    maximum: int

    def __str__(self) -> str:
        """
        Complete the sentence "must be ...".
        """
        return f"at most {self.maximum} items"


_NAME: Final = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"

LABEL_KEY: Final = Text(
    317,
    rf"^([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_NAME}$",
    "a label key such as example.com/role",
)
"""Source: Kubernetes, "Labels and Selectors", syntax and character set."""

LABEL_VALUE: Final = Text(63, rf"^({_NAME})?$", "a label value")
"""Source: the same; an empty value is allowed."""
