"""
Log lines: one for each event, a constant text with facts beside it.
"""

import logging
import sys
from typing import Final

from pythonjsonlogger.json import JsonFormatter

from conntrack_operator.config import LogFormat, LogLevel

_QUIET: Final = ("kopf", "aiohttp", "asyncio", "kubernetes", "urllib3")
"""Libraries that speak only when something is wrong."""

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
"""What every record has; anything else on it is a fact of ours."""


def configure(form: LogFormat, level: LogLevel) -> None:
    """
    Send all log lines of this process to its standard error.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(form))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def formatter(form: LogFormat) -> logging.Formatter:
    """
    Give the formatter: one JSON object, or one line for people.
    """
    if form is LogFormat.TEXT:
        return TextFormatter("%(asctime)s %(levelname)-7s %(message)s")
    return JsonFormatter(
        "%(asctime)s %(levelname)s %(name)s %(message)s",
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
    )


class TextFormatter(logging.Formatter):
    """Puts the facts behind the text, as ``name=value``."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """
        Write the line with its facts.
        """
        facts = {
            key: each for key, each in vars(record).items() if key not in _STANDARD
        }
        shown = (f"{key}={value}" for key, value in facts.items())
        return " ".join((super().formatMessage(record), *shown))
