"""
Metrics and readiness over HTTP; served only where a port is given.

==============================================  =======  ===========================
``conntrack_operator_build_info``               gauge    1; labels: version
``conntrack_operator_lease_held``               gauge    1 while we may write
``conntrack_operator_synced``                   gauge    1 when everything is known
``conntrack_operator_passes_total``             counter  passes that have ended
``conntrack_operator_pass_seconds_total``       counter  time that they took
``conntrack_operator_writes_total``             counter  labels: outcome
``conntrack_operator_events_total``             counter  labels: outcome
``conntrack_operator_policy_nodes``             gauge    labels: policy, state
==============================================  =======  ===========================
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import asdict

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from conntrack_operator import VERSION
from conntrack_operator.figures import Figures

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "conntrack_operator"


class FiguresCollector(Collector):
    """Turns the present figures into metrics, at each scrape."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        """
        Take where the figures come from.
        """
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """
        Give all metrics.
        """
        now = self._figures()
        build = GaugeMetricFamily(
            f"{PREFIX}_build_info", "Version of the operator.", labels=["version"]
        )
        build.add_metric([VERSION], 1)
        yield build
        yield GaugeMetricFamily(
            f"{PREFIX}_lease_held",
            "1 while this operator may write.",
            value=now.epoch is not None,
        )
        yield GaugeMetricFamily(
            f"{PREFIX}_synced", "1 when everything is known.", value=now.synced
        )
        yield CounterMetricFamily(
            f"{PREFIX}_passes", "Passes that have ended.", value=now.passes
        )
        yield CounterMetricFamily(
            f"{PREFIX}_pass_seconds", "Time that passes took.", value=now.pass_seconds
        )
        for name, what, counts in (
            ("writes", "Writes to ConntrackNodes", now.writes),
            ("events", "Events that tell people what happened", now.events),
        ):
            outcomes = CounterMetricFamily(
                f"{PREFIX}_{name}", f"{what} by what came of them.", labels=["outcome"]
            )
            for outcome, count in sorted(counts.items()):
                outcomes.add_metric([outcome], count)
            yield outcomes
        nodes = GaugeMetricFamily(
            f"{PREFIX}_policy_nodes",
            "Nodes of a policy by their state, as its status counts them.",
            labels=["policy", "state"],
        )
        for policy, states in sorted(now.policies.items()):
            for state, count in asdict(states).items():
                nodes.add_metric([policy, state], count)
        yield nodes


def application(figures: Callable[[], Figures]) -> web.Application:
    """
    Make what answers on the port: ``/metrics`` and ``/readyz``.

    Ready is who knows everything; the lease may be somebody else's, who is about to
    end.
    """
    registry = CollectorRegistry()
    registry.register(FiguresCollector(figures))

    async def metrics(_: web.Request) -> web.Response:
        text = generate_latest(registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

    async def ready(_: web.Request) -> web.Response:
        synced = figures().synced
        words = "ready" if synced else "not everything is known yet"
        return web.Response(status=200 if synced else 503, text=words)

    found = web.Application()
    found.add_routes([web.get("/metrics", metrics), web.get("/readyz", ready)])
    return found


async def serve(port: int, figures: Callable[[], Figures]) -> None:
    """
    Answer on a port, for ever.

    Raises:
        OSError: The port is in use.
    """
    runner = web.AppRunner(application(figures), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        await asyncio.Event().wait()  # until cancelled
    finally:
        await runner.cleanup()
