import json
import logging

from conntrack_operator.config import LogFormat
from conntrack_operator.logs import formatter


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


def test_text_line() -> None:
    """For people the facts stand behind the text."""
    line = formatter(LogFormat.TEXT).format(record())

    assert line.endswith("INFO    nodes changed node=n1 put_off=3")
