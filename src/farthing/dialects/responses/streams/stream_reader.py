"""A streamed response: bytes in, the events of the model out.

Everything of a response is told more than once: in pieces, whole when a part or an item is done, and in the
event that ends it. What has come in pieces is not read again; what has not is taken from where it is told
first, so that a server may leave out any of the three. Items are told apart by their place in the output:
some proxies give them another id in each event.

Strict where the answer would be missing: what is no JSON, a call without a name, a stream that stops before
it says how it ended. Lenient elsewhere: unknown events are skipped, pieces may come before the item that they
are of, noise that hides the length of pieces (`obfuscation`) is ignored. Sans-I/O and bounded: no event is
longer than `event_bytes_max`, and there are no more items than `ITEMS_MAX`.
"""

from typing import Any

from farthing.dialects.conversation import (
    ENDED,
    PING,
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Counted,
    Event,
    Opaque,
    Reasoning,
    ReasoningDelta,
    Refusal,
    SignatureDelta,
    Started,
    Stopped,
    Text,
    TextDelta,
)
from farthing.dialects.events import BadStream, Framed, NamedEventReader, ProviderSaid, after
from farthing.dialects.responses.answers.answer_reader import (
    BETWEEN,
    CALLS,
    ITEMS_MAX,
    Maker,
    call_of,
    error_payload,
    stop_of,
    text_of,
)
from farthing.dialects.responses.usage import read_usage
from farthing.text.lenient_json import NotJson, read_json, write_json
from farthing.types import Json

ENDINGS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
PARTS_MAX = 10_000  # of one item
INPUT = {"function_call": "arguments", "custom_tool_call": "input"}
"""Where the item of a call has what it is called with."""
Part = tuple[str, int]
"""A part of an item: in which of its lists, and the place there."""


class Item:
    """One item of the output that has begun."""

    __slots__ = ("blocks", "cited", "closed", "done", "fields", "last", "merged", "parts", "pieces", "place")

    def __init__(self, place: int) -> None:
        self.place = place
        self.fields: Json = {}
        """As it was told last; empty: pieces came before it."""
        self.pieces: dict[Part, list[str]] = {}
        """What has come of each part, in pieces."""
        self.cited: dict[int, int] = {}
        """How many sources of each text have come."""
        self.blocks: dict[int, int] = {}
        """The index of the block that each part is; an item that is one block has a part 0."""
        self.closed: set[tuple[str, int]] = set()
        """Events that have said of a part, by its place, that it is whole."""
        self.last: Part | None = None
        """The part that the last piece was of."""
        self.parts: set[int] = set()
        """Parts of what was thought that have been announced."""
        self.merged = False
        """Pieces of what was thought came each as a part of its own, and are one."""
        self.done = False

    @property
    def kind(self) -> str:
        return text_of(self.fields, "type")


class Reader(NamedEventReader):
    """Feed it what comes; it returns the events that are complete."""

    __slots__ = (
        "_all",
        "_called",
        "_items",
        "_maker",
        "_next",
        "_open",
        "_places",
        "_response",
        "_spoke",
        "_started",
        "sequence",
    )

    def __init__(self, event_bytes_max: int, maker: Maker | None = None) -> None:
        """`maker` is whose stream it is; None: nobody's who takes its reasoning back."""
        super().__init__(event_bytes_max)
        self._maker = Maker() if maker is None else maker
        self._items: dict[int, Item] = {}
        """By their place in the output: the last one, where a server uses a place twice."""
        self._places: dict[str, int] = {}
        """The places of items by their ids."""
        self._all: list[Item] = []
        """In the order in which they began."""
        self._open: set[int] = set()
        """Indices of blocks that have begun and not stopped."""
        self._next = 0
        """The index of the next block."""
        self._response: Json = {}
        """As it was told first."""
        self._called = False
        self._spoke: Item | None = None
        """The message that the last text was of: the text of another begins apart from it."""
        self._started = False
        self.sequence = -1
        """The number of the last event that had one."""

    @property
    def stopped(self) -> bool:
        """Whether it has said why it ended: the same event says that it is complete."""
        return self._done

    @property
    def open_blocks(self) -> list[int]:
        return sorted(self._open)

    def end(self) -> list[Event]:
        """The body is complete.

        Raises:
            BadStream: the answer is not. ProviderSaid: as `feed`.
        """
        found = self._read(self._splitter.end())
        if not self._done:
            raise after(found, BadStream("the stream ended before its answer did"))
        return found

    def take(self, framed: Framed, found: list[Event]) -> None:
        name, data = framed
        event = _value(name, data)
        if event is not None:
            number = event.get("sequence_number")
            if number.__class__ is int:
                self.sequence = int(number)
            self._event(text_of(event, "type") or name.decode("latin-1"), event, found)

    def snapshot(self) -> Json:
        """The response as far as it has come, every item with what was told of it."""
        output = [snapshot_of(item) for item in self._all]
        return {**self._response, "output": [item for item in output if item]}

    def open_items(self) -> list[Item]:
        """The items that have begun and are not done."""
        return [item for item in self._all if item.fields and not item.done]

    def _event(self, kind: str, event: Json, found: list[Event]) -> None:
        if kind == "response.output_text.delta":
            self._text(event, _piece(event), found)
        elif kind == "response.function_call_arguments.delta":
            self._argument("function_call", event, found)
        elif kind == "response.reasoning_summary_text.delta" or kind == "response.reasoning_text.delta":
            self._think(event, ("summary" if "summary" in kind else "content"), _piece(event), found)
        elif kind in ("response.created", "response.in_progress", "response.queued"):
            self._begin(event, found)
        elif kind == "response.output_item.added":
            self._added(event, found)
        elif kind == "response.output_item.done":
            self._item_done(self._at(event), _object(event, "item"), found)
        elif kind in ENDINGS:
            self._end(kind, event, found)
        elif kind == "error" or (event.get("error") and not kind.startswith("response.")):
            raise ProviderSaid(error_payload(event))
        else:
            self._other(kind, event, found)

    def _other(self, kind: str, event: Json, found: list[Event]) -> None:
        if kind.endswith(".done"):
            self._closes(kind, event)
        match kind:
            case (
                "response.content_part.added" | "response.content_part.done" | "response.reasoning_part.added"
            ):
                self._part(event, _object(event, "part"), found)
            case "response.output_text.done":
                self._text_whole(event, text_of(event, "text"), found)
            case "response.output_text.annotation.added":
                annotation = event.get("annotation")
                if annotation.__class__ is dict:
                    self._cite(self._at(event), _number(event, "content_index"), annotation, found)
            case "response.refusal.delta":
                self._refuse(event, _piece(event), found)
            case "response.refusal.done":
                self._refuse_whole(event, text_of(event, "refusal"), found)
            case "response.custom_tool_call_input.delta":
                self._argument("custom_tool_call", event, found)
            case "response.reasoning_summary_text.done":
                self._think_whole(event, "summary", text_of(event, "text"), found)
            case "response.reasoning_text.done":
                self._think_whole(event, "content", text_of(event, "text"), found)
            case "keepalive" | "ping" | "response.keepalive":
                found.append(PING)
            case _:  # what is done of a call is told with its item; the rest is of tools, or of a later day
                pass

    def _closes(self, kind: str, event: Json) -> None:
        item = self._items.get(self._at(event))
        if item is not None and len(item.closed) < PARTS_MAX:
            item.closed.add((kind, _number(event, place_of(kind))))

    # -- the response ----------------------------------------------------------------------------------

    def _begin(self, event: Json, found: list[Event]) -> None:
        response = event.get("response")
        response = response if response.__class__ is dict else {}
        if self._started:
            found.append(PING)
            return
        self._start(response, found)

    def _start(self, response: Json, found: list[Event]) -> None:
        if not self._started:
            self._started = True
            self._response = response
            found.append(Started(text_of(response, "id"), text_of(response, "model")))

    def _end(self, kind: str, event: Json, found: list[Event]) -> None:
        response = _object(event, "response")
        output = response.get("output")
        told = output if isinstance(output, list) else []
        told = told[:ITEMS_MAX]
        self.usage = read_usage(response, told or self._items_told(), self._maker.form) or self.usage
        if kind == "response.failed" or kind == "response.cancelled":
            if self.usage is not None:
                found.append(Counted(self.usage))
            error = error_payload(response.get("error") or {"code": kind.partition(".")[2]})
            raise ProviderSaid(error, self.usage)
        self._start(response, found)
        ids = {text_of(item.fields, "id") for item in self._all if item.done}
        for place, item in enumerate(told):
            known = self._items.get(place)
            told_before = known is not None and known.done  # some servers number them in another way
            if item.__class__ is dict and not told_before and (text_of(item, "id") or None) not in ids:
                self._item_done(place, item, found)
        for index in sorted(self._open):
            found.append(BlockStopped(index))
        self._open.clear()
        stop, said = stop_of({"status": kind.partition(".")[2], **response}, self._called)
        self._done = self.begun = True
        if self.usage is not None:
            found.append(Counted(self.usage))
        found += (Stopped(stop, said), ENDED)

    def _items_told(self) -> list[Json]:
        return [item.fields for item in self._all]

    # -- items -----------------------------------------------------------------------------------------

    def _at(self, event: Json) -> int:
        """The place of the item that an event is of."""
        place = event.get("output_index")
        if place.__class__ is int and 0 <= place < ITEMS_MAX:
            return int(place)
        known = self._places.get(text_of(event, "item_id"))
        if known is None and "item_id" in event:
            known = len(self._items)
        return next(reversed(self._items), 0) if known is None else known

    def _item(self, place: int) -> Item:
        found = self._items.get(place)
        if found is None:
            if len(self._all) >= ITEMS_MAX:
                raise BadStream(f"more than {ITEMS_MAX} items")
            found = self._items[place] = Item(place)
            self._all.append(found)
        return found

    def _added(self, event: Json, found: list[Event]) -> None:
        fields = _object(event, "item")
        place = self._at(event)
        known = self._items.get(place)
        if known is not None and (known.done or known.kind not in ("", fields.get("type"))):
            del self._items[place]  # of servers that give two items one place
        self._tell(self._item(place), fields, found)

    def _tell(self, item: Item, fields: Json, found: list[Event]) -> None:
        """Take in what is told of an item when it begins."""
        item.fields = fields
        self._places[text_of(fields, "id")] = item.place
        kind = item.kind
        if kind == "message":
            content = fields.get("content")
            for at, part in enumerate(content[:PARTS_MAX] if content.__class__ is list else ()):
                if part.__class__ is dict:
                    self._told_part(item, at, part, found)
        elif kind == "reasoning":
            self._thought(item, found)
        elif kind in CALLS:
            if not item.blocks and fields.get("name"):
                self._call(item, found)
        else:
            self.opaque = True

    def _item_done(self, place: int, fields: Json, found: list[Event]) -> None:
        item = self._item(place)
        if item.done:
            if item.kind == fields.get("type") and item.fields.get("id") == fields.get("id"):
                return
            del self._items[place]
            item = self._item(place)
        self._tell(item, fields, found)
        kind = item.kind
        if kind == "reasoning":
            self._thought_done(item, fields, found)
        elif kind in CALLS:
            self._call_done(item, fields, found)
        elif kind != "message":
            self._block(item, 0, Opaque("responses", kind, fields), found)
            self.begun = True
        for index in item.blocks.values():
            self._stop(index, found)
        item.done = True
        self._maker.made(fields)

    def _block(self, item: Item, part: int, block: Any, found: list[Event]) -> int:
        """The index of a block, which begins if it has not."""
        index = item.blocks.get(part)
        if index is None:
            index = item.blocks[part] = self._next
            self._next += 1
            self._open.add(index)
            found.append(BlockStarted(index, block))
        return index

    def _stop(self, index: int, found: list[Event]) -> None:
        if index in self._open:
            self._open.remove(index)
            found.append(BlockStopped(index))

    # -- messages --------------------------------------------------------------------------------------

    def _part(self, event: Json, part: Json, found: list[Event]) -> None:
        self._told_part(self._item(self._at(event)), _number(event, "content_index"), part, found)

    def _told_part(self, item: Item, at: int, part: Json, found: list[Event]) -> None:
        """A part of a message, or of reasoning, as it begins or when it is done."""
        match part.get("type"):
            case "output_text" | "text":
                text = text_of(part, "text")
                index = self._block(item, at, Text(""), found)
                if text and not item.pieces.get(("content", at)):
                    self._say(item, at, text, index, found)
                told = part.get("annotations")
                if told.__class__ is list:
                    for annotation in told[item.cited.get(at, 0) :]:
                        if annotation.__class__ is dict:
                            self._cited(item, at, annotation, found)
            case "refusal":
                refusal = text_of(part, "refusal")
                if refusal and not item.pieces.get(("content", at)):
                    self._decline(item, at, refusal, found)
            case "reasoning_text":
                item.parts.add(at)
            case _:
                self.opaque = True

    def _text(self, event: Json, text: str, found: list[Event]) -> None:
        item = self._item(self._at(event))
        at = _number(event, "content_index")
        if text:
            self._say(item, at, text, self._block(item, at, Text(""), found), found)

    def _say(self, item: Item, at: int, text: str, index: int, found: list[Event]) -> None:
        pieces = item.pieces.get(("content", at))
        if pieces is None:
            pieces = item.pieces["content", at] = []
        pieces.append(text)
        self.begun = True
        before = ""
        if self._spoke is not item:
            before = BETWEEN if self._spoke is not None else ""
            self._spoke = item
        found.append(TextDelta(index, before + text))

    def _text_whole(self, event: Json, text: str, found: list[Event]) -> None:
        item = self._item(self._at(event))
        at = _number(event, "content_index")
        if text and not item.pieces.get(("content", at)):
            self._say(item, at, text, self._block(item, at, Text(""), found), found)

    def _cite(self, place: int, at: int, annotation: Json, found: list[Event]) -> None:
        item = self._item(place)
        self._block(item, at, Text(""), found)
        self._cited(item, at, annotation, found)

    def _cited(self, item: Item, at: int, annotation: Json, found: list[Event]) -> None:
        item.cited[at] = item.cited.get(at, 0) + 1
        if not text_of(annotation, "url"):
            self.opaque = True
        found.append(CitationDelta(item.blocks[at], annotation))

    def _refuse(self, event: Json, text: str, found: list[Event]) -> None:
        if text:
            self._decline(self._item(self._at(event)), _number(event, "content_index"), text, found)

    def _refuse_whole(self, event: Json, text: str, found: list[Event]) -> None:
        item, at = self._item(self._at(event)), _number(event, "content_index")
        if text and not item.pieces.get(("content", at)):
            self._decline(item, at, text, found)

    def _decline(self, item: Item, at: int, text: str, found: list[Event]) -> None:
        """A piece of a refusal, which is a block of its own."""
        item.pieces.setdefault(("content", at), []).append(text)
        self.begun = True
        found += (BlockStarted(self._next, Refusal(text)), BlockStopped(self._next))
        self._next += 1

    # -- calls -----------------------------------------------------------------------------------------

    def _argument(self, kind: str, event: Json, found: list[Event]) -> None:
        item = self._item(self._at(event))
        piece = _piece(event)
        if not piece:
            return
        item.pieces.setdefault((INPUT[kind], 0), []).append(piece)
        if item.blocks:
            self.begun = True
            found.append(ArgumentsDelta(item.blocks[0], piece))

    def _call(self, item: Item, found: list[Event]) -> None:
        """Begin a call; what has come of it before follows."""
        call = call_of({**item.fields, INPUT[item.kind]: ""})
        self._called = self.begun = True
        index = self._block(item, 0, call, found)
        text = "".join(item.pieces.get((INPUT[item.kind], 0), ()))
        if text:
            found.append(ArgumentsDelta(index, text))

    def _call_done(self, item: Item, fields: Json, found: list[Event]) -> None:
        call = call_of(fields)
        if not item.blocks:
            self._call(item, found)
        if call.arguments and not item.pieces.get((INPUT[item.kind], 0)):
            item.pieces[INPUT[item.kind], 0] = [call.arguments]
            found.append(ArgumentsDelta(item.blocks[0], call.arguments))

    # -- reasoning -------------------------------------------------------------------------------------

    def _thought(self, item: Item, found: list[Event]) -> int:
        self.begun = True
        return self._block(item, 0, Reasoning(""), found)

    def _think(self, event: Json, where: str, text: str, found: list[Event]) -> None:
        if not text:
            return
        item = self._item(self._at(event))
        number = "summary_index" if where == "summary" else "content_index"
        part = (where, _number(event, number))
        if where == "content" and item.last is not None and _goes_on(item, item.last, part[1]):
            item.merged, part = True, item.last
        self._thinks(item, part, text, found)

    def _think_whole(self, event: Json, where: str, text: str, found: list[Event]) -> None:
        item = self._item(self._at(event))
        part = (where, _number(event, "summary_index" if where == "summary" else "content_index"))
        if text and not item.pieces.get(part) and not (item.merged and where == "content"):
            self._thinks(item, part, text, found)

    def _thinks(self, item: Item, part: Part, text: str, found: list[Event]) -> None:
        index = self._thought(item, found)
        before = BETWEEN if item.last is not None and item.last != part else ""
        item.last = part
        item.pieces.setdefault(part, []).append(text)
        found.append(ReasoningDelta(index, before + text))

    def _thought_done(self, item: Item, fields: Json, found: list[Event]) -> None:
        for where in ("summary", "content"):
            told = fields.get(where)
            for at, part in enumerate(told[:PARTS_MAX] if told.__class__ is list else ()):
                text = text_of(part, "text") if part.__class__ is dict else ""
                if text and not item.pieces.get((where, at)) and not (item.merged and where == "content"):
                    self._thinks(item, (where, at), text, found)
        signature = self._maker.signature(fields)
        if signature:
            found.append(SignatureDelta(item.blocks[0], signature))


def _goes_on(item: Item, last: Part, at: int) -> bool:
    """Whether a piece of what was thought, told to be of part `at`, goes on with the last one: some servers
    number each piece anew. A part of its own is announced, or the one before it is said to be whole."""
    where, before = last
    return (
        where == "content"
        and at != before
        and at not in item.parts
        and ("response.reasoning_text.done", before) not in item.closed
        and ("response.content_part.done", before) not in item.closed
    )


def place_of(kind: str) -> str:
    """The field by which an event of this kind says of which part it is."""
    return "summary_index" if "summary" in kind else "content_index"


def snapshot_of(item: Item) -> Json:
    """An item as far as it has come; empty: nothing but pieces of it has."""
    fields = item.fields
    if item.done or not fields:
        return fields
    whole = {**fields, "status": "incomplete"}
    begun = [*item.pieces, *(("content", at) for at in item.blocks if item.kind == "message")]
    for where, at in sorted(set(begun)):
        text = "".join(item.pieces.get((where, at), ()))
        if where in INPUT.values():
            whole[where] = text
            continue
        listed = whole.get(where)
        parts = list(listed) if isinstance(listed, list) else []
        if at < len(parts) and isinstance(parts[at], dict):
            name = "refusal" if parts[at].get("type") == "refusal" else "text"
            parts[at] = {**parts[at], name: text}
        elif at == len(parts):
            parts.append(_bare(item.kind, where, text))
        whole[where] = parts
    return whole


def _bare(kind: str, where: str, text: str) -> Json:
    if kind == "reasoning":
        return {"type": "summary_text" if where == "summary" else "reasoning_text", "text": text}
    return {"type": "output_text", "annotations": [], "text": text}


def _value(name: bytes, data: bytes) -> Json | None:
    """The object that an event holds; None where it only keeps the connection open.

    Raises:
        BadStream: it holds none. ProviderSaid: it is an error that is no object.
    """
    try:
        event = read_json(data)
    except NotJson as error:
        if name == b"error":
            raise ProviderSaid(write_json({"error": data.decode("utf-8", "replace")})) from None
        if name in (b"ping", b"keepalive") or data.strip() == b"[DONE]":
            return None
        raise BadStream(f"an event is not JSON: {error}") from None
    if event.__class__ is dict:
        return event
    if event is None or name in (b"ping", b"keepalive"):
        return None
    raise BadStream("an event is not an object")


def _object(event: Json, name: str) -> Json:
    value = event.get(name)
    if value.__class__ is not dict:
        raise BadStream(f"an event has no `{name}`")
    found: Json = value
    return found


def _number(event: Json, name: str) -> int:
    value = event.get(name)
    return value if value.__class__ is int and 0 <= value < PARTS_MAX else 0


def _piece(event: Json) -> str:
    value = event.get("delta")
    if value.__class__ is not str:
        raise BadStream("a piece has no `delta`")
    return str(value)
