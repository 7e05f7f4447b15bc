"""
Metrics of one node, as Prometheus reads them; only when an address is given.

`prometheus_client` is imported when it is switched on, since it costs memory. Nothing
is measured for a scrape: it shows what the last pass found.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from conntrack_agent.errors import KernelError
from conntrack_api.conditions import ConditionStatus, NodeCondition, find
from conntrack_api.node import NodeStatus

if TYPE_CHECKING:
    from conntrack_agent.kernel import LinuxKernel

_PREFIX: Final = "conntrack_agent_"
_CONDITIONS: Final = {
    "ready": (NodeCondition.READY, "1: the kernel has what was asked."),
    "pressure": (NodeCondition.PRESSURE, "1: the table is close to its limit."),
    "drifted": (NodeCondition.DRIFTED, "1: somebody else changed a value."),
}


class CountingKernel:
    """A kernel that knows how often it was written."""

    def __init__(
        self, kernel: "LinuxKernel", clock: Callable[[], float] = time.time
    ) -> None:
        """
        Stand before a kernel.

        Args:
            kernel: Does the work.
            clock: Seconds since the epoch.
        """
        self.read = kernel.read
        self.writable = kernel.writable
        self.page_bytes = kernel.page_bytes
        self.lost_files = kernel.lost_files
        self._kernel = kernel
        self._clock = clock
        self.applied = 0
        """Writes that the kernel took."""
        self.failed = 0
        self.last = 0.0
        """When it took the last one, seconds since the epoch; 0: none yet."""

    def write(self, file: str, value: int) -> None:
        """
        Write one number, and count it.
        """
        try:
            self._kernel.write(file, value)
        except KernelError:
            self.failed += 1
            raise
        self.applied += 1
        self.last = self._clock()


class Metrics:
    """A collector for `prometheus_client`."""

    def __init__(
        self, status: Callable[[], NodeStatus], kernel: CountingKernel
    ) -> None:
        """
        Say where the numbers are.

        Args:
            status: Gives the status as last computed.
            kernel: Counts writes.
        """
        self._status = status
        self._kernel = kernel

    def collect(self) -> Iterator[Any]:
        """
        Give every metric; what is not known is left out.
        """
        from prometheus_client.core import (  # noqa: PLC0415 - costs memory
            CounterMetricFamily,
            GaugeMetricFamily,
        )

        status = self._status()
        for name, text, value in self._gauges(status):
            yield GaugeMetricFamily(f"{_PREFIX}{name}", text, value=value)
        if drops := status.drops:
            family = CounterMetricFamily(
                f"{_PREFIX}drops",
                "Since the first sight of this boot, by cause.",
                labels=["cause"],
            )
            family.add_metric(["table_full"], drops.table)
            family.add_metric(["early_drop"], drops.early)
            family.add_metric(["insert_failed"], drops.insert_failed)
            family.add_metric(["chain_too_long"], drops.chain_too_long)
            yield family
        writes = CounterMetricFamily(
            f"{_PREFIX}writes", "Kernel files written.", labels=["result"]
        )
        writes.add_metric(["applied"], self._kernel.applied)
        writes.add_metric(["failed"], self._kernel.failed)
        yield writes

    def _gauges(self, status: NodeStatus) -> Iterator[tuple[str, str, float]]:
        """
        Give what goes up and down: name, help, value.
        """
        table = status.table
        if table:
            yield "entries", "Flows tracked.", table.entries
            yield "entries_limit", "Most flows; 0: no limit.", table.max_entries
            yield "entries_peak", "Most since the last report.", table.peak_entries
            yield "buckets", "Buckets of the hash table.", table.buckets
            yield "memory_bytes", "Memory of the table.", table.memory_bytes
        yield "failures", "Settings that are not as asked.", len(status.failures)
        for name, (kind, text) in _CONDITIONS.items():
            found = find(status.conditions, kind)
            if found:
                yield name, text, found.status == ConditionStatus.TRUE
        if self._kernel.last:
            text = "When a kernel file was last written."
            yield "last_write_timestamp_seconds", text, self._kernel.last
