from collections import Counter

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from conntrack_api.policy_status import NodeCounts
from conntrack_operator.figures import Figures
from conntrack_operator.metrics import application


async def get(figures: Figures, path: str) -> tuple[int, str]:
    """Ask over HTTP; give code and text."""
    async with (
        TestServer(application(lambda: figures)) as server,
        aiohttp.ClientSession() as client,
        client.get(server.make_url(path)) as answer,
    ):
        return answer.status, await answer.text()


async def test_metrics() -> None:
    """Every figure is a metric with the prefix, and counters end in total."""
    figures = Figures(
        passes=3,
        pass_seconds=1.5,
        writes=Counter(told=7, failed=1),
        events=Counter(posted=2),
        policies={"edge": NodeCounts(matched=5, failed=2)},
        epoch=4,
        synced=True,
    )

    code, text = await get(figures, "/metrics")

    lines = set(text.splitlines())
    assert 200 == code
    assert {
        "conntrack_operator_lease_held 1.0",
        "conntrack_operator_synced 1.0",
        "conntrack_operator_passes_total 3.0",
        "conntrack_operator_pass_seconds_total 1.5",
        'conntrack_operator_writes_total{outcome="failed"} 1.0',
        'conntrack_operator_writes_total{outcome="told"} 7.0',
        'conntrack_operator_events_total{outcome="posted"} 2.0',
        'conntrack_operator_policy_nodes{policy="edge",state="matched"} 5.0',
        'conntrack_operator_policy_nodes{policy="edge",state="failed"} 2.0',
    } <= lines
    names = {each.split()[2] for each in lines if each.startswith("# TYPE")}
    assert all(each.startswith("conntrack_operator_") for each in names)


@pytest.mark.parametrize(("synced", "expected"), [(False, 503), (True, 200)])
async def test_ready(synced: bool, expected: int) -> None:  # noqa: FBT001 - a column
    """Ready is who knows everything, whoever has the lease."""
    code, _ = await get(Figures(synced=synced), "/readyz")

    assert expected == code
