"""Whether a command, such as a unit test, takes an answer for right. Its exit status says so: 0 is yes.

The command is the operator's; what it reads is a stranger's. So there is no shell and nothing of the answer
stands in the arguments; it has a directory of its own, no environment but a path, bounded memory, files and
time, and what it prints is dropped. A command that runs the answer as code needs a sandbox of its own: these
bounds keep it from using the machine up, not from reaching what its user may reach.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

TIMEOUT_S = 10.0
MEMORY_BYTES_MAX = 536_870_912
FILE_BYTES_MAX = 67_108_864
ANSWER, QUESTION = "answer.txt", "question.txt"
PATH = "/usr/local/bin:/usr/bin:/bin"

# The bounds are set in the process itself before the command takes its place: they hold from its start.
_BOUNDED = """\
import os, resource, sys
memory, seconds, file = map(int, sys.argv[1:4])
bounds = (("RLIMIT_AS", memory), ("RLIMIT_CPU", seconds), ("RLIMIT_FSIZE", file), ("RLIMIT_CORE", 0))
for what, most in bounds:
    limit = getattr(resource, what, None)
    if limit is None:
        continue
    try:
        resource.setrlimit(limit, (most, most))
    except (OSError, ValueError):
        pass  # this system has no such bound, or a lower one already
try:
    os.execvp(sys.argv[4], sys.argv[4:])
except OSError:
    os._exit(127)
"""
NOT_STARTED = 127


class Ran(Struct, frozen=True):
    """What came of a command."""

    passed: bool | None
    """None: it could not be told."""
    reason: str
    """`exit 1`, `over 10 s`, `could not be started`; empty when it passed."""


async def run(
    command: Sequence[str],
    answer: str,
    *,
    question: str = "",
    timeout_s: float = TIMEOUT_S,
    memory_bytes_max: int = MEMORY_BYTES_MAX,
) -> Ran:
    """Run `command` on `answer`, its standard input and `answer.txt` in the directory it runs in.

    All it has begun is ended with it, but for what left its session. An answer on which it takes too long, or
    too much memory, did not pass; a command that cannot be started says nothing about an answer. Never raises
    but CancelledError.
    """
    try:
        folder = await asyncio.to_thread(_laid_out, answer, question)
    except OSError as error:
        return Ran(None, f"no directory: {error.strerror}"[:100])
    try:
        return await _run(command, Path(folder.name), timeout_s, memory_bytes_max)
    except OSError as error:
        return Ran(None, f"could not be started: {error.strerror}"[:100])
    finally:
        await asyncio.shield(asyncio.to_thread(folder.cleanup))


def _laid_out(answer: str, question: str) -> "tempfile.TemporaryDirectory[str]":
    folder = tempfile.TemporaryDirectory(prefix="farthing-check-", ignore_cleanup_errors=True)
    for name, text in ((ANSWER, answer), (QUESTION, question)):
        Path(folder.name, name).write_text(text, encoding="utf-8", errors="replace")
    return folder


async def _run(command: Sequence[str], folder: Path, timeout_s: float, memory_bytes_max: int) -> Ran:
    bounds = (str(memory_bytes_max), str(int(timeout_s) + 1), str(FILE_BYTES_MAX))
    with (folder / ANSWER).open("rb") as answer:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            "-c",
            _BOUNDED,
            *bounds,
            *command,
            stdin=answer,
            stdout=DEVNULL,
            stderr=DEVNULL,
            cwd=folder,
            env={"PATH": os.environ.get("PATH", PATH), "LANG": "C.UTF-8", "HOME": str(folder)},
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(timeout_s):
            status = await process.wait()
    except TimeoutError:
        return Ran(False, f"over {timeout_s:g} s")
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # itself, and what it left behind
        await asyncio.shield(process.wait())
    if status == NOT_STARTED:
        return Ran(None, "could not be started")
    return Ran(True, "") if status == 0 else Ran(False, f"exit {status}")
