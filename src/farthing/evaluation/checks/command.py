"""Check an answer with a command, such as a unit test: exit status 0 means that the answer is right.

The command is the operator's; its input is untrusted. So there is no shell, and the answer never appears in
the arguments. The command has a directory of its own, an environment with only PATH, bounded memory, file
size and time, and its output is dropped. A command that runs the answer as code needs a sandbox of its own:
these bounds keep it from exhausting the machine, not from reaching what its user may reach.
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

# The child sets the bounds before it executes the command, so they hold from the command's start.
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
    """The result of a command."""

    passed: bool | None
    """None: undecided."""
    reason: str
    """`exit 1`, `over 10 s`, `could not be started`; empty if it passed."""


async def run(
    command: Sequence[str],
    answer: str,
    *,
    question: str = "",
    timeout_s: float = TIMEOUT_S,
    memory_bytes_max: int = MEMORY_BYTES_MAX,
) -> Ran:
    """Run `command` with `answer` on standard input and in `answer.txt` in its working directory.

    All its processes are killed with it, except those that left its session. An answer on which it takes too
    long, or too much memory, did not pass; a command that cannot be started decides nothing. Raises only
    CancelledError.
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
            os.killpg(process.pid, signal.SIGKILL)  # the command and its children
        await asyncio.shield(process.wait())
    if status == NOT_STARTED:
        return Ran(None, "could not be started")
    return Ran(True, "") if status == 0 else Ran(False, f"exit {status}")
