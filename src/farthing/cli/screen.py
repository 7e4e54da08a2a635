"""Where output goes: a terminal has a width of its own, a file or a pipe gets one that is read well."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from farthing.insight.render.rows import wrapped

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 120  # of what goes to a file or a pipe, unless COLUMNS says otherwise
COMMENT_COLUMNS = 80  # of a file that is written here, whatever the terminal has


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


def beside(rows: Sequence[tuple[str, str]], width: int | None) -> list[str]:
    """What to type and what it does, in two columns; one below the other where that is wider than `width`."""
    left = max((len(what) for what, _ in rows), default=0)
    lines = [f"  {what:<{left}}  {about}" for what, about in rows]
    if width is None or all(len(line) <= width for line in lines):
        return lines
    return [line for what, about in rows for line in (f"  {what}", f"      {about}")]


def commented(*lines: str) -> list[str]:
    """`lines` as comments of a file, in rows of at most `COMMENT_COLUMNS`."""
    rows = (wrapped(row, COMMENT_COLUMNS - 2) for line in lines for row in line.split("\n"))
    return [f"# {row}".rstrip() for wrap in rows for row in wrap.split("\n")]


def say(*lines: str) -> None:
    """Write to standard output, as wide as that is."""
    import click

    width = columns(sys.stdout)
    click.echo("\n".join(wrapped(row, width) for line in lines for row in line.split("\n")))


def tell(*lines: str) -> None:
    """Write to standard error, as wide as that is: beside the output, whose reader gets only that."""
    import click

    width = columns(sys.stderr)
    click.echo("\n".join(wrapped(line, width) for line in lines), err=True)
