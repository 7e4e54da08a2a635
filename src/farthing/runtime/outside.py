"""Failures of code that is not Farthing's own: at which of its lines, without a word of a request."""

import traceback
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

OURS = frozenset({"farthing", "asyncio", "uvloop", "importlib", "contextlib"})
"""Packages whose lines explain nothing to the author of a plug-in."""
HELD_S = 0.25
"""Longest that code from outside may keep the event loop, and with it every other request, at one time."""


def place(error: BaseException, owners: Collection[str] = ()) -> str:
    """` at toy.py:12`, the last line that belongs to one of the top-level packages `owners`, else to anybody
    but Farthing; empty: there is none."""
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
    """Have `noted` say `words` of it, in the place of what was noted before."""
    with suppress(Exception):  # its class may refuse attributes
        error.__notes__ = [words]


def noted(error: BaseException) -> str:
    """What was noted of it, or of what it came from; empty: nothing."""
    for one in (error, error.__cause__):
        notes = getattr(one, "__notes__", None)
        if isinstance(notes, list) and notes:
            return str(notes[0])
    return ""


def a_kind(value: object) -> str:
    """`a list`; `None` for None."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"an {name}" if name[:1] in "aeiouAEIOU" else f"a {name}"
