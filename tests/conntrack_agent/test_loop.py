"""The loop and the follower: how many requests, whatever happens."""

import errno
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

import pytest

from conntrack_agent.agent import Agent
from conntrack_agent.backoff import AT_ONCE, EVERY, LONGEST
from conntrack_agent.errors import (
    ClusterError,
    Expired,
    Invalid,
    NotFound,
    Overloaded,
    Refused,
    Unavailable,
    Unreachable,
)
from conntrack_agent.fake_kernel import FakeKernel
from conntrack_agent.follow import Follower, News, start_following
from conntrack_agent.loop import HEARTBEAT, Loop
from conntrack_agent.observations import COUNT
from conntrack_agent.testing import (
    ESTABLISHED,
    FakeClock,
    FakeCluster,
    FakeJournal,
    conntrack_node,
    node_spec,
)
from conntrack_api.node import ConntrackNode, NodeStatus

HOUR = 3600
SEED = 20261121
PAUSE = 5
TIMEOUT = f"proc/sys/net/netfilter/{ESTABLISHED}"


class Node:
    """An agent with its loop on a fake machine."""

    def __init__(self, **kernel: int) -> None:
        """Start."""
        self.kernel = FakeKernel(**kernel)
        self.clock = FakeClock()
        self.cluster = FakeCluster(conntrack_node())
        self.agent = Agent(
            self.kernel, FakeJournal(), clock=self.clock, chance=lambda: 0.5
        )
        self.loop = Loop(
            self.agent,
            self.cluster,
            observe_seconds=PAUSE,
            sample_seconds=0.001,
            clock=self.clock,
            chance=lambda: 0.5,
        )

    def run(self, seconds: float, each: Callable[[int], None] = lambda _n: None) -> int:
        """Let time pass; give the number of requests that were made in it."""
        before = len(self.cluster.requests)
        for number in range(int(seconds / PAUSE)):
            each(number)
            assert self.loop.turn(0)
            self.clock.sleep(PAUSE)
        return len(self.cluster.requests) - before


def test_news_are_answered_in_the_same_turn() -> None:
    """A wish is carried out and reported at once."""
    node = Node()
    node.loop.tell(conntrack_node(generation=3))

    node.loop.turn(0)

    assert ["status object-uid"] == node.cluster.requests
    (status,) = node.cluster.reported
    assert (3, "r1") == (status.observed_generation, status.applied_revision)


def test_life_is_shown_before_each_turn() -> None:
    """Whoever waits for the next sign in vain knows that a turn hangs."""
    node = Node()
    signs: list[int] = []
    node.loop.tell(conntrack_node())
    node.loop.stop()

    node.loop.run(lambda: signs.append(len(node.cluster.requests)))

    assert [0, 1] == signs


def test_a_quiet_node_sends_its_heartbeat_only() -> None:
    """One report every five minutes, give or take."""
    node = Node()
    node.loop.tell(conntrack_node())
    node.run(PAUSE)

    requests = node.run(HOUR)

    assert HOUR / HEARTBEAT - 1 <= requests <= HOUR / HEARTBEAT


def test_the_echo_of_a_report_causes_no_other() -> None:
    """Every report comes back as an event, which is no news."""
    node = Node()
    node.loop.tell(conntrack_node())
    node.run(PAUSE)

    def echo(_number: int) -> None:
        node.loop.tell(conntrack_node(status=node.cluster.reported[-1]))

    assert node.run(HOUR, echo) <= HOUR / HEARTBEAT


def test_nothing_is_reported_without_an_object() -> None:
    """Neither before the first nor after the last."""
    node = Node()
    assert 0 == node.run(HOUR)

    node.loop.tell(conntrack_node())
    node.run(PAUSE)
    node.loop.tell(None)

    assert 0 == node.run(HOUR)


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("500"),
        Overloaded("429", 30.0),
        Refused("403"),
        Invalid("422"),
        NotFound("404"),
    ],
    ids=str,
)
def test_a_status_that_is_not_taken_is_tried_seldom(
    error: ClusterError, caplog: pytest.LogCaptureFixture
) -> None:
    """Pauses grow; the log has one line for the whole hour."""
    node = Node()
    node.cluster.refuse_status = error
    node.loop.tell(conntrack_node())

    requests = node.run(HOUR)

    assert 8 <= requests <= 40
    lines = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert 1 == len(lines)


def test_a_report_that_was_held_up_follows_the_first_word_of_the_server() -> None:
    """Even when the object is the known one, within half a minute."""
    node = Node()
    node.loop.tell(conntrack_node())
    node.run(PAUSE)
    node.cluster.refuse_status = Unreachable("refused")
    node.run(HOUR)
    node.cluster.refuse_status = None
    node.kernel.poke(TIMEOUT, 1)

    node.loop.tell(conntrack_node())

    assert 1 <= node.run(30)
    assert node.cluster.reported


def test_an_echo_of_a_write_that_failed_is_no_reason_to_hurry() -> None:
    """A server that takes a status and cannot answer has too much to do."""
    node = Node()
    node.cluster.refuse_status = Unreachable("timed out")
    node.loop.tell(conntrack_node())
    seen = 0

    def echo(number: int) -> None:
        nonlocal seen
        if len(node.cluster.requests) > seen:
            seen = len(node.cluster.requests)
            heard = NodeStatus(heartbeat=f"2026-01-01T00:{number % 60:02}:00Z")
            node.loop.tell(conntrack_node(status=heard))

    assert node.run(HOUR, echo) <= 40 + HOUR / HEARTBEAT


@pytest.mark.parametrize("revision", ["r1", "r2"])
def test_what_the_server_asks_for_is_the_least(revision: str) -> None:
    """Neither its own events nor a new wish are earlier than ``Retry-After``."""
    node = Node()
    node.cluster.refuse_status = Overloaded("429", 600.0)
    node.loop.tell(conntrack_node())
    assert 1 == node.run(PAUSE)
    wish = conntrack_node(node_spec(revision=revision), generation=int(revision[1]))

    assert 0 == node.run(590, lambda _number: node.loop.tell(wish))
    node.cluster.refuse_status = None
    assert 1 <= node.run(30)


def test_a_wish_need_not_wait_for_the_pause() -> None:
    """News show that the API server is back, and somebody waits for the answer."""
    node = Node()
    node.cluster.refuse_status = Unavailable("500")
    node.loop.tell(conntrack_node())
    node.run(HOUR)
    node.cluster.refuse_status = None

    node.loop.tell(conntrack_node(node_spec(revision="r2"), generation=2))

    assert 1 == node.run(PAUSE)
    assert "r2" == node.cluster.reported[-1].applied_revision


@pytest.mark.parametrize(
    "fills",
    [(790, 800), (500, 560), (940, 950), (0, 1000)],
    ids=["warning", "band", "critical", "all"],
)
def test_a_fill_that_swings_is_reported_now_and_then(fills: tuple[int, int]) -> None:
    """Whatever the table does, the reports of an hour are counted."""
    node = Node(limit=1000)
    node.loop.tell(conntrack_node())

    def swing(number: int) -> None:
        node.kernel.files[COUNT] = f"{fills[number % 2]}\n"

    assert node.run(HOUR, swing) <= AT_ONCE + HOUR / EVERY + HOUR / HEARTBEAT


def test_a_refusal_with_changing_numbers_is_reported_once() -> None:
    """Live entries change with every look, what they mean does not."""
    node = Node(limit=262144, entries=200000)
    node.loop.tell(conntrack_node(node_spec({"nf_conntrack_max": 200000})))

    def breathe(number: int) -> None:
        node.kernel.files[COUNT] = f"{200000 + number % 7}\n"

    assert node.run(HOUR, breathe) <= 1 + HOUR / HEARTBEAT


def test_a_kernel_that_cannot_be_read_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line when it begins, one when it begins again."""
    node = Node()
    node.loop.tell(conntrack_node())
    for _ in range(2):
        node.kernel.read_errors[COUNT] = errno.EIO
        assert 0 == node.run(HOUR / 4)
        node.kernel.read_errors.clear()
        node.run(PAUSE)

    lines = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert 2 == len(lines)


def test_a_quiet_hour_has_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """A line is worth something when something happened."""
    caplog.set_level(logging.DEBUG, "conntrack_agent")
    node = Node()
    node.loop.tell(conntrack_node())
    node.run(PAUSE)
    caplog.clear()

    node.run(HOUR)

    assert [] == caplog.records


def test_only_the_latest_news_count() -> None:
    """A flood while the loop is busy costs neither memory nor passes."""
    node = Node()
    for generation in range(1, 10_001):
        node.loop.tell(conntrack_node(generation=generation))

    node.loop.turn(0)

    assert ["status object-uid"] == node.cluster.requests
    assert 10_000 == node.cluster.reported[0].observed_generation
    assert node.kernel.effects.done == [f"{ESTABLISHED}=86400"]


def test_a_stop_ends_the_loop_without_a_pass() -> None:
    """After the pass under way nothing is begun any more."""
    node = Node()
    node.loop.tell(conntrack_node())
    node.loop.turn(0)
    node.loop.stop()

    assert not node.loop.turn(60)
    assert 1 == len(node.cluster.requests)


def test_a_sudden_rise_does_not_wait_for_the_next_pass() -> None:
    """A table that fills up is looked at within a second, and reported."""
    node = Node(limit=1000, entries=100)
    node.loop.tell(conntrack_node())
    node.loop.turn(0)
    node.kernel.files[COUNT] = "900\n"

    node.loop.turn(1e9)

    full = node.cluster.reported[-1].table
    assert full is not None
    assert (900, 900) == (full.entries, full.peak_entries)


def test_the_peak_begins_anew_with_each_report() -> None:
    """A burst is said once."""
    node = Node(limit=1000, entries=100)
    node.loop.tell(conntrack_node())
    node.loop.turn(0)
    node.kernel.files[COUNT] = "900\n"
    node.loop.turn(0)
    node.kernel.files[COUNT] = "100\n"
    node.loop.turn(0)
    node.run(HOUR)

    peaks = [each.table.peak_entries for each in node.cluster.reported if each.table]
    assert [100, 900, 900] == peaks[:3], "the second report began at 900"
    assert {100} == set(peaks[3:])


def test_run_ends_with_stop() -> None:
    """The loop of a process ends when it is told to, from another thread, too."""
    node = Node()
    node.cluster.refuse_status = None
    thread = threading.Thread(target=node.loop.run, args=(bool,))
    thread.start()
    node.loop.tell(conntrack_node())

    node.loop.stop()
    node.loop.stop()

    thread.join(10)
    assert not thread.is_alive()


class Watcher:
    """A follower on a fake clock."""

    def __init__(self, cluster: FakeCluster, chance: float = 0.5) -> None:
        """Start."""
        self.cluster, self.clock = cluster, FakeClock()
        self.told: list[News] = []
        self.follower = Follower(
            cluster,
            self.told.append,
            clock=self.clock,
            sleep=self.clock.sleep,
            chance=lambda: chance,
        )

    def run(self, seconds: float) -> int:
        """Follow for some time; give the number of requests."""
        before, until = len(self.cluster.requests), self.clock() + seconds
        while self.clock() < until:
            self.follower.follow_once()
        return len(self.cluster.requests) - before


def raising(error: Exception) -> Callable[[], Iterator[News]]:
    """A stream that breaks at once."""

    def stream() -> Iterator[News]:
        yield from ()
        raise error

    return stream


@pytest.mark.parametrize(
    "error",
    [
        Unreachable("connection refused"),
        Unavailable("500"),
        Overloaded("429", 1.0),
        Refused("401"),
        Refused("403"),
        Invalid("400"),
        Expired("410"),
        NotFound("404"),
        RuntimeError("a bug"),
        RecursionError("a bug"),
    ],
    ids=str,
)
@pytest.mark.parametrize("where", ["get", "watch"])
@pytest.mark.parametrize("chance", [0.2, 0.5, 0.999])
def test_every_failure_is_followed_by_a_growing_pause(
    error: Exception, where: str, chance: float
) -> None:
    """An hour of any fault costs few requests, and the follower lives on."""
    cluster = FakeCluster(conntrack_node(), stream=raising(error))
    if where == "get":
        cluster.answer = error
    watcher = Watcher(cluster, chance)

    requests = watcher.run(HOUR)

    longest = error.longest_pause if isinstance(error, ClusterError) else LONGEST
    assert HOUR / longest - 1 <= requests <= 2 * (HOUR / longest / chance + 10)


@pytest.mark.parametrize(
    ("error", "most"),
    [(Unreachable("refused"), 30), (Refused("403"), 60), (Unavailable("503"), 60)],
    ids=str,
)
@pytest.mark.parametrize("minutes", [1, 10, 600])
def test_an_agent_is_back_soon_after_an_outage(
    error: ClusterError, most: float, minutes: int
) -> None:
    """However long it was, and whatever the chance; most of a fleet is back earlier."""
    chance = Random(SEED)  # noqa: S311 - no secret
    waits = []
    for _ in range(100):
        cluster = FakeCluster(error)
        watcher = Watcher(cluster)
        watcher.follower = Follower(
            cluster,
            watcher.told.append,
            clock=watcher.clock,
            sleep=watcher.clock.sleep,
            chance=chance.random,
        )
        until = watcher.clock() + minutes * 60
        watcher.run(minutes * 60)
        waits.append(watcher.clock() - until)

    assert max(waits) <= most
    assert sorted(waits)[50] <= most / 2


def test_a_stream_that_ends_at_once_is_no_hot_loop() -> None:
    """A clean end is a failure if it comes too soon."""
    assert Watcher(FakeCluster(conntrack_node())).run(HOUR) <= 90


def test_a_long_watch_is_taken_up_again_soon() -> None:
    """The usual end after half an hour costs a second and two requests."""
    cluster = FakeCluster(conntrack_node(generation=7))
    watcher = Watcher(cluster)

    def half_an_hour() -> Iterator[News]:
        watcher.clock.sleep(1800)
        yield from ()

    cluster.stream = half_an_hour

    assert watcher.run(HOUR) <= 4
    assert ["get", "watch 1007"] * 2 == cluster.requests
    assert watcher.clock() - 5000 - HOUR <= 2


def test_a_missing_object_is_told_and_waited_for() -> None:
    """After a 404 the watch starts from the present state, so nothing is missed."""
    made = conntrack_node()
    cluster = FakeCluster(NotFound("404"), stream=lambda: iter([made]))
    watcher = Watcher(cluster)

    watcher.follower.follow_once()

    assert [None, made] == watcher.told
    assert ["get", "watch"] == cluster.requests


@pytest.mark.parametrize("error", [Unavailable("500"), Refused("401"), Expired("410")])
def test_a_failure_is_not_absence(error: ClusterError) -> None:
    """Only a 404 says that there is no object."""
    watcher = Watcher(FakeCluster(error))

    watcher.run(HOUR)

    assert [] == watcher.told


@pytest.mark.parametrize(
    "error", [Unavailable("connection refused"), RuntimeError("a bug")], ids=str
)
def test_a_lasting_failure_is_said_once(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """One line in an hour."""
    Watcher(FakeCluster(error)).run(HOUR)

    assert 1 == len(caplog.records)


class Moody(FakeCluster):
    """An API server behind several addresses, each of which fails in its own way."""

    def get(self) -> ConntrackNode:
        """Fail, with a number that was never there before."""
        number = len(self.requests)
        self.requests.append("get")
        raise Unavailable(
            f"refused by port {number}" if number % 2 else f"503 {number}"
        )


def test_an_outage_of_many_faces_is_said_once_for_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither taking turns nor a number in the text makes a failure news."""
    cluster = Moody(conntrack_node())

    Watcher(cluster).run(HOUR)

    assert len(cluster.requests) > 20
    assert ["503 0", "refused by port 1"] == [
        vars(each)["error"] for each in caplog.records
    ]


def test_an_outage_is_said_again_after_a_good_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The next one is another."""
    cluster = FakeCluster(Unavailable("refused"))
    watcher = Watcher(cluster)
    for _ in range(2):
        cluster.answer = Unavailable("refused")
        watcher.run(HOUR)
        cluster.answer = conntrack_node()
        cluster.stream = lambda: iter([conntrack_node()])
        watcher.run(HOUR)

    assert 2 == len(caplog.records)


def test_agents_that_start_together_do_not_ask_together() -> None:
    """The first request comes after a random share of some seconds, only the first."""
    waits: list[float] = []
    cluster = FakeCluster(conntrack_node())
    spread = Random(7)  # noqa: S311 - no secret

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if cluster.requests:
            raise SystemExit

    for _ in range(200):
        cluster.requests.clear()
        follower = Follower(
            cluster,
            lambda _news: None,
            clock=FakeClock(),
            sleep=sleep,
            chance=spread.random,
        )
        with pytest.raises(SystemExit):
            follower.run(5.0)

    first = waits[::2]
    assert 0 <= min(first) < 0.5
    assert 4.5 < max(first) < 5
    assert 1 >= max(waits[1::2]), "the usual pause"


def test_following_runs_beside_the_loop() -> None:
    """The thread tells what it reads, and does not keep the process alive."""
    heard = threading.Event()
    cluster = FakeCluster(conntrack_node())
    follower = Follower(
        cluster,
        lambda _news: heard.set(),
        clock=FakeClock(),
        # It outlives this test, and must not draw random numbers under later ones.
        sleep=lambda seconds: threading.Event().wait() if seconds else None,
        chance=lambda: 0.5,
    )

    thread = start_following(follower, 0)

    assert heard.wait(60)
    assert thread.daemon
    assert replace(conntrack_node()) == cluster.answer
