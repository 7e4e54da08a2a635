"""Logging: one line per event, JSON unless to a terminal. No prompt, answer, key or header is logged."""

import logging
import time
from collections.abc import Callable
from typing import TextIO

import msgspec

_encode = msgspec.json.Encoder().encode


Redact = Callable[[str], str]


def _as_it_is(text: str) -> str:
    return text


class Lines(logging.Formatter):
    """Formats for people: one line, with any traceback below it. `redact` removes secrets from the text."""

    def __init__(self, redact: Redact = _as_it_is) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(super().format(record))


class JsonLines(logging.Formatter):
    """Formats one JSON object per line. `redact` is as for `Lines`."""

    def __init__(self, redact: Redact = _as_it_is) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._redact(record.getMessage()),
        }
        if record.exc_info:
            fields["traceback"] = self._redact(self.formatException(record.exc_info))
        return _encode(fields).decode()


def set_up_logging(level: str, *, as_json: bool | None, stream: TextIO, redact: Redact = _as_it_is) -> None:
    """Send Farthing's log, and asyncio's messages about failed tasks, to `stream`, redacted by `redact`.
    `as_json` None: JSON unless `stream` is a terminal. A second call replaces the first."""
    handler = logging.StreamHandler(stream)
    if as_json or (as_json is None and not stream.isatty()):
        handler.setFormatter(JsonLines(redact))
    else:
        handler.setFormatter(Lines(redact))
    for name, least in (("farthing", level.upper()), ("asyncio", "WARNING")):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(least)
        logger.propagate = False
