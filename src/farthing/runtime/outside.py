"""Describes failures of code that is not Farthing's own: the failing line, without text of a request."""

import traceback
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

OURS = frozenset({"farthing", "asyncio", "uvloop", "importlib", "contextlib"})
"""Packages whose lines explain nothing to the author of a plug-in."""
HELD_S = 0.25
"""Longest that code from outside may keep the event loop, and with it every other request, at one time."""


def place(error: BaseException, owners: Collection[str] = ()) -> str:
    """Where `error` was raised, such as ` at toy.py:12`: the last line in one of the top-level packages
    `owners`, otherwise in any package but Farthing's. Empty: there is no such line."""
    lines = [
        (str(frame.f_globals.get("__name__", "")).partition(".")[0], frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    theirs = [line for line in lines if line[0] in owners] or [
        line for line in lines if line[0] not in OURS and not line[1].startswith("<")
    ]
    if not theirs:
        return ""
    _, file, number = theirs[-1]
    return f" at {Path(file).name}:{number}"


def note(error: BaseException, words: str) -> None:
    """Attach `words` to `error` for `noted`, replacing any earlier note."""
    with suppress(Exception):  # its class may refuse attributes
        error.__notes__ = [words]


def noted(error: BaseException) -> str:
    """The note attached to `error` or to its cause; empty: there is none."""
    for one in (error, error.__cause__):
        notes = getattr(one, "__notes__", None)
        if isinstance(notes, list) and notes:
            return str(notes[0])
    return ""


def a_kind(value: object) -> str:
    """The type of `value` with its article, such as `a list`; `None` for None."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"an {name}" if name[:1] in "aeiouAEIOU" else f"a {name}"
