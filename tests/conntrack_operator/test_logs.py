import json
import logging
from datetime import datetime, timedelta

from conntrack_operator.config import LogFormat
from conntrack_operator.logs import (
    OTHER_SECONDS,
    OVER_SECONDS,
    SAME_SECONDS,
    Seldom,
    formatter,
)
from conntrack_operator.testing import FakeTime


def record() -> logging.LogRecord:
    """Make a log record with facts."""
    facts = {"node": "n1", "put_off": 3}
    logger = logging.getLogger("conntrack_operator.test")
    return logger.makeRecord(
        logger.name, logging.INFO, "", 0, "nodes changed", (), None, extra=facts
    )


def test_json_line() -> None:
    """One event is one JSON object on one line, its facts as fields."""
    line = formatter(LogFormat.JSON).format(record())

    found = json.loads(line)
    assert "\n" not in line
    assert {"time", "level", "logger", "message", "node", "put_off"} == set(found)
    assert ("INFO", "nodes changed", "n1") == (
        found["level"],
        found["message"],
        found["node"],
    )


def test_time_has_its_zone() -> None:
    """Lines of machines in several zones can be put in order."""
    line = json.loads(formatter(LogFormat.JSON).format(record()))

    assert datetime.fromisoformat(line["time"]).utcoffset() == timedelta()


def test_text_line_stays_one_line() -> None:
    """Whatever a server has said."""
    found = record()
    found.msg = "no\nERROR forged \x1b[31m"

    line = formatter(LogFormat.TEXT).format(found)

    assert "no ERROR forged  [31m node=n1" in line


def test_text_line() -> None:
    """For people the facts stand behind the text."""
    line = formatter(LogFormat.TEXT).format(record())

    assert line.endswith("INFO    nodes changed node=n1 put_off=3")


class Log:
    """What passes the filter, in a time of its own."""

    def __init__(self) -> None:
        """Start with no line."""
        self.time = FakeTime()
        self._filter = Seldom(self.time.clock)

    def shows(
        self,
        text: str,
        *,
        name: str = "conntrack_operator.test",
        level: int = logging.WARNING,
        **facts: object,
    ) -> bool:
        """Complain; tell whether it is read."""
        return bool(self.record(text, name=name, level=level, **facts))

    def record(self, text: str, **given: object) -> logging.LogRecord | None:
        """Complain; give what is read of it."""
        name = str(given.pop("name", "conntrack_operator.test"))
        level = int(str(given.pop("level", logging.WARNING)))
        ours = name.startswith("conntrack_operator")
        message, words = ("cannot: %s", (text,)) if ours else (text, ())
        found = logging.getLogger(name).makeRecord(
            name, level, "", 0, message, words, None, extra=given
        )
        return found if self._filter.filter(found) else None


def test_lasting_trouble_is_read_six_times_an_hour() -> None:
    """What is tried each second for an hour, under another number, fills no log."""
    log = Log()
    shown = 0
    for second in range(3600):
        shown += log.shows(f'403: "n{second:05}" is forbidden at 0x7f{second:x}')
        log.time.now += 1

    assert 3600 / SAME_SECONDS == shown


def test_what_was_left_out_is_counted() -> None:
    """The next line says how many there were in between."""
    log = Log()
    for _ in range(int(SAME_SECONDS)):
        log.shows("503")
        log.time.now += 1

    record = log.record("503")
    assert record is not None
    assert SAME_SECONDS - 1 == vars(record)["left_out"]


def test_trouble_that_comes_back_is_read_at_once() -> None:
    """A quiet time in between was a recovery."""
    log = Log()
    log.shows("503")
    log.time.now += OVER_SECONDS - 1
    assert not log.shows("503")
    log.time.now += OVER_SECONDS

    assert log.shows("503")


def test_other_trouble_in_the_same_place() -> None:
    """It is read within a minute, and a place that finds ever new words is not."""
    log = Log()
    words = ("refused", "forbidden", "lost")
    shown = 0
    for second in range(600):
        shown += log.shows(words[second % 3])
        log.time.now += 1

    assert 600 / OTHER_SECONDS == shown


def test_other_places_are_not_affected() -> None:
    """Another logger, another kind of object; and what is no trouble at all."""
    log = Log()

    assert log.shows("503")
    assert log.shows("503", name="conntrack_operator.other")
    assert log.shows("503", kind="Node")
    assert all(log.shows("503", level=logging.INFO) for _ in range(5))


def test_a_library_is_one_place() -> None:
    """Its texts are not constant: attempts are counted in them."""
    log = Log()

    assert log.shows("attempt #1 of GET /a", name="kopf.clients")
    assert not log.shows("attempt #2 of GET /a", name="kopf.clients")
    assert not log.shows("attempt #1 of GET /b", name="kopf.clients")
