"""The operator's file of questions to answer in advance: JSON lines."""

from pathlib import Path

import msgspec
from msgspec import Struct

from farthing.errors import ConfigError

FILE_BYTES_MAX = 16_777_216
QUESTION_CHARS_MAX = 2_000  # as in the semantic cache


class Listed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the file."""

    question: str
    endpoint: str
    tenant: str | None = None
    """The tenant that the answer is for; None: everybody who has asked at this endpoint."""
    system: str | None = None
    """The system prompt that clients send; None: those that clients were seen to send."""


_decode = msgspec.json.Decoder(Listed).decode


def read_listed(path: Path) -> list[Listed]:
    """The questions of the file, in its order. Empty lines are skipped.

    Raises:
        ConfigError: it cannot be read; the message names the line.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"precompute.file: {path} cannot be read: {error.strerror or error}") from error
    if len(raw) > FILE_BYTES_MAX:
        raise ConfigError(f"precompute.file: {path} is larger than {FILE_BYTES_MAX} bytes")
    found = []
    for number, line in enumerate(raw.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            one = _decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{path}:{number}: not a line with `question` and `endpoint`: {error}"
            ) from None
        if not one.question.strip() or len(one.question) > QUESTION_CHARS_MAX:
            raise ConfigError(f"{path}:{number}: a question has 1 to {QUESTION_CHARS_MAX} characters")
        found.append(one)
    return found
