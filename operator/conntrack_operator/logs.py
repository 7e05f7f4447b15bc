"""
Log lines: one for each event, a constant text with facts beside it.

What fails tells of it each time and leaves it to `Seldom` how often that is read.
"""

import logging
import re
import sys
import time
from dataclasses import dataclass
from typing import Final

from pythonjsonlogger.json import JsonFormatter

from conntrack_operator.config import LogFormat, LogLevel
from conntrack_operator.pacing import Clock

SAME_SECONDS: Final = 600.0
"""Between two lines about the same trouble while it lasts."""

OTHER_SECONDS: Final = 60.0
"""Between two lines about different trouble in the same place."""

OVER_SECONDS: Final = 120.0
"""Without a word for so long a trouble is over: all that fails is tried more often."""

_QUIET: Final = ("kopf", "aiohttp", "asyncio", "kubernetes", "urllib3")
"""Libraries that speak only when something is wrong."""

_OURS: Final = "conntrack_operator"
"""Whose texts are constant."""

_NUMBERS: Final = re.compile(r"0x[0-9a-f]+|\d+")
"""An address in memory, or a number."""

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
"""What every record has; anything else on it is a fact of ours."""


def configure(form: LogFormat, level: LogLevel) -> None:
    """
    Send all log lines of this process to its standard error.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(form))
    handler.addFilter(Seldom(time.monotonic))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def formatter(form: LogFormat) -> logging.Formatter:
    """
    Give the formatter: one JSON object, or one line for people.
    """
    if form is LogFormat.TEXT:
        return TextFormatter("%(asctime)s %(levelname)-7s %(message)s")
    found = JsonFormatter(
        "%(asctime)s %(levelname)s %(name)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%SZ",
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
    )
    found.converter = time.gmtime
    return found


@dataclass(slots=True)
class _Trouble:
    """What one place complains of."""

    words: str
    """Of the line that was shown last."""
    shown_at: float
    heard_at: float
    """When it last complained, shown or not."""
    left_out: int = 0
    """Complaints since the line that was shown last."""


class Seldom(logging.Filter):
    """
    Lets few of the warnings and errors pass that one place repeats.

    The first passes at once, the same one once in ten minutes, another one once in a
    minute; the fact ``left_out`` counts those between. A place is a line of our code
    and the kind of object it is about, or all of a library. Numbers, and so the names
    of most nodes, make no difference.
    """

    def __init__(self, clock: Clock) -> None:
        """
        Start with no trouble.

        Args:
            clock: Seconds that never go back.
        """
        super().__init__()
        self._clock = clock
        self._troubles: dict[object, _Trouble] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """
        Tell whether a line is to be shown.
        """
        if record.levelno < logging.WARNING:
            return True
        ours = record.name.startswith(_OURS)
        place = (record.name, *((record.msg, vars(record).get("kind")) if ours else ()))
        words, now = _NUMBERS.sub("", record.getMessage()), self._clock()
        last = self._troubles.get(place)
        if last is not None and now - last.heard_at < OVER_SECONDS:
            last.heard_at = now
            pause = SAME_SECONDS if words == last.words else OTHER_SECONDS
            if now - last.shown_at < pause:
                last.left_out += 1
                return False
            if last.left_out:
                record.left_out = last.left_out
        self._troubles[place] = _Trouble(words, shown_at=now, heard_at=now)
        return True


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
        text = " ".join((super().formatMessage(record), *shown))
        # What a server said must neither forge a line nor colour a terminal.
        return "".join(each if each.isprintable() else " " for each in text)
