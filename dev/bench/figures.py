"""
Figures: a few numbers, their summary, and the line that shows it.
"""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured thing beside its baseline."""

    name: str
    unit: str
    median: float
    worst: float
    count: int
    baseline: str
    """What it is compared with."""
    baseline_median: float

    @property
    def ratio(self) -> float:
        """
        Median of ours to median of the baseline.
        """
        return self.median / self.baseline_median if self.baseline_median else 0.0

    def line(self) -> str:
        """
        Give one line of the table.
        """
        return (
            f"{self.name:<44}{self.median:>9.2f}{self.worst:>9.2f} {self.unit:<5}"
            f" n={self.count:<4}{self.ratio:>7.2f} x {self.baseline}"
            f" ({self.baseline_median:.2f})"
        )

    def document(self) -> dict[str, object]:
        """
        Give the same for ``--json``.
        """
        return {**asdict(self), "ratio": self.ratio}


def figure(
    name: str,
    unit: str,
    values: Sequence[float],
    baseline: str,
    baseline_values: Sequence[float],
) -> Figure:
    """
    Summarise measured values.

    Args:
        name: What was measured.
        unit: Of the values.
        values: At least one.
        baseline: What it is compared with.
        baseline_values: At least one, measured in the same run.
    """
    return Figure(
        name=name,
        unit=unit,
        median=statistics.median(values),
        worst=max(values),
        count=len(values),
        baseline=baseline,
        baseline_median=statistics.median(baseline_values),
    )


HEADER = f"{'':<44}{'median':>9}{'worst':>9}"
