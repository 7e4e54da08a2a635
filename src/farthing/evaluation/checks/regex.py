"""Whether a text contains a pattern, without waiting for a search that never ends.

`re` can take polynomial or exponential time in the text's length, and holds the interpreter meanwhile, so a
thread does not help. The texts are untrusted. So a child process runs the search and is killed if it takes
too long; a pattern without repetitions is searched in this process.
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
from farthing.runtime.loop_batch import in_task

_parser: Any = import_module("re._parser")  # there is no public access to a pattern's structure

SEARCH_S = 1.0
TEXT_CHARS_MAX = 200_000  # only the beginning of a longer text is searched
CACHED_MAX = 256
PATTERN_CHARS_MAX = 10_000

_encode = msgspec.json.Encoder().encode

# The alarm ends the process during a search even if the gateway has died, so it never outlives the gateway.
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
    """Compile the pattern.

    Raises:
        ConfigError: the pattern is invalid.
    """
    if len(pattern) > PATTERN_CHARS_MAX:
        raise ConfigError(f"the pattern has over {PATTERN_CHARS_MAX} characters")
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(f"the pattern is invalid: {error}") from error


@lru_cache(CACHED_MAX)
def quick(pattern: str) -> bool:
    """Whether search time is linear in the text's length: nothing in the pattern repeats."""
    return _plain(_parser.parse(pattern))


def _plain(parsed: Any) -> bool:
    """Whether no part of a pattern repeats, branches, or refers back to a group."""
    return all(
        str(code) in _PLAIN and (str(code) != "SUBPATTERN" or _plain(args[3])) for code, args in parsed
    )


_PLAIN = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN", "AT", "CATEGORY", "SUBPATTERN"})


class Searcher:
    """Searches in a child process, started on first use. One event loop."""

    def __init__(self, *, within_s: float = SEARCH_S) -> None:
        self._within_s = within_s
        self._beside: Process | None = None
        self._lock = asyncio.Lock()

    async def found(self, pattern: re.Pattern[str], text: str) -> bool | None:
        """Whether `text` contains `pattern`; None: the search took too long."""
        text = text[:TEXT_CHARS_MAX]
        if quick(pattern.pattern):
            return pattern.search(text) is not None
        await in_task()  # asyncio.timeout needs a task
        async with self._lock:
            try:
                async with asyncio.timeout(self._within_s):
                    return await self._asked(pattern.pattern, text)
            except (TimeoutError, OSError, EOFError, UnicodeEncodeError):
                await self._end()
                return None
            except asyncio.CancelledError:
                await self._end()  # a half-read reply would be taken for the next one
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
        assert beside.stdin is not None and beside.stdout is not None, "both were requested"
        beside.stdin.write(_encode((pattern, text)) + b"\n")
        await beside.stdin.drain()
        line = await beside.stdout.readline()
        if not line:
            raise EOFError("the search process ended")
        return line == b"1\n"

    async def _end(self) -> None:
        beside, self._beside = self._beside, None
        if beside is not None and beside.returncode is None:
            beside.kill()
            await beside.wait()

    async def aclose(self) -> None:
        """End the child process. Safe to call twice; a later search starts another."""
        await self._end()
