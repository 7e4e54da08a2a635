"""The table of what is lost between dialects, and how a request or an answer is held against it.

The table is the page `docs/dialects.md`, so what it says and what is tested cannot differ.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.docs.pages import DOCS
from tests.e2e.cases import Door, Trip
from tests.e2e.matching import faults

PAGE: Final[Path] = DOCS / "dialects.md"
DOORS: Final[dict[str, Door]] = {"chat": "chat", "Messages": "messages"}
"""What the page calls a dialect of both clients and providers."""
NAMES: Final[dict[str, Door]] = {**DOORS, "Responses": "responses"}
NOWHERE: Final = "-"
"""In the table: the dialect that it comes in has no word for it."""
_CODE: Final = re.compile(r"`([^`]+)`")

Pair = tuple[Door, Door]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One thing in the words of one dialect."""

    asks: Any
    """A request that has it, or an answer."""
    kept: Any
    """A sketch of what has it in the same dialect."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One row of the table."""

    chat: Said | None = None
    messages: Said | None = None
    responses: Said | None = None
    chat_has: Any = None
    """A sketch of what has it in chat completions, where another dialect brings it."""
    messages_has: Any = None
    """The other way round."""
    responses_has: Any = None
    names: tuple[str, ...] = ()
    """What it is called where it is refused or left out, any of them."""
    model: str = "claude-haiku-4-5"
    """That of Messages, some of which take what others do not."""

    def said(self, door: Door) -> Said | None:
        return {"chat": self.chat, "messages": self.messages, "responses": self.responses}[door]

    def sketch(self, door: Door, target: Door) -> Any:
        """What is there in the dialect `target` where it was kept."""
        said = self.said(door)
        assert said is not None
        if door == target:
            return said.kept
        return {"chat": self.chat_has, "messages": self.messages_has, "responses": self.responses_has}[target]


def table(heading: str, doors: Mapping[str, Any] = DOORS) -> dict[str, dict[Any, str]]:
    """The verdicts of the table below a heading: what, and for each pair of dialects the first word there.
    `doors`: what the page calls them.

    Raises:
        AssertionError: there is none.
    """
    rows = list(_rows(heading))
    assert len(rows) > 2, f"{PAGE.name} has no table below {heading!r}"
    pairs: dict[int, Any] = {}
    for at, cell in enumerate(rows[0]):
        there, arrow, back = cell.partition(" → ")
        if arrow:
            pairs[at] = doors[there], doors[back]
    found: dict[str, dict[Any, str]] = {}
    for row in rows[2:]:
        assert row[0] not in found, f"{row[0]} stands there twice"
        found[row[0]] = {pair: row[at] for at, pair in pairs.items()}
    return found


def _rows(heading: str) -> Iterator[list[str]]:
    _, _, below = PAGE.read_text().partition(f"\n## {heading}\n")
    for line in below.splitlines():
        if line.startswith("## "):
            return
        if line.startswith("|"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def verdict(thing: Thing, trip: Trip, target: Door) -> str:
    """What became of a thing on its way to a provider, in the table's word."""
    told = trip.reply.headers.get("x-farthing-left-out", "")
    if trip.reply.status == 400:
        assert not trip.calls, "it was refused, and asked for all the same"
        message = trip.reply.error["message"]
        assert _names(thing, message), f"{message!r} names none of {thing.names}"
        return "refused"
    assert trip.reply.status == 200, trip.reply.body
    sketch = thing.sketch(trip.case.door, target)
    kept = sketch is not None and not faults(trip.up, sketch)
    if _names(thing, told):
        return "left out" if not kept else "kept and told as left out"
    return "kept" if kept else "gone"


def _names(thing: Thing, text: str) -> bool:
    return any(name in text for name in thing.names)
