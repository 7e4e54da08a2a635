"""Whether a text holds a pattern, without waiting for one that takes for ever.

`re` may need a time that grows with a power of the text's length, or exponentially, and holds the
interpreter meanwhile: a thread does not help. The texts are strangers'. So the search is done in a process
beside this one, which is ended when it takes too long; a pattern without repetitions is searched here.
"""

import asyncio
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from functools import lru_cache
from importlib import import_module
from typing import Any

import msgspec

from farthing.errors import ConfigError

_parser: Any = import_module("re._parser")  # there is no public way to what a pattern is made of

SEARCH_S = 1.0
TEXT_CHARS_MAX = 200_000  # of a longer one the beginning is looked at
CACHED_MAX = 256
PATTERN_CHARS_MAX = 10_000

_encode = msgspec.json.Encoder().encode

# The alarm ends it from within the search, should nobody be left who would: it does not outlive the gateway.
_BESIDE = """\
import json, re, signal, sys
within_s = int(sys.argv[1])
for line in sys.stdin.buffer:
    pattern, text = json.loads(line)
    signal.alarm(within_s)
    found = re.search(pattern, text) is not None
    signal.alarm(0)
    sys.stdout.buffer.write(b"1\\n" if found else b"0\\n")
    sys.stdout.buffer.flush()
"""


def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, ready.

    Raises:
        ConfigError: it cannot be read.
    """
    if len(pattern) > PATTERN_CHARS_MAX:
        raise ConfigError(f"the pattern has over {PATTERN_CHARS_MAX} characters")
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(f"the pattern cannot be read: {error}") from error


@lru_cache(CACHED_MAX)
def quick(pattern: str) -> bool:
    """Whether a search takes a time that grows with the text's length alone: nothing of it repeats."""
    return _plain(_parser.parse(pattern))


def _plain(parsed: Any) -> bool:
    """Whether no part of a pattern repeats, branches, or looks back at what was found."""
    return all(
        str(code) in _PLAIN and (str(code) != "SUBPATTERN" or _plain(args[3])) for code, args in parsed
    )


_PLAIN = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN", "AT", "CATEGORY", "SUBPATTERN"})


class Searcher:
    """Searches in a process beside this one, which is begun when it is first needed. One event loop."""

    def __init__(self, *, within_s: float = SEARCH_S) -> None:
        self._within_s = within_s
        self._beside: Process | None = None
        self._lock = asyncio.Lock()

    async def found(self, pattern: re.Pattern[str], text: str) -> bool | None:
        """Whether `text` holds `pattern`; None: it could not be told in time."""
        text = text[:TEXT_CHARS_MAX]
        if quick(pattern.pattern):
            return pattern.search(text) is not None
        async with self._lock:
            try:
                async with asyncio.timeout(self._within_s):
                    return await self._asked(pattern.pattern, text)
            except (TimeoutError, OSError, EOFError, UnicodeEncodeError):
                await self._end()
                return None
            except asyncio.CancelledError:
                await self._end()  # half an exchange would answer the next question
                raise

    async def _asked(self, pattern: str, text: str) -> bool:
        beside = self._beside
        if beside is None or beside.returncode is not None:
            self._beside = beside = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                "-c",
                _BESIDE,
                str(int(self._within_s) + 2),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                env={},
            )
        assert beside.stdin is not None and beside.stdout is not None, "both were asked for"
        beside.stdin.write(_encode((pattern, text)) + b"\n")
        await beside.stdin.drain()
        line = await beside.stdout.readline()
        if not line:
            raise EOFError("the process beside ended")
        return line == b"1\n"

    async def _end(self) -> None:
        beside, self._beside = self._beside, None
        if beside is not None and beside.returncode is None:
            beside.kill()
            await beside.wait()

    async def aclose(self) -> None:
        """End the process beside. Safe to call twice; a later search begins another."""
        await self._end()
