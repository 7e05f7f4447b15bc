import asyncio
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

import pytest

from conntrack_operator.access import Credentials
from conntrack_operator.cluster import ApiCluster
from conntrack_operator.informer import Informer
from conntrack_operator.rows import NodeRow, node_row
from conntrack_operator.testing import Answer, FakeTime, ScriptedServer, Stream
from conntrack_operator.transport import Transport

Object = Mapping[str, Any]
CredentialsFor = Callable[[str], Credentials]


def node(name: str, version: int = 1, **labels: str) -> Object:
    """Make a Node as the API server sends it."""
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "labels": labels,
        }
    }


def page(*nodes: Object, version: int = 10, rest: str = "") -> Answer:
    """Make one page of a list."""
    meta = {"resourceVersion": str(version), "continue": rest}
    return Answer(body={"metadata": meta, "items": nodes})


def event(kind: str, obj: Object) -> Object:
    """Make one event of a watch."""
    return {"type": kind, "object": obj}


def failure(code: int) -> Object:
    """Make the Status object that a refusal carries."""
    return {"kind": "Status", "code": code, "message": f"told so: {code}"}


class Run:
    """An informer on a script, run until the script is over."""

    def __init__(self) -> None:
        """Start without rings."""
        self.time = FakeTime()
        self.rings: list[tuple[str, ...]] = []
        self.informer: Informer[NodeRow]
        self.requests: list[str] = []

    def ring(self) -> None:
        """Note what was there when the bell rang."""
        self.rings.append(tuple(sorted(self.informer.rows)))

    @property
    def names(self) -> list[str]:
        """Give the names of the rows."""
        return sorted(self.informer.rows)


Play = Callable[..., Awaitable[Run]]


@pytest.fixture
def run(credentials_for: CredentialsFor) -> Play:
    """Run an informer on a script; give what it has and what it asked."""

    async def play(
        *script: Answer | Stream, tick: float = 0, silence: float = 5
    ) -> Run:
        result = Run()
        async with (
            ScriptedServer(*script) as server,
            Transport(credentials_for(server.url), silence=silence) as transport,
        ):

            def ring() -> None:
                result.ring()
                result.time.now += tick

            result.informer = Informer(
                ApiCluster(transport).nodes(),
                node_row,
                kind="Node",
                ring=lambda *_: ring(),
                clock=result.time.clock,
                sleep=result.time.sleep,
                random=Random(0),  # noqa: S311 - tests repeat
            )
            task = asyncio.create_task(result.informer.run())
            await server.over()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            result.requests = [str(each) for each in server.requests]
        return result

    return play


async def test_list_in_pages_then_watch(run: Play) -> None:
    """Everything is read in pages, then followed from the version of the list."""
    found = await run(
        page(node("a"), rest="more"),
        page(node("b")),
        Stream(
            events=[
                event("ADDED", node("c", 11)),
                event("MODIFIED", node("a", 12, role="web")),
                event("DELETED", node("b", 13)),
            ]
        ),
    )

    assert ["a", "c"] == found.names
    assert {"role": "web"} == found.informer.rows["a"].labels
    assert ["list", "list next", "watch 10", "watch 13"] == found.requests
    assert [("a", "b"), ("a", "b", "c"), ("a", "b", "c"), ("a", "c")] == found.rings


async def test_not_synced_before_the_last_page(run: Play) -> None:
    """Half a list is not shown to anybody, and the next attempt starts anew."""
    found = await run(page(node("a"), rest="more"), Answer(status=500))

    assert not found.informer.synced
    assert [] == found.names
    assert [] == found.rings
    assert ["list", "list next", "list"] == found.requests


async def test_failed_page_keeps_the_old_rows(run: Play) -> None:
    """A list that breaks in the middle deletes nothing."""
    found = await run(
        page(node("a"), node("b")),
        Stream(events=[event("ERROR", failure(410))]),
        page(node("c"), version=20, rest="more"),
        Answer(status=410, body=failure(410)),
    )

    assert found.informer.synced
    assert ["a", "b"] == found.names
    assert [("a", "b")] == found.rings
    assert ["list", "watch 10", "list", "list next", "list"] == found.requests


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param(Stream(events=[event("ERROR", failure(410))]), id="in the stream"),
        pytest.param(Answer(status=410, body=failure(410)), id="as the answer"),
    ],
)
async def test_deletion_that_was_never_told(run: Play, gone: Answer | Stream) -> None:
    """After a gap the new list is compared with the old one."""
    found = await run(page(node("a"), node("b")), gone, page(node("b"), version=20))

    assert ["b"] == found.names
    assert [("a", "b"), ("b",)] == found.rings
    assert ["list", "watch 10", "list", "watch 20"] == found.requests


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(Stream(events=[event("ADDED", node("b", 11))]), id="clean"),
        pytest.param(
            Stream(
                events=[event("ADDED", node("b", 11))], rest='{"type":"DEL', cut=True
            ),
            id="cut in the middle of a line",
        ),
        pytest.param(
            Stream(
                events=[event("ADDED", node("b", 11)), event("ERROR", failure(500))]
            ),
            id="an error that is not 410",
        ),
        pytest.param(
            Stream(events=[event("ADDED", node("b", 11)), event("ADDED", {})]),
            id="an object without a name",
        ),
        pytest.param(
            Stream(events=[event("ADDED", node("b", 11))], rest="<html>\n"),
            id="something that is no JSON",
        ),
    ],
)
async def test_watch_goes_on_where_it_ended(run: Play, end: Stream) -> None:
    """A stream that ends is taken up again from the last version, without a list."""
    found = await run(page(node("a")), end)

    assert ["a", "b"] == found.names
    assert ["list", "watch 10", "watch 11"] == found.requests


async def test_silent_stream(run: Play) -> None:
    """A stream without even a bookmark is dead, though the connection is not."""
    found = await run(page(node("a")), Stream(silent=True), silence=0.1)

    assert ["list", "watch 10", "watch 10"] == found.requests


async def test_bookmark_moves_the_version_and_rings_no_bell(
    run: Play,
) -> None:
    """A bookmark says where to go on, and nothing else."""
    bookmark = {"metadata": {"resourceVersion": "99"}}

    found = await run(page(node("a")), Stream(events=[event("BOOKMARK", bookmark)]))

    assert ["list", "watch 10", "watch 99"] == found.requests
    assert [("a",)] == found.rings


async def test_event_without_news_rings_no_bell(run: Play) -> None:
    """A kubelet's heartbeat changes nothing that we keep."""
    found = await run(
        page(node("a")), Stream(events=[event("MODIFIED", node("a", 11))])
    )

    assert [("a",)] == found.rings


async def test_every_failure_is_followed_by_a_pause(run: Play) -> None:
    """A server that fails in every way gets few requests, ever fewer."""
    refused = [Answer(status=status) for status in (500, 429, 403, 404, 503)]
    closed = [Stream() for _ in range(10)]

    found = await run(*refused, page(node("a")), *closed)

    assert 17 == len(found.requests)
    # No pause between a list and its watch, and the last request is still open.
    assert 15 == len(found.time.pauses)
    assert all(1 <= pause <= 60 for pause in found.time.pauses)
    assert sum(found.time.pauses) > 60


async def test_servers_wish_for_a_pause_is_kept(run: Play) -> None:
    """Who is told to come back in a while does."""
    found = await run(Answer(status=429, headers={"Retry-After": "45"}))

    assert [45] == found.time.pauses


async def test_pause_is_short_again_after_health(run: Play) -> None:
    """A watch that lived for a minute starts the pauses anew."""
    found = await run(
        *(Answer(status=500) for _ in range(8)),
        page(node("a")),
        Stream(events=[event("ADDED", node("b", 11))]),
        tick=61,
    )

    assert max(found.time.pauses[:-1]) > 2
    assert found.time.pauses[-1] <= 2


async def test_list_again_after_a_while(run: Play) -> None:
    """Once in an hour a list checks what the watch has told."""
    found = await run(page(node("a")), Stream(), page(node("a"), version=30), tick=3600)

    assert ["list", "watch 10", "list", "watch 30"] == found.requests
    assert [("a",)] == found.rings


async def test_list_from_the_past_is_refused(run: Play) -> None:
    """A server that lags behind does not bring back what is gone."""
    found = await run(
        page(node("a"), node("b"), version=10),
        Stream(events=[event("DELETED", node("b", 11))]),
        page(node("a"), node("b"), version=9),
        page(node("a"), version=12),
        tick=3600,
    )

    assert ["a"] == found.names
    assert ["list", "watch 10", "list", "list", "watch 12"] == found.requests


async def test_past_that_stays_is_the_present(run: Play) -> None:
    """After a restore from a backup, versions start again at a lower number."""
    old = page(node("a"), version=3)

    found = await run(
        page(node("a"), node("b"), version=10), Stream(), old, old, old, old, tick=3600
    )

    assert ["a"] == found.names
    assert "watch 3" == found.requests[-1]
