"""
One log line for each thing worth saying: JSON for machines, text for a terminal.
"""

import json
import logging
import sys
import time
import warnings
from typing import Final

_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "taskName"}


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: time, level, message, and its facts as fields."""

    def format(self, record: logging.LogRecord) -> str:
        """
        Give one line.
        """
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **facts(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """A record for a person: message first, facts after it."""

    def format(self, record: logging.LogRecord) -> str:
        """
        Give one line.
        """
        shown = " ".join(f"{key}={value}" for key, value in facts(record).items())
        text = f"{record.levelname.lower():<8}{record.getMessage()} {shown}".rstrip()
        # What a server said must neither forge a line nor colour a terminal.
        text = "".join(
            each if each.isprintable() else ascii(each)[1:-1] for each in text
        )
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def facts(record: logging.LogRecord) -> dict[str, object]:
    """
    Give the fields that the caller added.
    """
    return {key: value for key, value in vars(record).items() if key not in _OWN}


def start(log_format: str) -> None:
    """
    Send every record to standard error.

    Args:
        log_format: ``json`` or ``text``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    # At a clock that is years off, urllib3 warns at each connection, past the log.
    warnings.simplefilter("ignore")
