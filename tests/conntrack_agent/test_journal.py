"""The journal on disk: safe against kills, and never guessed at."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from conntrack_agent.changes import Change
from conntrack_agent.errors import JournalError
from conntrack_agent.journal import LARGEST, DiskJournal
from conntrack_agent.memory import Accepted, Memory
from conntrack_agent.notes import Journal, Notes
from conntrack_agent.testing import ESTABLISHED, FakeJournal, node_spec
from conntrack_api.codec import node_from_object, to_object
from conntrack_api.node import HOLD, NodeMode

WISH = Accepted(object_uid="object-uid", generation=3, spec=node_spec())
FULL = Memory(
    boot_id="boot",
    baseline={ESTABLISHED: 432000},
    accepted=WISH,
    applied_revision="r0",
    intent={ESTABLISHED: 86400},
    tried_revision="r1",
    corrections=(1.5, 100.0),
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A state directory that is not there yet."""
    return tmp_path / "state"


@pytest.fixture(params=["fake", "disk"])
def journal(request: pytest.FixtureRequest, directory: Path) -> Journal:
    """A journal that behaves."""
    return FakeJournal() if request.param == "fake" else DiskJournal(directory, "n1")


def test_nothing_is_known_at_first(journal: Journal) -> None:
    """No journal yet is no error."""
    assert Memory() == journal.load()


@pytest.mark.parametrize("memory", [Memory(), FULL])
def test_what_was_saved_is_loaded(journal: Journal, memory: Memory) -> None:
    """A memory comes back whole."""
    journal.save(FULL)
    journal.save(memory)

    assert memory == journal.load()


def test_the_files_are_private(directory: Path) -> None:
    """Nobody else on the host can read or write them."""
    DiskJournal(directory).save(FULL)

    assert 0o700 == directory.stat().st_mode & 0o777
    assert [0o600] == [each.stat().st_mode & 0o777 for each in directory.iterdir()]


@pytest.mark.parametrize(
    ("there", "expected"),
    [((), 0o700), (("journal.json", "journal.new"), 0o700), (("theirs",), 0o755)],
)
def test_a_directory_that_was_made_for_us_becomes_private(
    directory: Path, there: tuple[str, ...], expected: int
) -> None:
    """The kubelet makes it for everybody to look into; one of others is left alone."""
    directory.mkdir()
    directory.chmod(0o755)
    for name in there:
        (directory / name).touch()

    DiskJournal(directory).lock()

    assert expected == directory.stat().st_mode & 0o777


def damage(change: Callable[[dict[str, object]], object]) -> Callable[[bytes], bytes]:
    """Change the document around the body."""

    def damaged(raw: bytes) -> bytes:
        document = json.loads(raw)
        change(document)
        return json.dumps(document).encode()

    return damaged


def forged(body: object) -> Callable[[bytes], bytes]:
    """Put another body in, with a checksum that fits."""
    text = json.dumps(body)
    digest = sha256(text.encode()).hexdigest()
    return damage(lambda document: document.update(body=text, sha256=digest))


BROKEN = "it is damaged"
DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _raw: b"", BROKEN),
    "half": (lambda raw: raw[: len(raw) // 2], BROKEN),
    "one bit": (
        lambda raw: raw.replace(b"432000", b"432001"),
        "its checksum does not fit",
    ),
    "random bytes": (lambda _raw: bytes(range(256)), BROKEN),
    "a list": (lambda _raw: b"[]", BROKEN),
    "a number": (lambda _raw: b"7", BROKEN),
    "deep": (lambda _raw: b"[" * 100_000, BROKEN),
    "huge": (
        lambda raw: raw + b" " * LARGEST + b"x",
        "it has more than 1048576 bytes",
    ),
    "no body": (damage(lambda document: document.pop("body")), BROKEN),
    "body of another type": (damage(lambda document: document.update(body=7)), BROKEN),
    "wrong checksum": (
        damage(lambda document: document.update(sha256="0" * 64)),
        "its checksum does not fit",
    ),
    "body is a list": (forged([]), "journal"),
    "baseline of another type": (
        forged({"baseline": {ESTABLISHED: "many"}}),
        "journal.baseline",
    ),
    "baseline is a list": (forged({"baseline": [1]}), "journal.baseline"),
    "spec does not hold": (
        forged(
            {"accepted": {"objectUID": "u", "generation": 1, "spec": {"mode": "Break"}}}
        ),
        "spec.policyRef",
    ),
    "generation is text": (
        forged({"accepted": {"objectUID": "u", "generation": "1", "spec": {}}}),
        "spec",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_journal_is_not_guessed_at(name: str, directory: Path) -> None:
    """It is moved aside for people as it was; of it is known only that it was lost."""
    journal = DiskJournal(directory, "n1")
    journal.save(FULL)
    file = directory / "journal.json"
    spoil, why = DAMAGE[name]
    file.write_bytes(spoil(file.read_bytes()))
    before = file.read_bytes()

    found = journal.load()

    assert found.lost.startswith(why)
    assert Memory(lost=found.lost) == found == journal.load()
    assert before == (directory / "journal.damaged").read_bytes()


def test_the_last_damaged_journal_is_kept(directory: Path) -> None:
    """However often it happens, two files are all that there is."""
    journal = DiskJournal(directory, "n1")
    for content in (b"first", b"second"):
        journal.save(FULL)
        (directory / "journal.json").write_bytes(content)
        journal.load()

    assert b"second" == (directory / "journal.damaged").read_bytes()
    assert ["journal.damaged", "journal.json"] == sorted(
        each.name for each in directory.iterdir()
    )


def test_a_journal_that_cannot_be_moved_stays_unread(directory: Path) -> None:
    """A folder in the way: nothing may be written, and both are named."""
    journal = DiskJournal(directory, "n1")
    journal.save(FULL)
    (directory / "journal.json").write_bytes(b"")
    (directory / "journal.damaged").mkdir()

    with pytest.raises(JournalError, match=r"it is damaged.*nor moved to journal"):
        journal.load()
    assert b"" == (directory / "journal.json").read_bytes()


def test_a_newer_format_is_named(directory: Path) -> None:
    """After a downgrade the person learns what wrote the file."""
    journal = DiskJournal(directory)
    journal.save(FULL)
    file = directory / "journal.json"
    newer = damage(lambda document: document.update(format=2))
    file.write_bytes(newer(file.read_bytes()))

    with pytest.raises(JournalError, match="its format is 2, this agent knows 1"):
        journal.load()
    assert file.exists()


def test_the_journal_of_another_node_counts_as_nothing(directory: Path) -> None:
    """A disk image made of a running node carries its journal along."""
    DiskJournal(directory, "n1").save(FULL)

    assert Memory() == DiskJournal(directory, "n2").load()


@pytest.mark.parametrize("name", ["journal.json", "journal.new"])
def test_links_are_not_followed(name: str, directory: Path, tmp_path: Path) -> None:
    """Neither reading nor writing leaves the directory."""
    elsewhere = tmp_path / "elsewhere"
    DiskJournal(tmp_path / "other").save(FULL)
    (tmp_path / "other/journal.json").rename(elsewhere)
    before = elsewhere.read_bytes()
    directory.mkdir()
    (directory / name).symlink_to(elsewhere)
    journal = DiskJournal(directory)

    if name == "journal.json":
        assert Memory(lost="it is a link") == journal.load()
    journal.save(Memory(boot_id="other"))

    assert before == elsewhere.read_bytes()
    assert Memory(boot_id="other") == journal.load()


def test_a_hard_link_is_not_written_through(directory: Path, tmp_path: Path) -> None:
    """A file planted beside the journal is replaced, not filled."""
    directory.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (directory / "journal.new").hardlink_to(victim)

    DiskJournal(directory).save(FULL)

    assert "precious" == victim.read_text()


def test_a_pipe_does_not_hang_the_agent(directory: Path) -> None:
    """Only ordinary files are read."""
    directory.mkdir()
    os.mkfifo(directory / "journal.json")
    os.mkfifo(directory / "journal.new")
    journal = DiskJournal(directory)

    assert "it must be a file that only this user can write" == journal.load().lost
    journal.save(FULL)

    assert FULL == journal.load()


def test_a_file_that_others_can_write_is_not_trusted(directory: Path) -> None:
    """What anybody may have written is not ours."""
    journal = DiskJournal(directory)
    journal.save(FULL)
    (directory / "journal.json").chmod(0o666)

    assert "it must be a file that only this user can write" == journal.load().lost


def test_what_a_kill_left_beside_does_no_harm(directory: Path) -> None:
    """Half a file beside the journal is written over by the next save."""
    journal = DiskJournal(directory)
    journal.save(FULL)
    (directory / "journal.new").write_bytes(b'{"format"')

    assert FULL == journal.load()
    journal.save(Memory())
    assert Memory() == journal.load()


def test_a_folder_in_its_place_is_said(directory: Path) -> None:
    """Both verbs translate what the system says."""
    (directory / "journal.json").mkdir(parents=True)
    journal = DiskJournal(directory)

    with pytest.raises(JournalError, match=r"journal\.json"):
        journal.load()
    with pytest.raises(JournalError, match=r"journal\.json"):
        journal.save(FULL)


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """Also root cannot make a folder below a file."""
    (tmp_path / "file").touch()
    journal = DiskJournal(tmp_path / "file/state")

    for verb in (journal.lock, journal.load, lambda: journal.save(FULL)):
        with pytest.raises(JournalError, match=r"state.*Not a directory"):
            verb()


def test_a_full_disk_keeps_the_old_journal(directory: Path) -> None:
    """A write that is cut off leaves the file that was there."""
    journal = DiskJournal(directory)
    journal.save(FULL)
    script = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from conntrack_agent.journal import DiskJournal\n"
        "from conntrack_agent.memory import Memory\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))\n"
        "DiskJournal(Path(sys.argv[1])).save(Memory(boot_id='later'))\n"
    )

    done = run(script, directory)

    assert "JournalError" in done.stderr
    assert FULL == journal.load()


def run(script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a script with our packages in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", script, str(directory)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_second_agent_is_kept_out(directory: Path) -> None:
    """Two agents never share a directory, also across processes."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from conntrack_agent.journal import DiskJournal\n"
        "DiskJournal(Path(sys.argv[1])).lock()\n"
    )
    assert 0 == run(script, directory).returncode
    DiskJournal(directory).lock()

    second = run(script, directory)

    assert "another agent is using it" in second.stderr
    with pytest.raises(JournalError, match="another agent is using it"):
        DiskJournal(directory).lock()


def test_a_kill_at_any_moment_leaves_a_whole_journal(directory: Path) -> None:
    """A process that saves without a pause is killed; what is left can be trusted."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from conntrack_agent.journal import DiskJournal\n"
        "from conntrack_agent.memory import Memory\n"
        "journal = DiskJournal(Path(sys.argv[1]))\n"
        "for number in range(10**9):\n"
        "    journal.save(Memory(boot_id=f'{number}', baseline={'a': number}))\n"
        "    print(number, flush=True)\n"
    )
    for round_ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(directory)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            last = -1
            began = time.monotonic()
            while last < 20 + round_ * 17 and time.monotonic() - began < 20:
                last = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().split()
        last = int(rest[-1]) if rest else last

        memory = DiskJournal(directory).load()

        assert int(memory.boot_id) in {last, last + 1}
        assert {"a": int(memory.boot_id)} == memory.baseline


def test_notes_say_whether_the_disk_knows() -> None:
    """A memory that is not on disk is known, and may not be acted upon."""
    journal = FakeJournal(full="disk full")
    notes = Notes(journal)

    assert not notes.save(FULL)
    assert ("disk full", FULL) == (notes.complaint, notes.memory)

    journal.full = ""
    notes.retry()
    assert ("", FULL) == (notes.complaint, journal.memory)


def test_a_failing_disk_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line when it begins, however often it is tried."""
    notes = Notes(FakeJournal(full="disk full"))
    notes.save(FULL)
    for _ in range(20):
        notes.retry()

    assert 1 == len(caplog.records)


def test_notes_never_write_over_what_cannot_be_read() -> None:
    """A journal in doubt is for a person to look at."""
    journal = FakeJournal(memory=FULL, unreadable="checksum")
    notes = Notes(journal)

    assert not notes.save(Memory(boot_id="other"))
    notes.retry()

    assert FULL == journal.memory
    assert "checksum" == notes.complaint


def test_a_mended_journal_is_taken_as_it_is() -> None:
    """The baseline that a person saved by hand is not lost again."""
    journal = FakeJournal(memory=FULL, unreadable="checksum")
    notes = Notes(journal)
    newer = Accepted(object_uid="object-uid", generation=4, spec=node_spec({}))
    notes.save(Memory(boot_id="boot", accepted=newer))

    journal.unreadable = ""
    notes.retry()

    assert ("", newer) == (notes.complaint, notes.memory.accepted)
    assert FULL.baseline == notes.memory.baseline == journal.memory.baseline


def test_a_mended_journal_remembers_a_higher_generation() -> None:
    """An older wish that came in the meantime does not win."""
    journal = FakeJournal(memory=FULL, unreadable="checksum")
    notes = Notes(journal)
    older = Accepted(object_uid="object-uid", generation=2, spec=node_spec({}))
    notes.save(Memory(accepted=older))

    journal.unreadable = ""
    notes.retry()

    assert FULL == notes.memory


def test_quiet_notes_do_not_touch_the_disk() -> None:
    """Without a complaint a retry does nothing."""
    journal = FakeJournal()
    notes = Notes(journal)
    notes.save(FULL)
    notes.retry()

    assert ["journal"] == journal.effects.done


def test_a_boot_forgets_everything_but_the_wish() -> None:
    """A reboot undoes every write, so baseline and revision are void."""
    assert Memory(boot_id="next", accepted=WISH) == FULL.of_boot("next")
    assert FULL is FULL.of_boot("boot")


def test_the_first_value_found_is_the_baseline() -> None:
    """Our own values never become what a revert brings back."""
    change = Change(setting=ESTABLISHED, file="f", before=86400, after=60)

    memory = FULL.intending("r2", (change,), (7.0,))

    assert {ESTABLISHED: 432000} == memory.baseline
    assert {ESTABLISHED: 60} == memory.intent
    assert (None, "r2", (7.0,)) == (
        memory.applied_revision,
        memory.tried_revision,
        memory.corrections,
    )


def test_after_a_revert_the_baseline_is_found_anew() -> None:
    """Only a revert that is over, and only when something else is asked."""
    revert = Accepted(
        object_uid="u", generation=1, spec=node_spec(mode=NodeMode.REVERT)
    )
    over = Memory(baseline={"a": 1}, accepted=revert, applied_revision="r1")
    under_way = Memory(baseline={"a": 1}, accepted=revert)

    assert {} == over.accepting(WISH).baseline
    assert {"a": 1} == under_way.accepting(WISH).baseline
    assert {"a": 1} == over.accepting(revert).baseline


def test_the_longest_hold_can_be_read_again(directory: Path) -> None:
    """An annotation may have 256 KiB, and JSON writes six characters for some."""
    said = {"metadata": {"uid": "u", "annotations": {HOLD: "\u00e9" * 250_000}}}
    node = node_from_object({**said, "spec": to_object(node_spec())})
    wish = Accepted(object_uid="u", generation=1, spec=node.spec, hold=node.hold)

    DiskJournal(directory).save(Memory(accepted=wish))

    assert wish == DiskJournal(directory).load().accepted


def test_what_could_not_be_read_again_is_not_written(directory: Path) -> None:
    """The journal of before stays, and the reason is said."""
    journal = DiskJournal(directory)
    journal.save(FULL)

    with pytest.raises(JournalError, match="larger than 1048576 bytes"):
        journal.save(replace(FULL, tried_revision="r" * LARGEST))

    assert FULL == journal.load()
