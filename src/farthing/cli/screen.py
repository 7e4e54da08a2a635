"""Where output goes: a terminal has a width of its own, a file or a pipe gets one that is read well."""

import os
import sys
import textwrap
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 120  # of what goes to a file or a pipe, unless COLUMNS says otherwise
COLUMNS_MIN = 20  # in a narrower terminal nothing is wrapped


def console(*, stderr: bool = False) -> "Console":
    """For tables and marked-up text on standard output, or on standard error."""
    from rich.console import Console

    width = columns(sys.stderr if stderr else sys.stdout)
    return Console(stderr=stderr, highlight=False, width=None if width else WIDTH)


def columns(stream: TextIO) -> int | None:
    """How many characters a row of `stream` has; None: it is a file or a pipe, and COLUMNS does not say."""
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def wrapped(line: str, width: int | None, indent: int = 2) -> str:
    """`line` in rows of at most `width` characters, those after the first moved in by `indent`. No word is
    broken, since it may be a name or an address to be copied; white space at the begin stays, and what is
    inside stays where the row does. None: as it is."""
    if width is None or width < COLUMNS_MIN or len(line) <= width:
        return line
    rows = textwrap.wrap(
        line,
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    return "\n".join(rows)


def tell(*lines: str) -> None:
    """Write to standard error, as wide as that is: beside the output, whose reader gets only that."""
    import click

    width = columns(sys.stderr)
    click.echo("\n".join(wrapped(line, width) for line in lines), err=True)
