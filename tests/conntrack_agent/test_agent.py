"""The pass: what happens on a node, in which order, and what is said about it."""

import errno
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conntrack_agent.agent import Agent, Sources
from conntrack_agent.drift import HOUR, MAX_DELAY, PER_HOUR
from conntrack_agent.errors import KernelError
from conntrack_agent.fake_kernel import BOOT_ID, FakeKernel, Killed
from conntrack_agent.host_files import HostFiles
from conntrack_agent.journal import DiskJournal
from conntrack_agent.memory import Memory
from conntrack_agent.observations import (
    BUCKETS,
    COUNT,
    INITIAL_NAMESPACE_ONLY,
    LIMIT,
)
from conntrack_agent.testing import (
    ESTABLISHED,
    FakeClock,
    FakeJournal,
    conntrack_node,
    node_spec,
)
from conntrack_api.conditions import Condition, NodeCondition, find
from conntrack_api.node import NodeMode, NodeSpec, NodeStatus

NOW = "2026-01-01T00:00:00Z"
MAX, HASH = "nf_conntrack_max", "nf_conntrack_buckets"
TIMEOUT = f"proc/sys/net/netfilter/{ESTABLISHED}"
BIGGER = {MAX: 262144, HASH: 131072, ESTABLISHED: 86400}
SIZE = [f"{HASH}=131072", f"{MAX}=262144", f"{ESTABLISHED}=86400"]
OLD = (65536, 65536, 600)
NEW = (262144, 131072, 86400)


@dataclass
class Node:
    """One machine: kernel, disk and clock outlive the agent."""

    kernel: FakeKernel = field(default_factory=FakeKernel)
    journal: FakeJournal = field(default_factory=FakeJournal)
    clock: FakeClock = field(default_factory=FakeClock)
    chance: float = 0.5

    def __post_init__(self) -> None:
        """Write every effect into one list, and start."""
        self.journal.effects = self.kernel.effects
        self.agent = self.start()

    def start(self) -> Agent:
        """Start the agent, or start it again."""
        self.agent = Agent(
            self.kernel, self.journal, clock=self.clock, chance=lambda: self.chance
        )
        return self.agent

    def run(self, passes: int = 1, seconds: float = 5) -> NodeStatus:
        """Run passes; give what the last one says."""
        status = None
        for _ in range(passes):
            self.clock.sleep(seconds)
            status = self.agent.pass_once(NOW)
        assert status is not None
        return status

    @property
    def values(self) -> tuple[int, int, int]:
        """Limit, buckets and one timeout."""
        return (
            self.kernel.value(LIMIT),
            self.kernel.value(BUCKETS),
            self.kernel.value(TIMEOUT),
        )

    @property
    def done(self) -> list[str]:
        """Everything that was done to the world."""
        return self.kernel.effects.done


def said(status: NodeStatus, type_: str = NodeCondition.READY) -> Condition:
    """One condition, which must be there."""
    found = find(status.conditions, type_)
    assert found is not None
    return found


def reason(status: NodeStatus) -> str:
    """Why the node is ready, or not."""
    return said(status).reason


def test_a_wish_is_journalled_written_and_reported() -> None:
    """The wish, then the intent are on disk before the first write."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER), generation=4))

    status = node.run()

    # Wish, boot, intent; the writes; done.
    assert ["journal"] * 3 + SIZE + ["journal"] == node.done
    assert "Applied" == reason(status)
    assert ("r1", 4) == (status.applied_revision, status.observed_generation)
    assert {MAX: 65536, HASH: 65536, ESTABLISHED: 600} == status.baseline
    assert NEW == node.values


def test_a_quiet_node_does_nothing() -> None:
    """In the steady state neither the disk nor the kernel is touched."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run()
    before = list(node.done)

    status = node.run(passes=100)

    assert before == node.done
    assert "Applied" == reason(status)


def test_a_restart_in_the_steady_state_does_nothing() -> None:
    """An upgrade of the agent changes nothing on the node."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run()
    before = list(node.done)

    node.start().accept(conntrack_node(node_spec(BIGGER)))

    assert "Applied" == reason(node.run(passes=3))
    assert before == node.done


def test_without_a_wish_there_is_nothing_to_say() -> None:
    """Nothing is written and nothing reported before the first object."""
    node = Node()

    assert node.agent.pass_once(NOW) is None
    assert [] == node.done


def test_a_wish_is_carried_out_without_the_api_server() -> None:
    """What was accepted once is enforced after a restart, from the journal alone."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))

    node.start()
    status = node.run()

    assert "Applied" == reason(status)
    assert NEW == node.values


@pytest.mark.parametrize("trouble", ["full", "unreadable"])
def test_no_journal_no_write(trouble: str) -> None:
    """With a disk that fails the kernel is left alone, and the reason is told."""
    journal = FakeJournal()
    setattr(journal, trouble, "the disk is on strike")
    node = Node(journal=journal)
    node.agent.accept(conntrack_node(node_spec(BIGGER)))

    status = node.run(passes=10)

    assert [] == node.kernel.writes
    assert "JournalUnavailable" == reason(status)
    assert "the disk is on strike" in said(status).message


def test_work_goes_on_when_the_disk_is_back() -> None:
    """A journal that works again is used in the next pass."""
    node = Node(journal=FakeJournal(full="disk full"))
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run()
    node.journal.full = ""

    assert "Applied" == reason(node.run())
    assert NEW == node.values


def test_a_complaint_does_not_outlive_its_cause() -> None:
    """Also where nothing has to be written, the node is ready again."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec({})))
    node.run()
    node.journal.full = "disk full"
    node.agent.accept(conntrack_node(node_spec({}, revision="r2"), generation=2))
    assert "JournalUnavailable" == reason(node.run())

    node.journal.full = ""

    assert "Applied" == reason(node.run())


def test_a_disk_that_fails_in_the_middle_uses_up_no_corrections() -> None:
    """What was not written was no try."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run()
    node.kernel.poke(TIMEOUT, 1)
    node.journal.full = "disk full"
    node.run(passes=50)
    node.journal.full = ""

    assert "Applied" == reason(node.run(passes=3))
    assert 86400 == node.kernel.value(TIMEOUT)


def effects_of_a_full_run() -> int:
    """How many points there are at which the agent can be killed."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run()
    return len(node.done)


@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize("point", range(1, effects_of_a_full_run() + 1))
def test_a_kill_at_any_point_ends_with_old_or_new(point: int, *, offline: bool) -> None:
    """
    Killed before each effect in turn and started again, with or without the API
    server: the node has the old values or the new ones, and few writes were made.
    """
    node = Node()
    node.kernel.effects.kill_before = point
    with pytest.raises(Killed):  # noqa: PT012 - whichever of the two it is
        node.agent.accept(conntrack_node(node_spec(BIGGER)))
        node.run()
    node.kernel.effects.kill_before = None

    node.start()
    if not offline:
        node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.clock.sleep(5)
    node.agent.pass_once(NOW)
    for _ in range(10):
        node.clock.sleep(5)
        node.agent.pass_once(NOW)

    accepted = node.agent.accepted is not None
    assert (NEW if accepted else OLD) == node.values
    assert len(node.kernel.writes) <= len(SIZE)
    if accepted:
        assert {MAX: 65536, HASH: 65536, ESTABLISHED: 600} == node.run().baseline


def test_an_agent_that_dies_at_every_write_is_bounded() -> None:
    """A crash loop writes once and then as seldom as any correction."""
    node = Node(chance=0)
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    killed = 0

    for _ in range(200):
        node.clock.sleep(5)
        node.kernel.effects.done.clear()
        node.kernel.effects.kill_before = None
        node.kernel.poke(TIMEOUT, 600)

        def crash(_file: str) -> None:
            raise Killed

        node.kernel.after_write = crash
        try:
            node.start()
            for _ in range(3):
                node.clock.sleep(1)
                node.agent.pass_once(NOW)
        except Killed:
            killed += 1

    assert killed <= 1 + PER_HOUR


def test_an_older_generation_is_refused() -> None:
    """What an API server with an old memory says does not count."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER), generation=5))
    node.run()

    taken = node.agent.accept(conntrack_node(node_spec({ESTABLISHED: 1}), generation=4))

    assert not taken
    assert 5 == node.run().observed_generation
    assert NEW == node.values


def test_an_older_generation_is_refused_after_a_restart() -> None:
    """The highest generation seen is on disk."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER), generation=5))
    node.start()

    assert not node.agent.accept(conntrack_node(node_spec({}), generation=4))


def of_epoch(epoch: int, settings: Mapping[str, int], revision: str = "r1") -> NodeSpec:
    """What an operator wrote that held the lease so long ago."""
    return replace(node_spec(settings, revision=revision), epoch=epoch)


@pytest.mark.parametrize("restart", [False, True])
def test_an_older_epoch_is_refused(*, restart: bool) -> None:
    """An operator that lost its lease undoes nothing, whatever generation it made."""
    node = Node()
    node.agent.accept(conntrack_node(of_epoch(3, BIGGER), generation=5))
    node.run()
    if restart:
        node.start()
    before = list(node.done)

    late = of_epoch(2, {ESTABLISHED: 1}, "r2")
    assert not node.agent.accept(conntrack_node(late, generation=6))

    status = node.run(passes=3)
    assert (5, "r1") == (status.observed_generation, status.applied_revision)
    assert before == node.done
    assert NEW == node.values


def test_an_older_epoch_does_not_come_in_before_the_journal_can_be_read() -> None:
    """What the disk remembers counts as soon as it can be read again."""
    node = Node()
    node.agent.accept(conntrack_node(of_epoch(3, BIGGER), generation=5))
    node.journal.unreadable = "out of order"
    node.start()
    late = of_epoch(2, {ESTABLISHED: 1}, "r2")
    node.agent.accept(conntrack_node(late, generation=6))
    node.journal.unreadable = ""

    assert 5 == node.run().observed_generation
    assert NEW == node.values


def test_a_newer_epoch_is_taken() -> None:
    """The next operator goes on from where the last one was."""
    node = Node()
    node.agent.accept(conntrack_node(of_epoch(3, BIGGER), generation=5))

    newer = of_epoch(4, {ESTABLISHED: 60}, "r2")
    assert node.agent.accept(conntrack_node(newer, generation=6))


def test_an_epoch_is_of_one_object() -> None:
    """An object that was made anew begins anew, and so may its epoch."""
    node = Node()
    node.agent.accept(conntrack_node(of_epoch(3, BIGGER), generation=5))

    assert node.agent.accept(conntrack_node(of_epoch(0, BIGGER), uid="other"))


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        ((), ("INFO", "applied")),
        ((TIMEOUT,), ("WARNING", "applied")),
        ((TIMEOUT, LIMIT, BUCKETS), ("WARNING", "not applied")),
    ],
)
def test_the_log_says_whether_a_write_went_well(
    refused: tuple[str, ...],
    expected: tuple[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A failed write must not look like one that was made."""
    node = Node()
    node.kernel.write_errors = dict.fromkeys(refused, errno.EIO)
    caplog.set_level(logging.INFO, "conntrack_agent")

    node.agent.accept(conntrack_node(node_spec({**BIGGER, ESTABLISHED: 60})))
    node.agent.pass_once(NOW)

    (line,) = [each for each in caplog.records if "applied" in each.message]
    assert expected == (line.levelname, line.message)


def test_a_refusal_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Two servers that lag behind, each in its own way, make one line together."""
    node = Node()
    for known in (5, 9):
        node.agent.accept(conntrack_node(generation=known))
        for number in range(20):
            node.agent.accept(conntrack_node(generation=3 + number % 2))

    assert 2 == len([each for each in caplog.records if "refused" in each.message])


def test_the_same_generation_with_other_content_is_taken() -> None:
    """After a restore the API server counts on from an older number."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER), generation=5))

    other = node_spec({ESTABLISHED: 60}, revision="r2")
    assert node.agent.accept(conntrack_node(other, generation=5))

    node.run()
    assert 60 == node.kernel.value(TIMEOUT)


def test_a_new_object_starts_at_its_own_generation() -> None:
    """Another UID is another object."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER), generation=5))

    other = node_spec({ESTABLISHED: 60}, revision="r2")
    assert node.agent.accept(conntrack_node(other, generation=1, uid="other"))
    assert 1 == node.run().observed_generation


def test_the_echo_of_our_own_report_is_no_news() -> None:
    """Each report comes back as an event; it must not cause the next."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    status = node.run()

    assert not node.agent.accept(conntrack_node(node_spec(BIGGER), status=status))


def test_an_old_echo_does_not_move_transition_times() -> None:
    """What we said last is newer than any copy of it."""
    node = Node()
    first = conntrack_node(node_spec(BIGGER))
    node.agent.accept(first)
    node.kernel.write_errors[TIMEOUT] = errno.EIO
    failed = node.run()
    assert "False" == said(failed).status
    node.kernel.write_errors.clear()
    node.run(passes=5)

    node.agent.accept(replace(first, status=failed))
    status = node.agent.pass_once("2026-02-02T00:00:00Z")

    assert status is not None
    assert ("True", NOW) == (said(status).status, said(status).last_transition_time)


def test_transition_times_survive_a_restart() -> None:
    """The status in the API server gives the times to a new process."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    status = node.run()

    node.start().accept(conntrack_node(node_spec(BIGGER), status=status))
    later = node.agent.pass_once("2026-02-02T00:00:00Z")

    assert later is not None
    assert NOW == said(later).last_transition_time


def test_a_missing_object_stops_all_writing() -> None:
    """Absence is never a command: nothing is reverted, drift is left alone."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run()
    before = list(node.done)

    node.agent.gone()
    node.kernel.poke(TIMEOUT, 1)

    assert [None] * 20 == [node.agent.pass_once(NOW) for _ in range(20)]
    assert [*before, "journal"] == node.done
    assert (262144, 131072, 1) == node.values


def test_absence_is_remembered() -> None:
    """A restart without the API server does not bring a wish back; the object does."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run()
    node.agent.gone()
    node.kernel.poke(TIMEOUT, 1)
    before = list(node.done)

    node.start()
    assert [None] * 20 == [node.agent.pass_once(NOW) for _ in range(20)]
    assert before == node.done

    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run(passes=3)
    assert NEW == node.values


def test_an_older_copy_of_an_absent_object_shows_that_it_is_there() -> None:
    """What it says does not count, that it exists does."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER), generation=5))
    node.agent.gone()

    assert node.agent.accept(conntrack_node(node_spec({}), generation=4))

    assert 5 == node.run().observed_generation
    assert NEW == node.values


def test_an_object_that_comes_back_is_news() -> None:
    """After its absence even a copy of what is known calls for a pass."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.agent.gone()

    assert node.agent.accept(conntrack_node(node_spec(BIGGER)))
    assert "Applied" == reason(node.run())


def reboot(node: Node, boot_id: str = "second-boot") -> None:
    """Start the machine anew: values of the boot, clock at zero."""
    effects = node.kernel.effects
    node.kernel = FakeKernel(limit=32768, buckets=32768)
    node.kernel.effects = effects
    node.kernel.files[BOOT_ID] = f"{boot_id}\n"
    node.clock.now = 30
    node.start()


def test_after_a_reboot_everything_is_applied_again() -> None:
    """At once, without the API server, and with the baseline of the new boot."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run()

    reboot(node)
    status = node.run()

    assert NEW == node.values
    assert {MAX: 32768, HASH: 32768, ESTABLISHED: 600} == status.baseline
    assert "False" == said(status, NodeCondition.DRIFTED).status


def test_an_unreadable_boot_id_keeps_the_baseline_and_the_kernel() -> None:
    """Nobody knows then which boot the baseline is of, so nothing is written."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    baseline = node.run().baseline
    before = list(node.kernel.writes)
    node.kernel.read_errors[BOOT_ID] = errno.EIO
    node.kernel.poke(TIMEOUT, 1)

    status = node.run(passes=10)

    assert "JournalUnavailable" == reason(status)
    assert "boot id" in said(status).message
    assert before == node.kernel.writes
    node.kernel.read_errors.clear()
    assert baseline == node.run(passes=10).baseline
    assert 86400 == node.kernel.value(TIMEOUT)


def test_observe_writes_nothing_and_tells() -> None:
    """A node that only reports says what enforcing would change."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER, mode=NodeMode.OBSERVE)))

    status = node.run(passes=10)

    assert [] == node.kernel.writes
    assert "Observing" == reason(status)
    assert f"{MAX} 65536 -> 262144" in said(status).message
    assert {} == status.baseline


def test_revert_brings_the_baseline_back() -> None:
    """The values found before our first write are there again, in safe order."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run()
    node.done.clear()
    revert = node_spec({}, mode=NodeMode.REVERT, revision="r2")

    node.agent.accept(conntrack_node(revert, generation=2))
    status = node.run()

    assert OLD == node.values
    assert [f"{MAX}=65536", f"{HASH}=65536", f"{ESTABLISHED}=600"] == (
        node.kernel.writes
    )
    assert ("True", "Reverted") == (said(status).status, reason(status))
    assert "3 settings" in said(status).message


@pytest.mark.parametrize("lost", ["the journal", "the boot"])
def test_a_revert_without_a_baseline_says_so(lost: str) -> None:
    """After a lost journal our own values are all there is; that is no way back."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run()
    if lost == "the journal":
        node.journal.memory = Memory()
    else:
        node.kernel.files[BOOT_ID] = "another-boot\n"
    node.start()
    node.done.clear()
    revert = node_spec({}, mode=NodeMode.REVERT, revision="r2")

    node.agent.accept(conntrack_node(revert, generation=2))
    status = node.run()

    assert NEW == node.values
    assert [] == node.kernel.writes
    assert ("True", "Reverted") == (said(status).status, reason(status))
    assert "nothing was put back: the journal knows of no write" in said(status).message


def test_a_journal_that_was_not_believed_is_said_until_the_next_boot(
    tmp_path: Path,
) -> None:
    """The kernel is read instead; our values stay, and a way back is not promised."""
    disk = DiskJournal(tmp_path)
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run()
    disk.save(node.journal.memory)
    (tmp_path / "journal.json").write_bytes(b"half")
    node.journal.memory = disk.load()
    node.done.clear()

    node.start().accept(conntrack_node(node_spec(BIGGER)))
    kept = node.run()
    again = node_spec({**BIGGER, ESTABLISHED: 900}, revision="r2")
    node.agent.accept(conntrack_node(again, generation=2))
    changed = node.run()
    node.kernel.files[BOOT_ID] = "another-boot\n"
    rebooted = node.run(passes=2)

    assert ["Applied"] * 3 == list(map(reason, (kept, changed, rebooted)))
    assert {} == kept.baseline
    for status in (kept, changed):
        assert "an earlier journal cannot be trusted" in said(status).message
        assert "what was found before it is not known" in said(status).message
    assert "journal" not in said(rebooted).message


def test_a_table_that_fills_up_while_its_limit_is_lowered_keeps_the_old_one() -> None:
    """Two writes; the count speaks against it; the next try is at a quieter time."""
    node = Node()
    node.kernel.after_write = lambda _file: node.kernel.poke(COUNT, 40_000)
    node.agent.accept(conntrack_node(node_spec({MAX: 32768})))

    status = node.run(passes=20)

    assert ("False", "WouldDrop") == (said(status).status, reason(status))
    assert [f"{MAX}=32768", f"{MAX}=65536"] == node.kernel.writes
    node.kernel.after_write = lambda _file: None
    node.kernel.poke(COUNT, 100)
    assert "Applied" == reason(node.run(passes=20))
    assert 32768 == node.values[0]


def test_after_a_revert_nothing_is_written_any_more() -> None:
    """The node belongs to others again, and stays ready."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run()
    revert = node_spec({}, mode=NodeMode.REVERT, revision="r2")
    node.agent.accept(conntrack_node(revert, generation=2))
    node.run()
    before = list(node.done)

    node.kernel.poke(TIMEOUT, 1234)
    assert "Reverted" == reason(node.run(passes=10))
    node.start()
    assert "Reverted" == reason(node.run(passes=10))

    assert before == node.done
    assert 1234 == node.kernel.value(TIMEOUT)


def test_a_wish_after_a_revert_finds_a_new_baseline() -> None:
    """What others set in the meantime is what the next revert brings back."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run()
    revert = node_spec({}, mode=NodeMode.REVERT, revision="r2")
    node.agent.accept(conntrack_node(revert, generation=2))
    node.run()
    node.kernel.poke(TIMEOUT, 1234)
    node.agent.accept(conntrack_node(node_spec(BIGGER, revision="r3"), generation=3))
    node.run()

    node.agent.accept(
        conntrack_node(node_spec({}, mode=NodeMode.REVERT, revision="r4"), generation=4)
    )
    node.run()

    assert (65536, 65536, 1234) == node.values


def test_a_revert_without_a_baseline_has_nothing_to_do() -> None:
    """On a node that never wrote, or has rebooted since, it is done at once."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec({}, mode=NodeMode.REVERT)))

    status = node.run()

    assert "Reverted" == reason(status)
    assert [] == node.kernel.writes


def test_a_revert_that_would_drop_waits_and_says_so() -> None:
    """The promises hold for the way back, too."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run()
    node.kernel.files[COUNT] = "100000\n"
    revert = node_spec({}, mode=NodeMode.REVERT, revision="r2")
    node.agent.accept(conntrack_node(revert, generation=2))

    assert "WouldDrop" == reason(node.run())
    assert (262144, 131072, 600) == node.values

    node.kernel.files[COUNT] = "100\n"
    assert "Reverted" == reason(node.run(passes=5))
    assert OLD == node.values


def test_drift_is_put_back_late_and_told() -> None:
    """Seen at once, corrected after its random delay, then as before."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run()
    node.kernel.poke(TIMEOUT, 1)

    status = node.run()
    drifted = said(status, NodeCondition.DRIFTED)
    assert ("False", "Pending") == (said(status).status, reason(status))
    assert ("True", "ExternalWriter") == (drifted.status, drifted.reason)
    assert f"{ESTABLISHED} is 1 instead of 86400" in drifted.message

    status = node.run()
    assert 86400 == node.kernel.value(TIMEOUT)
    assert "Applied" == reason(status)
    assert "False" == said(status, NodeCondition.DRIFTED).status


def test_a_fight_is_given_up() -> None:
    """After three corrections in an hour the other program wins, and we say so."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec({ESTABLISHED: 86400})))
    node.run()
    node.done.clear()

    def fight(passes: int) -> NodeStatus:
        for _ in range(passes):
            node.kernel.poke(TIMEOUT, 1)
            status = node.run()
        return status

    status = fight(100)

    assert [f"{ESTABLISHED}=86400"] * PER_HOUR == node.kernel.writes
    assert ("False", "Contended") == (said(status).status, reason(status))
    assert "True" == said(status, NodeCondition.DRIFTED).status

    fight(int(HOUR / 5))
    assert PER_HOUR < len(node.kernel.writes) <= 2 * PER_HOUR


def test_restarts_do_not_prolong_a_fight() -> None:
    """The hour's corrections are counted on disk."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec({ESTABLISHED: 86400})))
    node.run()
    node.done.clear()

    for _ in range(50):
        node.start()
        for _ in range(4):
            node.kernel.poke(TIMEOUT, 1)
            node.run()

    assert [f"{ESTABLISHED}=86400"] * PER_HOUR == node.kernel.writes


@pytest.mark.parametrize("every", [1, 10, 60])
def test_a_day_of_war_costs_few_writes(every: int) -> None:
    """Another writer that never tires: three writes an hour of ours, and it is told."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec({ESTABLISHED: 86400})))
    node.run()
    node.done.clear()
    times: list[float] = []
    node.kernel.after_write = lambda _: times.append(node.clock())

    for second in range(0, int(24 * HOUR), 10):
        for _ in range(0, 10, every):
            if second % every == 0:
                node.kernel.poke(TIMEOUT, 1)
        status = node.run(seconds=10)

    assert len(node.kernel.writes) <= 24 * PER_HOUR
    assert len(node.kernel.writes) >= 23 * PER_HOUR
    for first in times:
        assert sum(1 for each in times if 0 <= each - first < HOUR) <= PER_HOUR
    assert "Contended" == reason(status)
    message = said(status, NodeCondition.DRIFTED).message
    assert f"{ESTABLISHED} is 1 instead of 86400" in message


def test_the_likely_writer_is_named() -> None:
    """Two cores, and kube-proxy's numbers for two cores."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run()
    node.kernel.poke(LIMIT, 131072)

    message = said(node.run(), NodeCondition.DRIFTED).message

    assert "changed by somebody else (the numbers are kube-proxy's" in message
    assert message.endswith(f": {MAX} is 131072 instead of 262144")


def test_the_line_of_a_file_is_named(tmp_path: Path) -> None:
    """Files are read when there is drift to explain, and once for the same values."""
    file = tmp_path / "etc/sysctl.d/99-tune.conf"
    file.parent.mkdir(parents=True)
    file.write_text(f"# mine\n\nnet.netfilter.{MAX} = 100000\n")
    looks: list[HostFiles] = []

    def look() -> HostFiles:
        looks.append(HostFiles(tmp_path))
        return looks[-1]

    node = Node()
    node.agent = Agent(
        node.kernel,
        node.journal,
        clock=node.clock,
        sources=Sources(host_files=look),
    )
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run(passes=100)
    assert [] == looks
    for _ in range(50):
        node.kernel.poke(LIMIT, 100000)
        status = node.run()

    message = said(status, NodeCondition.DRIFTED).message
    assert (
        "/etc/sysctl.d/99-tune.conf line 3 sets nf_conntrack_max to 100000" in message
    )
    # Once at first, and again after each of the corrections.
    assert PER_HOUR + 1 >= len(looks)


def test_a_node_on_hold_is_left_alone() -> None:
    """A person's annotation stops all writing, is told, and survives a restart."""
    node = Node()
    held = replace(conntrack_node(node_spec(BIGGER)), hold="tcpdump until noon")
    node.agent.accept(held)

    status = node.run(passes=3)

    assert [] == node.kernel.writes
    assert ("False", "OnHold") == (said(status).status, reason(status))
    assert "tcpdump until noon; would change " in said(status).message
    node.start()
    assert "OnHold" == reason(node.run(passes=3))
    assert [] == node.kernel.writes

    # The generation stays as it is: an annotation is no part of the spec.
    assert node.agent.accept(replace(held, hold=None))
    assert "Applied" == reason(node.run())
    assert NEW == node.values


def test_drift_on_hold_is_told_and_not_put_back() -> None:
    """What somebody changes meanwhile is seen, and stays until the hold is over."""
    node = Node()
    applied = conntrack_node(node_spec(BIGGER))
    node.agent.accept(applied)
    node.run()
    node.agent.accept(replace(applied, hold=""))
    node.kernel.poke(TIMEOUT, 1)

    status = node.run(passes=5)

    assert 1 == node.kernel.value(TIMEOUT)
    assert "no reason was given" in said(status).message
    assert "True" == said(status, NodeCondition.DRIFTED).status


def test_drift_while_the_agent_was_away_is_drift() -> None:
    """What was applied in this boot is put back like any other drift, not at once."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run()
    node.kernel.poke(TIMEOUT, 1)

    node.start()
    status = node.run()

    assert "True" == said(status, NodeCondition.DRIFTED).status
    assert 1 == node.kernel.value(TIMEOUT)


def test_a_writer_that_comes_at_once_is_not_overlooked() -> None:
    """A value that is gone when we look again is not reported as applied."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec({ESTABLISHED: 86400})))
    node.run()
    node.kernel.poke(TIMEOUT, 1)
    node.kernel.after_write = lambda file: node.kernel.poke(file, 7)

    status = node.run(passes=3)

    assert "True" != said(status).status


def test_drift_of_one_setting_is_told_where_another_is_refused() -> None:
    """A node in a namespace of its own hears of its timeouts, too."""
    node = Node()
    del node.kernel.files[INITIAL_NAMESPACE_ONLY]
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    assert "NotInInitialNamespace" == reason(node.run())

    node.kernel.poke(TIMEOUT, 1)
    status = node.run()

    assert "True" == said(status, NodeCondition.DRIFTED).status
    assert "NotInInitialNamespace" == reason(status)


def test_a_partial_failure_is_partial() -> None:
    """What can be done is done; what failed keeps its reason until it is mended."""
    node = Node()
    node.kernel.write_errors[TIMEOUT] = errno.EINVAL
    node.agent.accept(conntrack_node(node_spec(BIGGER)))

    rows = [node.run() for _ in range(200)]

    assert {"WriteRefused"} == {reason(each) for each in rows}
    assert {(ESTABLISHED,)} == {
        tuple(failure.setting for failure in each.failures) for each in rows
    }
    assert {"False"} == {said(each, NodeCondition.DRIFTED).status for each in rows}
    assert all("EINVAL" in said(each).message for each in rows)
    assert (262144, 131072, 600) == node.values


@pytest.mark.parametrize(
    ("number", "tries"),
    [
        (errno.EINVAL, 2),
        (errno.ERANGE, 2),
        (errno.ENOMEM, 9),
        (errno.EIO, 1 + 24 * PER_HOUR),
        (errno.EROFS, 1 + 24 * PER_HOUR),
    ],
    ids=["EINVAL", "ERANGE", "ENOMEM", "EIO", "EROFS"],
)
def test_a_day_of_a_failing_write_is_counted(number: int, tries: int) -> None:
    """A value that is not taken, twice; short memory, ever less; the rest, as drift."""
    node = Node(chance=0)
    node.kernel.write_errors[TIMEOUT] = number
    node.agent.accept(conntrack_node(node_spec(BIGGER)))

    rows = [node.run(seconds=60) for _ in range(24 * 60)]

    assert [TIMEOUT] * tries == [each for each in node.kernel.tried if each == TIMEOUT]
    assert SIZE[:2] == node.kernel.writes
    assert {"WriteRefused"} == {reason(each) for each in rows}
    assert {(ESTABLISHED,)} == {
        tuple(failure.setting for failure in each.failures) for each in rows
    }


def test_a_refused_value_is_tried_with_another_spec_or_another_process() -> None:
    """Somebody did something about it; nobody should wait for half a day."""
    node = Node(chance=0)
    node.kernel.write_errors[TIMEOUT] = errno.EINVAL
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run(passes=100)
    assert 1 == node.kernel.tried.count(TIMEOUT)

    again = node_spec(BIGGER, revision="r2")
    node.agent.accept(conntrack_node(again, generation=2))
    node.run(passes=100)
    assert 2 == node.kernel.tried.count(TIMEOUT)

    node.kernel.write_errors.clear()
    node.start()
    assert "Applied" == reason(node.run(passes=3))


def test_a_refused_value_hides_no_drift_and_uses_up_no_corrections() -> None:
    """Another setting is put back as ever, and the refused one is not touched."""
    node = Node(chance=0)
    node.kernel.write_errors[TIMEOUT] = errno.EINVAL
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.run(passes=100)
    node.kernel.poke(LIMIT, 100000)

    drifting = node.run()
    settled = node.run(passes=2)

    assert "True" == said(drifting, NodeCondition.DRIFTED).status
    assert "False" == said(settled, NodeCondition.DRIFTED).status
    assert (262144, 131072, 600) == node.values
    assert 1 == node.kernel.tried.count(TIMEOUT)


def test_a_failure_that_the_kernel_does_not_show_is_none() -> None:
    """A write counts when the kernel shows it, whatever it answered."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec({ESTABLISHED: 86400})))
    node.kernel.write_errors[TIMEOUT] = errno.EIO
    write = node.kernel.write

    class Late(FakeKernel):
        """Takes the value, then reports an error."""

        def write(self, file: str, value: int) -> None:
            self.poke(file, value)
            write(file, value)

    late = Late()
    late.files = node.kernel.files
    late.effects = node.kernel.effects
    agent = Agent(late, node.journal, clock=node.clock)

    status = agent.pass_once(NOW)

    assert status is not None
    assert ("True", ()) == (said(status).status, status.failures)


def test_going_back_to_an_earlier_wish_is_not_taken_for_drift() -> None:
    """What a write under way left behind was ours."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec({ESTABLISHED: 60})))
    node.run()
    node.kernel.write_errors[LIMIT] = errno.EINVAL
    node.agent.accept(conntrack_node(node_spec(BIGGER, revision="r2"), generation=2))
    assert node.run().applied_revision is None

    node.agent.accept(conntrack_node(node_spec({ESTABLISHED: 60}), generation=3))
    status = node.run()

    assert "Applied" == reason(status)
    assert "False" == said(status, NodeCondition.DRIFTED).status


def test_a_module_that_is_loaded_later_is_set_then() -> None:
    """Until then the node says why it waits."""
    node = Node()
    files = dict(node.kernel.files)
    for file in (LIMIT, BUCKETS, COUNT, TIMEOUT, INITIAL_NAMESPACE_ONLY):
        del node.kernel.files[file]
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    assert "NotLoaded" == reason(node.run(passes=5))

    node.kernel.files = files

    assert "Applied" == reason(node.run(passes=5))
    assert NEW == node.values


def test_a_kernel_that_cannot_be_looked_at_is_an_error() -> None:
    """No claim is made and nothing is written; later it goes on."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.kernel.read_errors[COUNT] = errno.EIO

    with pytest.raises(KernelError, match="EIO"):
        node.run()
    assert [] == node.kernel.writes

    node.kernel.read_errors.clear()
    assert "Applied" == reason(node.run())


def test_a_kernel_lost_after_the_write_is_found_again() -> None:
    """An error while looking again leaves an intent, which the next pass settles."""
    node = Node()
    node.agent.accept(conntrack_node(node_spec(BIGGER)))
    node.kernel.after_write = lambda _file: node.kernel.read_errors.update(
        {COUNT: errno.EIO}
    )
    with pytest.raises(KernelError):
        node.run()
    assert {} != node.journal.memory.intent
    node.kernel.read_errors.clear()
    node.kernel.after_write = lambda _file: None

    assert "Applied" == reason(node.run())
    assert {} == node.journal.memory.intent
    assert SIZE == node.kernel.writes


WISHES = (
    node_spec({ESTABLISHED: 86400}, revision="a"),
    node_spec(BIGGER, revision="b"),
    node_spec({ESTABLISHED: 60}, revision="c", mode=NodeMode.OBSERVE),
    node_spec({}, revision="d", mode=NodeMode.REVERT),
)


class History:
    """A node to which anything may happen, in any order."""

    def __init__(self) -> None:
        """Start."""
        self.node = Node(chance=0)
        self.generation = 0
        self.gone = False

    def wish(self, number: int) -> None:
        """Ask for something."""
        self.generation, self.gone = self.generation + 1, False
        self.node.agent.accept(
            conntrack_node(WISHES[number], generation=self.generation)
        )

    def restart(self) -> None:
        """Start the agent again; it hears of the object's absence anew."""
        self.node.start()
        if self.gone:
            self.node.agent.gone()

    def lose(self) -> None:
        """Take the object away."""
        self.gone = True
        self.node.agent.gone()

    def moves(self) -> dict[str, Callable[[], object]]:
        """Everything that may happen, by name."""
        kernel, journal = self.node.kernel, self.node.journal
        return {
            "pass": lambda: None,
            "restart": self.restart,
            "lose": self.lose,
            "drift": lambda: kernel.poke(TIMEOUT, 1),
            "fill": lambda: setattr(journal, "full", "full"),
            "empty": lambda: setattr(journal, "full", ""),
            "refuse": lambda: kernel.write_errors.update({TIMEOUT: errno.EINVAL}),
            "take": kernel.write_errors.clear,
            **{f"wish {n}": partial(self.wish, n) for n in range(len(WISHES))},
        }

    def move(self, what: str) -> None:
        """Let one thing happen, then run a pass."""
        before = len(self.node.done)
        self.moves()[what]()
        self.node.clock.sleep(MAX_DELAY)
        self.check(self.node.agent.pass_once(NOW), self.node.done[before:])

    def check(self, status: NodeStatus | None, effects: list[str]) -> None:
        """Hold one pass against the promises."""
        writes = [each for each in effects if "=" in each]
        accepted = self.node.agent.accepted
        if self.gone or accepted is None or accepted.spec.mode == NodeMode.OBSERVE:
            assert [] == writes
        if writes:
            assert "journal" in effects[: effects.index(writes[0])]
            assert "" == self.node.journal.full
        if status and accepted and reason(status) == "Applied":
            for name, value in accepted.spec.settings.items():
                file = f"proc/sys/net/netfilter/{name}"
                assert value == self.node.kernel.value(file)


moves = st.sampled_from(
    ["pass", "restart", "lose", "drift", "fill", "empty", "refuse", "take"]
    + [f"wish {number}" for number in range(len(WISHES))]
)


@given(st.lists(moves, max_size=40))
def test_whatever_happens_the_order_holds(sequence: list[str]) -> None:
    """
    In every history: no write without a journal entry before it in the same pass, no
    write while the object is missing or only observed, and a node is ready only with
    the values asked for.
    """
    history = History()

    for each in sequence:
        history.move(each)
