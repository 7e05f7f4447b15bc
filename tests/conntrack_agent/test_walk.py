"""The walk through the table: its pace, what stops it, and what it says."""

import errno
import os
from dataclasses import replace

import pytest

from conntrack_agent.agent import Agent, Sources
from conntrack_agent.clamp import ASSURED, SEEN_REPLY, Cuts, Entry, Rule, too_long
from conntrack_agent.errors import KernelError
from conntrack_agent.fake_kernel import FakeKernel
from conntrack_agent.loop import Loop
from conntrack_agent.nfnetlink import translated
from conntrack_agent.observations import BUCKETS, COUNT
from conntrack_agent.testing import (
    ESTABLISHED,
    FakeClock,
    FakeCluster,
    FakeJournal,
    conntrack_node,
    node_spec,
)
from conntrack_agent.walk import AGAIN, EXAMINED, RETRY, SHORTENED
from conntrack_api.conditions import NodeCondition, find
from conntrack_api.node import (
    ConntrackNode,
    ExistingEntriesStatus,
    NodeMode,
    NodeStatus,
    WalkState,
)
from conntrack_api.policy import ExistingEntries

NOW = "2026-01-01T00:00:00Z"
LIMIT = 600
TIMEOUT = f"proc/sys/net/netfilter/{ESTABLISHED}"
PART = 50


class FakeEntries:
    """A table in memory; notes every update."""

    def __init__(self, idle: int = 0, short: int = 0) -> None:
        """Fill it with idle entries of five days, and with short ones."""
        plain = Entry(
            key=b"",
            family=2,
            protocol=6,
            state=3,
            status=SEEN_REPLY | ASSURED,
            remaining=432_000,
        )
        times = [432_000] * idle + [LIMIT] * short
        self.table = {
            key: replace(plain, key=key, remaining=seconds)
            for number, seconds in enumerate(times)
            if (key := b"%d" % number)
        }
        self.updates: list[tuple[bytes, int, int]] = []
        """Key, seconds before, seconds after."""
        self.walks = 0
        self.error: KernelError | None = None
        self.meanwhile: dict[bytes, Entry] = {}
        """What entries have become when they are next updated."""
        self.vanishing = b""
        """The entry that is gone when it is next updated."""
        self._left: list[bytes] | None = None

    def read(self, most: Rule) -> tuple[int, Cuts] | None:
        """Read the next part."""
        if self.error:
            raise self.error
        if self._left is None:
            self._left = list(self.table)
            self.walks += 1
        part, self._left = self._left[:PART], self._left[PART:]
        if not part:
            self._left = None
            return None
        found = [self.table[key] for key in part if key in self.table]
        cuts = [(each, too_long(each, most)) for each in found]
        return len(part), [each for each in cuts if each[1]]

    def cut(self, cuts: Cuts) -> list[tuple[bool, Entry | None]]:
        """Set what remains, as the kernel does: whatever the entry is by now."""
        self.table.update(self.meanwhile)
        self.meanwhile = {}
        self.table.pop(self.vanishing, None)
        outcomes: list[tuple[bool, Entry | None]] = []
        for entry, seconds in cuts:
            now = self.table.get(entry.key)
            if now is None:
                outcomes.append((False, None))
                continue
            self.updates.append((entry.key, now.remaining, seconds))
            self.table[entry.key] = replace(now, remaining=seconds)
            outcomes.append((True, self.table[entry.key]))
        return outcomes

    def skip(self) -> None:
        """Lose what the walk has not come to yet."""
        self._left = []

    def close(self) -> None:
        """Give up a walk."""
        self._left = None

    @property
    def too_long(self) -> int:
        """Entries that are still to be cut."""
        return sum(each.remaining > LIMIT for each in self.table.values())


class Host:
    """One machine; its table outlives the agent."""

    def __init__(self, entries: FakeEntries) -> None:
        """Start the agent, and tell it to cut."""
        self.kernel = FakeKernel()
        self.kernel.poke(TIMEOUT, 432_000)
        self.journal = FakeJournal()
        self.clock = FakeClock()
        self.entries = entries
        self.status = NodeStatus()
        self.start()
        self.agent.accept(wish())

    def start(self) -> None:
        """Start the agent, or start it again."""
        self.entries.close()
        self.agent = Agent(
            self.kernel,
            self.journal,
            clock=self.clock,
            chance=lambda: 0,
            sources=Sources(entries=self.entries),
        )

    def run(self, passes: int = 1, seconds: int = 5) -> ExistingEntriesStatus | None:
        """Run passes, and look each second between them, as the loop does."""
        for _ in range(passes):
            for _ in range(seconds - 1):
                self.clock.sleep(1)
                self.agent.sample()
            self.clock.sleep(1)
            status = self.agent.pass_once(NOW)
            assert status is not None
            self.status = status
        return self.status.existing_entries

    @property
    def reason(self) -> str:
        """Why it is ready, or not."""
        found = find(self.status.conditions, NodeCondition.READY)
        assert found is not None
        return found.reason


def wish(
    seconds: int = LIMIT,
    *,
    number: int = 1,
    mode: NodeMode = NodeMode.ENFORCE,
    existing: ExistingEntries = ExistingEntries.CLAMP,
    soak: int = 0,
) -> ConntrackNode:
    """What the node is told."""
    spec = node_spec(
        {ESTABLISHED: seconds},
        mode=mode,
        revision=f"r{number}",
        soak_seconds=soak,
    )
    return conntrack_node(replace(spec, existing_entries=existing), generation=number)


def test_idle_entries_are_cut_and_short_ones_are_not_touched() -> None:
    """The timeout first, then the entries; said as it is."""
    host = Host(FakeEntries(idle=700, short=300))

    host.run(2)

    expected = ExistingEntriesStatus(state=WalkState.DONE, examined=1000, shortened=700)
    assert expected == host.status.existing_entries
    assert "Applied" == host.reason
    assert {(432_000, LIMIT)} == {update[1:] for update in host.entries.updates}
    assert 700 == len(host.entries.updates)


def test_the_pace_is_bounded_in_every_second() -> None:
    """Neither more looks nor more cuts, however often a step is asked for."""
    host = Host(FakeEntries(idle=5 * SHORTENED))
    cut = []
    for _ in range(20):
        host.clock.sleep(0.5)
        before = len(host.entries.updates)
        host.agent.pass_once(NOW)
        host.agent.sample()
        cut.append(len(host.entries.updates) - before)

    assert max(cut) <= SHORTENED / 2 + PART
    assert 0 == host.entries.too_long
    quiet = Host(FakeEntries(short=3 * EXAMINED))
    quiet.run(1, seconds=1)
    (status,) = [quiet.status.existing_entries]
    assert status is not None
    assert status.examined <= EXAMINED + PART


def test_after_a_long_silence_there_is_no_burst() -> None:
    """A machine that was asleep for an hour is not made to catch up."""
    host = Host(FakeEntries(idle=5 * SHORTENED))

    host.clock.sleep(3600)
    host.agent.pass_once(NOW)

    assert len(host.entries.updates) <= SHORTENED + PART


def test_ready_does_not_wait_for_the_walk() -> None:
    """The settings are as asked; the rest is progress."""
    host = Host(FakeEntries(idle=20 * SHORTENED))

    progress = host.run()

    assert "Applied" == host.reason
    assert progress is not None
    assert WalkState.WALKING == progress.state
    assert 0 < progress.shortened < 20 * SHORTENED


@pytest.mark.parametrize(
    "then",
    [
        wish(number=2, mode=NodeMode.OBSERVE),
        wish(number=2, existing=ExistingEntries.KEEP),
        wish(number=2, mode=NodeMode.REVERT),
        replace(wish(), hold="look at it first"),
    ],
    ids=["observe", "keep", "revert", "hold"],
)
def test_a_walk_under_way_stops_at_once(then: ConntrackNode) -> None:
    """Observe, Keep, a revert and a hold touch no further entry."""
    host = Host(FakeEntries(idle=20 * SHORTENED))
    host.run()

    host.agent.accept(then)
    host.agent.pass_once(NOW)
    before = len(host.entries.updates)
    host.run(3)

    assert before == len(host.entries.updates)
    assert host.status.existing_entries is None


def test_without_an_object_and_without_a_kernel_nothing_is_cut() -> None:
    """Absence is never a command."""
    host = Host(FakeEntries(idle=20 * SHORTENED))
    host.run()

    host.agent.gone()
    before = len(host.entries.updates)
    host.clock.sleep(1)
    host.agent.sample()
    assert host.agent.pass_once(NOW) is None
    assert before == len(host.entries.updates)

    host.agent.accept(wish())
    host.run()
    before = len(host.entries.updates)
    assert before
    host.kernel.read_errors[COUNT] = errno.EIO
    with pytest.raises(KernelError):
        host.agent.pass_once(NOW)
    host.clock.sleep(1)
    host.agent.sample()
    assert before == len(host.entries.updates)


def test_a_change_on_trial_cuts_nothing() -> None:
    """What was cut could not be given back."""
    host = Host(FakeEntries(idle=100))
    host.agent.accept(wish(number=2, soak=60))

    host.run(10)
    assert "Pending" == host.reason
    assert [] == host.entries.updates

    host.run(4)
    assert "Applied" == host.reason
    assert 0 == host.entries.too_long


def test_killed_in_the_middle_a_new_walk_finds_the_rest() -> None:
    """As many updates as without the kill, and the same end."""
    whole = Host(FakeEntries(idle=10 * SHORTENED))
    whole.run(20)
    host = Host(FakeEntries(idle=10 * SHORTENED))
    host.run()
    assert 0 < host.entries.too_long < 10 * SHORTENED

    host.start()
    host.run(20)

    assert 0 == host.entries.too_long
    assert sorted(whole.entries.updates) == sorted(host.entries.updates)
    assert whole.entries.table == host.entries.table


def test_a_shorter_timeout_cuts_again_and_a_longer_one_nothing() -> None:
    """An entry never gets more than it has."""
    host = Host(FakeEntries(idle=100))
    host.run(2)

    host.agent.accept(wish(60, number=2))
    host.run(2)
    assert {60} == {each.remaining for each in host.entries.table.values()}
    before = len(host.entries.updates)

    host.agent.accept(wish(3600, number=3))
    progress = host.run(2)
    assert before == len(host.entries.updates)
    assert progress is not None
    assert 0 == progress.shortened


def test_an_entry_that_closes_while_it_is_cut_gets_what_its_state_has() -> None:
    """The kernel takes any number, so the entry is looked at again."""
    host = Host(FakeEntries(idle=3))
    host.kernel.poke("proc/sys/net/netfilter/nf_conntrack_tcp_timeout_fin_wait", 120)
    closing = replace(host.entries.table[b"1"], state=4, remaining=119)
    host.entries.meanwhile = {b"1": closing}

    host.run(2)

    assert 120 == host.entries.table[b"1"].remaining
    assert LIMIT == host.entries.table[b"0"].remaining
    assert [LIMIT, 120] == [to for key, _, to in host.entries.updates if key == b"1"]


def test_an_entry_that_vanishes_is_no_error() -> None:
    """It is not counted as cut, either."""
    host = Host(FakeEntries(idle=3))
    host.entries.vanishing = b"1"

    progress = host.run()

    assert progress is not None
    assert (WalkState.DONE, 2) == (progress.state, progress.shortened)
    assert () == host.status.failures


def test_it_looks_again_once_an_hour() -> None:
    """Another program may set a longer time; one walk an hour finds it."""
    host = Host(FakeEntries(idle=10))
    host.run()
    walks = host.entries.walks
    host.entries.table[b"3"] = replace(host.entries.table[b"3"], remaining=9000)

    host.run(int(AGAIN / 5) - 2)
    assert walks == host.entries.walks

    progress = host.run(3)
    assert 0 == host.entries.too_long
    assert progress is not None
    assert (WalkState.DONE, 11) == (progress.state, progress.shortened)


def test_a_resize_in_the_middle_begins_the_walk_anew() -> None:
    """A dump that was under way then skips entries; what was cut stays counted."""
    host = Host(FakeEntries(idle=4 * SHORTENED))
    host.run(seconds=2)
    assert 0 < host.entries.too_long < 4 * SHORTENED
    host.entries.skip()
    host.kernel.poke(BUCKETS, 1024)

    progress = host.run(3)

    assert 0 == host.entries.too_long
    assert progress is not None
    assert (WalkState.DONE, 4 * SHORTENED) == (progress.state, progress.shortened)


def test_another_s_timeouts_do_not_hold_the_walk_up() -> None:
    """Somebody who keeps changing what is not ours does not make it begin anew."""
    host = Host(FakeEntries(idle=8 * SHORTENED))
    walks = host.entries.walks
    for number in range(12):
        host.kernel.poke(TIMEOUT.replace("established", "fin_wait"), 120 + number)
        host.run(seconds=1)

    assert 0 == host.entries.too_long
    assert walks + 1 == host.entries.walks


def test_drift_is_put_back_before_entries_are_cut() -> None:
    """While the kernel shows another timeout, ours cuts nothing."""
    host = Host(FakeEntries(idle=10))
    host.run()
    host.entries.table[b"3"] = replace(host.entries.table[b"3"], remaining=9000)
    host.kernel.poke(TIMEOUT, 9000)

    host.run(4)

    assert 0 == host.entries.too_long
    assert (b"3", 9000, LIMIT) == host.entries.updates[-1]


def test_a_missing_right_is_said_plainly() -> None:
    """The settings are applied all the same; asked again a minute later."""
    host = Host(FakeEntries(idle=10))
    host.entries.error = translated(OSError(errno.EPERM, os.strerror(errno.EPERM)))

    assert host.run(2) is None

    (failure,) = host.status.failures
    assert ("existingEntries", "WriteRefused") == (failure.setting, failure.reason)
    assert "the capability NET_ADMIN is missing" in failure.message
    assert "WriteRefused" == host.reason
    assert LIMIT == host.kernel.value(TIMEOUT)

    host.entries.error = None
    progress = host.run(int(RETRY / 5) + 1)
    assert progress is not None
    assert WalkState.DONE == progress.state
    assert "Applied" == host.reason


def test_the_walk_adds_one_report() -> None:
    """Its numbers move every second; only its end is worth a write."""

    def writes(existing: ExistingEntries) -> int:
        host = Host(FakeEntries(idle=5 * SHORTENED))
        cluster = FakeCluster(conntrack_node())
        loop = Loop(
            host.agent,
            cluster,
            observe_seconds=1,
            clock=host.clock,
            chance=lambda: 0.5,
        )
        loop.tell(wish(number=2, existing=existing))
        for _ in range(30):
            loop.turn(0)
            host.clock.sleep(1)
        return len(cluster.requests)

    assert writes(ExistingEntries.KEEP) + 1 == writes(ExistingEntries.CLAMP)
