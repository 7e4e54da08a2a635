"""Logging: one line an event, JSON unless a person watches. No prompt, answer, key or header is logged."""

import logging
import time
from typing import TextIO

import msgspec

_encode = msgspec.json.Encoder().encode


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return _encode(fields).decode()


def set_up_logging(level: str, *, as_json: bool | None, stream: TextIO) -> None:
    """Send Farthing's log to `stream`. `as_json` None: JSON unless it is a terminal. Twice is safe."""
    handler = logging.StreamHandler(stream)
    if as_json or (as_json is None and not stream.isatty()):
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("farthing")
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
