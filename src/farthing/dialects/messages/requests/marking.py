"""Our marks for the prompt cache in a request of Messages that goes up as its client sent it. All its other
bytes stay; only what is marked is looked at.

A mark stands on a block. A text that was told alone, which is the same to the provider as one block of text,
is written as that block where it is marked."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from farthing.dialects.marking import Places, mark_of
from farthing.dialects.splice import edited, members
from farthing.text.lenient_json import write_json
from farthing.types import CacheMarks

MARK: Final = b'"cache_control"'
UNMARKED: Final = frozenset({"thinking", "redacted_thinking"})
"""Blocks on which a mark is refused."""
_items = msgspec.json.Decoder(list[Raw]).decode
Span = tuple[int, int]
Edit = tuple[int, int, bytes]


class _Block(Struct):
    """What is looked at of a block or a tool."""

    type: str = ""
    text: Any = None
    defer_loading: Any = None


_block = msgspec.json.Decoder(_Block).decode


def with_marks(raw: bytes, marks: CacheMarks, *, reshape: bool, said: Any = None) -> bytes:
    """The body `raw` with marks; itself where it has no place for them. `reshape`: a text that was told alone
    may be written as a block. One that has any mark of its own stays as it is. `said`: its messages, decoded,
    where they are known: those that get no mark are then not looked at. Never raises."""
    if raw.rfind(MARK) >= 0:  # half the time of `in`
        return raw
    try:
        found = members(raw)
        if found is None:
            return raw
        edits: list[Edit] = []
        if marks.tools and "tools" in found:
            edits += _on_last(raw, found["tools"], mark_of(marks.tools))
        if marks.system and "system" in found:
            edits += _on_content(raw, found["system"], _Once(marks.system), reshape)
        if marks.turns and "messages" in found:
            edits += _on_turns(raw, found["messages"], marks, reshape, said)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
        return raw
    return edited(raw, edits) if edits else raw


class _Once:
    """The last block that may be marked."""

    def __init__(self, life: str) -> None:
        self.mark = mark_of(life)
        self.done = False

    def takes(self, *, may: bool) -> bool:
        here = may and not self.done
        self.done = self.done or here
        return here


class _Turns(Places):
    __slots__ = ("mark",)

    def __init__(self, marks: CacheMarks) -> None:
        super().__init__(marks)
        self.mark = mark_of(marks.turns)


def _on_turns(raw: bytes, span: Span, marks: CacheMarks, reshape: bool, said: Any) -> Iterator[Edit]:
    places = _Turns(marks)
    known = said if said.__class__ is list else []
    for index, (begin, end) in enumerate(_backwards(raw, span), start=1):
        if places.done:
            return
        if index <= len(known) and places.passes(_blocks_in(known[-index])):
            continue
        message = raw[begin:end]
        content = (members(message) or {}).get("content")
        if content is not None:
            yield from _on_content(raw, (begin + content[0], begin + content[1]), places, reshape)


def _blocks_in(message: Any) -> int:
    content = message.get("content") if message.__class__ is dict else None
    return len(content) if content.__class__ is list else 1


def _on_content(raw: bytes, span: Span, places: "_Once | _Turns", reshape: bool) -> Iterator[Edit]:
    """Marks on the blocks of a content, the last one first."""
    begin, end = span
    if raw[begin : begin + 1] == b'"':
        text = raw[begin:end]
        if places.takes(may=reshape and bool(text[1:-1].strip())):
            yield (
                begin,
                end,
                b'[{"type":"text","text":%b,"cache_control":%b}]'
                % (
                    text,
                    write_json(places.mark),
                ),
            )
        return
    for first, last in _backwards(raw, span):
        if places.done:
            return
        if places.takes(may=_may_be_marked(raw[first:last])):
            yield _on(raw, last, places.mark)


def _on_last(raw: bytes, span: Span, mark: Any) -> Iterator[Edit]:
    """A mark on the last tool that is there from the beginning."""
    for begin, end in _backwards(raw, span):
        if not _block(raw[begin:end]).defer_loading:
            yield _on(raw, end, mark)
            return


def _on(raw: bytes, end: int, mark: Any) -> Edit:
    """A mark on the object that ends at byte `end`."""
    return end - 1, end - 1, b',"cache_control":%b' % write_json(mark)


def _may_be_marked(block: bytes) -> bool:
    if block[:1] != b"{":
        return False
    told = _block(block)
    if told.type == "text":
        return told.text.__class__ is str and bool(told.text.strip())
    return bool(told.type) and told.type not in UNMARKED


def _backwards(raw: bytes, span: Span) -> Iterator[Span]:
    """Where the items of a list begin and end, the last one first."""
    begin, end = span
    if raw[begin : begin + 1] != b"[":
        return
    at = end - 1
    for item in reversed(_items(memoryview(raw)[begin:end])):
        while raw[at - 1] in b" \t\r\n":
            at -= 1
        first = at - memoryview(item).nbytes
        yield first, at
        at = first
        while raw[at - 1] in b" \t\r\n,":
            at -= 1
