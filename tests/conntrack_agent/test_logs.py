"""Log lines: one for each thing, for machines or for people."""

import json
import logging
import sys

import pytest

from conntrack_agent.logs import JsonFormatter, TextFormatter


def record(**facts: object) -> logging.LogRecord:
    """A record with facts, as a caller makes it."""
    made = logging.makeLogRecord(
        {"msg": "applied", "levelno": 20, "levelname": "INFO", "created": 0}
    )
    made.__dict__.update(facts)
    return made


def test_a_line_for_machines() -> None:
    """One JSON object with the facts as fields of their own."""
    line = JsonFormatter().format(record(revision="r1", changes=["a 1 -> 2"]))

    assert {
        "time": "1970-01-01T00:00:00Z",
        "level": "info",
        "message": "applied",
        "revision": "r1",
        "changes": ["a 1 -> 2"],
    } == json.loads(line)


def test_a_line_for_people() -> None:
    """The message first, the facts after it."""
    assert "info    applied revision=r1" == TextFormatter().format(
        record(revision="r1")
    )


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_what_others_say_stays_on_its_line(formatter: logging.Formatter) -> None:
    """A server's text cannot forge a line or colour a terminal."""
    line = formatter.format(record(error="no\nerror   all is well\x1b[31m\r"))

    assert 1 == len(line.splitlines())
    assert "\x1b" not in line


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_a_bug_is_shown_with_its_place(formatter: logging.Formatter) -> None:
    """An unexpected exception keeps its traceback."""
    try:
        raise RuntimeError("a bug")  # noqa: TRY301 - to have a traceback
    except RuntimeError:
        made = record(exc_info=sys.exc_info())

    line = formatter.format(made)

    assert "RuntimeError: a bug" in line
    assert "test_logs.py" in line
