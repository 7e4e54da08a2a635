"""Tables for terminals of any width: names and figures are never cut; instead the table changes its form.

If all columns fit next to the names, there is one table. If not, it is split between groups of columns, and
if the names leave no room even for one group, they get lines of their own above their figures.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from rich.text import Text

GAP = 2
INDENT = 2
SEPARATOR = " · "


class Group(Struct, frozen=True):
    """Columns that belong together."""

    title: str
    columns: tuple[str, ...]


class Line(Struct, frozen=True):
    """A row: its names, by name column, and its figures, by column of all groups."""

    names: tuple[str, ...]
    figures: tuple[str, ...]
    style: str = ""


Span = tuple[int, int]
"""The range of figure columns: first, and one past the last."""


def printable(text: str) -> str:
    """`text` without control characters, which could steer a terminal: names and messages are untrusted."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def tables(
    names: Sequence[str], groups: Sequence[Group], lines: Sequence[Line], width: int
) -> Iterator["Text"]:
    """The lines of one or more tables, at most `width` cells wide unless a single name or figure is
    longer."""
    from rich.cells import cell_len

    lines = [Line(tuple(printable(name) for name in one.names), one.figures, one.style) for one in lines]
    columns = [column for group in groups for column in group.columns]
    wide = [
        max(map(cell_len, (column, *(one.figures[at] for one in lines)))) for at, column in enumerate(columns)
    ]
    name_wide = [
        max(map(cell_len, (name, *(one.names[at] for one in lines)))) for at, name in enumerate(names)
    ]
    beside = sum(name_wide) + GAP * (len(names) - 1)
    ends: list[int] = []
    for group in groups:
        ends.append((ends[-1] if ends else 0) + len(group.columns))
    spans = list(zip((0, *ends), ends, strict=False))
    if all(beside + _width(wide, span) <= width for span in spans):
        for span in _packed(spans, wide, width - beside):
            title = next(
                group.title for group, (first, _) in zip(groups, spans, strict=True) if first == span[0]
            )
            yield from _beside(title, names, name_wide, columns, wide, lines, span)
        return
    fitting = spans
    if any(_width(wide, span) + INDENT - GAP > width for span in spans):
        fitting = [(at, at + 1) for at in range(len(columns))]
    packed = _packed(fitting, wide, width - INDENT + GAP)
    yield from _above(groups[0].title, names, columns, wide, lines, packed)


def _width(wide: Sequence[int], span: Span) -> int:
    return sum(GAP + one for one in wide[span[0] : span[1]])


def _packed(spans: Sequence[Span], wide: Sequence[int], width: int) -> list[Span]:
    """Join `spans` into as few as fit."""
    found: list[Span] = []
    for first, end in spans:
        if found and _width(wide, (found[-1][0], end)) <= width:
            found[-1] = (found[-1][0], end)
        else:
            found.append((first, end))
    return found


def _beside(
    title: str,
    names: Sequence[str],
    name_wide: Sequence[int],
    columns: Sequence[str],
    wide: Sequence[int],
    lines: Sequence[Line],
    span: Span,
) -> Iterator["Text"]:
    from rich.text import Text

    yield Text()
    yield Text(title, "italic")
    yield Text(_in_columns(names, name_wide) + _figures(columns, wide, span), "dim")
    for one in lines:
        yield Text(_in_columns(one.names, name_wide) + _figures(one.figures, wide, span), one.style)


def _above(
    title: str,
    names: Sequence[str],
    columns: Sequence[str],
    wide: Sequence[int],
    lines: Sequence[Line],
    packed: Sequence[Span],
) -> Iterator["Text"]:
    from rich.text import Text

    yield Text()
    yield Text(title, "italic")
    for one in (Line(tuple(names), tuple(columns), "dim"), *lines):
        yield Text(SEPARATOR.join(one.names), one.style)
        for span in packed:
            yield Text(" " * (INDENT - GAP) + _figures(one.figures, wide, span), one.style)


def _in_columns(names: Sequence[str], name_wide: Sequence[int]) -> str:
    from rich.cells import cell_len

    return (" " * GAP).join(
        name + " " * (wide - cell_len(name)) for name, wide in zip(names, name_wide, strict=True)
    )


def _figures(figures: Sequence[str], wide: Sequence[int], span: Span) -> str:
    from rich.cells import cell_len

    shown = zip(figures[span[0] : span[1]], wide[span[0] : span[1]], strict=True)
    return "".join(" " * (GAP + width - cell_len(figure)) + figure for figure, width in shown)
