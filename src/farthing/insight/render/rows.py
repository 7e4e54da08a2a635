"""Lines of text in rows that fit."""

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

COLUMNS_MIN = 20  # in a narrower terminal nothing is wrapped


def wrapped(line: str, width: int | None, indent: int | None = None) -> str:
    """`line` in rows of at most `width` characters, those after the first moved in by `indent`; None: two
    further than the first. No word is broken, since it may be a name or an address to be copied; white space
    at the begin stays, and what is inside stays where the row does. A `width` of None: as it is."""
    if width is None or width < COLUMNS_MIN or len(line) <= width:
        return line
    if indent is None:
        indent = len(line) - len(line.lstrip(" ")) + 2
    rows = textwrap.wrap(
        line,
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    return "\n".join(rows)


def counted(count: int, one: str, several: str = "") -> str:
    """`1 request`, `1,200 requests`; `several` where that is not `one` with an s."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def hanging(markup: str, width: int) -> Iterator["Text"]:
    """A line with rich's markup in rows of at most `width` cells, those after the first moved in by two."""
    from rich.console import Console
    from rich.text import Text

    text = Text.from_markup(markup)
    if text.cell_len <= width or width < COLUMNS_MIN:
        yield text
        return
    indent = len(text.plain) - len(text.plain.lstrip(" ")) + 2
    first, *others = text.wrap(Console(width=width), width - indent)
    first.rstrip()
    yield first
    for row in others:
        row.rstrip()
        yield Text.assemble(" " * indent, row)
