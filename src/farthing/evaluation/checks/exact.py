"""Whether an answer equals the expected one, for questions with a known answer. Pure except for the file."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from farthing.errors import ConfigError

FILE_BYTES_MAX = 67_108_864
QUESTIONS_MAX = 200_000


class _Row(Struct):
    question: str
    expected: str | list[str]


Expected = Mapping[str, frozenset[str]]
"""Question -> acceptable answers, any of which will do; both normalised by `plain`."""


def plain(text: str) -> str:
    """Remove differences that do not count: letter case, white space, closing full stops."""
    return " ".join(text.casefold().split()).rstrip(".。 ")


def read_expected(path: Path) -> Expected:
    """The expected answers in a file of JSON lines. If a question occurs twice, both answers are accepted.

    Raises:
        ConfigError: the file or a line cannot be read; the message says which.
    """
    decode = msgspec.json.Decoder(_Row).decode
    found: dict[str, set[str]] = {}
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ConfigError(f"{path}: larger than {FILE_BYTES_MAX} bytes")
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigError(f'{path}:{number}: {error}; write {{"question": …, "expected": …}}') from error
        expected = [row.expected] if isinstance(row.expected, str) else row.expected
        found.setdefault(plain(row.question), set()).update(map(plain, expected))
    if len(found) > QUESTIONS_MAX:
        raise ConfigError(f"{path}: more than {QUESTIONS_MAX} questions")
    return {question: frozenset(answers) for question, answers in found.items()}


def check_exact(question: str, answer: str, expected: Expected) -> bool | None:
    """Whether `answer` is an expected one; None: `question` has no known answer."""
    answers = expected.get(plain(question))
    return None if answers is None else plain(answer) in answers
