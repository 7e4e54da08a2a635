"""Chat completions as values: a whole one from its chunks, chunks from a whole one, one from plain text.

Used when a cached or a direct answer goes to a client that streams, when a streamed answer is kept
for later, and when a whole answer was streamed upstream so that a limit can cut it.
Lossless both ways for every field OpenAI documents; an unknown field of a delta is joined by its type
(text is appended, lists are merged by `index`, anything else is replaced), as the official SDK does. Calls
of tools are kept apart where a provider numbers them wrongly or not at all.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from farthing.text.lenient_json import NotJson, read_json, write_json
from farthing.types import Json, Usage

FIRST_SAID = frozenset({"id", "created", "model", "object"})
"""What of a whole completion its first chunk says; Azure's filter chunk before it has them empty."""
APPENDED = frozenset({"text", "arguments", "content", "summary", "data", "thinking", "input", "reasoning"})
"""Texts inside the items of a list that come in pieces; others (`type`, `format`, `name`) come once."""


ENDS = ("}", "]", '"', "null")
"""How arguments end that are JSON; other JSON is none that a tool is called with."""
PLACES_MAX = 1_000
"""Calls, or numbered items of a list."""


class NotChunks(ValueError):
    """The events are not the chunks of one completion."""


class _Pieces:
    """A text that is still coming. Joined once, at the end: joining at each piece copies all before it."""

    __slots__ = ("into", "name", "texts")

    def __init__(self, into: Json, name: str, texts: list[str]) -> None:
        self.into = into
        self.name = name
        self.texts = texts

    def join(self) -> None:
        if self.into[self.name] is self:  # else something of another type came, and replaced it
            self.into[self.name] = "".join(self.texts)


def assemble(blocks: list[bytes], usage_event: bytes | None) -> Json:
    """One whole completion from the events of its stream, as `EventReader.feed` returned them.

    Raises:
        NotChunks: there is no chunk, or an event is not one.
    """
    whole: Json = {}
    choices: dict[int, Json] = {}
    pieces: list[_Pieces] = []
    for payload in _payloads(b"".join(blocks)):
        if payload != b"null":
            _add_chunk(whole, choices, pieces, payload)
    if usage_event is not None:
        _add_chunk(whole, choices, pieces, usage_event)
    for text in pieces:
        text.join()
    if not choices:
        raise NotChunks("a stream without a choice")
    whole["object"] = "chat.completion"
    whole["choices"] = [choices[index] for index in sorted(choices)]
    for choice in choices.values():
        message = choice["message"]
        for name, value in message.items():
            if isinstance(value, list):
                message[name] = _without_index(value)
    whole.setdefault("usage", None)
    if whole["usage"] is None:
        del whole["usage"]
    return whole


class _Numbered(list[Any]):
    """A list whose items say their place, which are many and are asked for by it with each piece."""

    __slots__ = ("_at", "objects")

    def __init__(self, items: Iterable[Any] = ()) -> None:
        super().__init__()
        self.objects: list[Json] = []
        """Those that are objects."""
        self._at: dict[int, list[Json]] = {}
        for item in items:
            self.add(item)

    def add(self, item: Any) -> None:
        self.append(item)
        if isinstance(item, dict):
            self.objects.append(item)
            place = _place(item)
            if place is not None:
                self._at.setdefault(place, []).append(item)

    def at(self, place: int) -> Sequence[Json]:
        """The objects of a place."""
        return self._at.get(place, ())


def _payloads(events: bytes) -> list[bytes]:
    """The data of each event that has some."""
    found = [
        b"\n".join(line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:"))
        for event in events.split(b"\n\n")
    ]
    return [payload for payload in found if payload]


def _add_chunk(whole: Json, choices: dict[int, Json], pieces: list[_Pieces], payload: bytes) -> None:
    chunk = _read(payload)
    if not isinstance(chunk, dict):
        raise NotChunks("an event is not an object")
    for name, value in chunk.items():
        if name in FIRST_SAID:
            whole[name] = whole.get(name) or value
        elif name != "choices" and (value is not None or name not in whole):
            whole[name] = value
    parts = chunk.get("choices")
    for part in parts if isinstance(parts, list) else ():
        if not isinstance(part, dict):
            continue
        index = _place(part) or 0
        if "message" in part:
            raise NotChunks("a choice with a whole message, which is not what a chunk has")
        choice = choices.get(index)
        if choice is None:
            choice = choices[index] = {
                "index": index,
                "message": {"role": "assistant", "content": None},
                "finish_reason": None,
            }
        _add_part(choice, part, pieces)


def _read(raw: bytes) -> Any:
    try:
        return read_json(raw)
    except NotJson as error:
        raise NotChunks(str(error)) from None


def _add_part(choice: Json, part: Json, pieces: list[_Pieces]) -> None:
    for name, value in part.items():
        if name == "delta":
            _merge(choice["message"], value if isinstance(value, dict) else {}, pieces)
        elif name == "logprobs" and isinstance(value, dict):
            _merge_logprobs(choice, value)
        elif name == "finish_reason":
            if value or (choice[name] is None and value != ""):  # one that is 0 or {} goes on as it came
                choice[name] = value
        elif name != "index" and (value is not None or name not in choice):
            choice[name] = value


def _merge(into: Json, delta: Json, pieces: list[_Pieces]) -> None:
    """Add what a delta says to the message so far."""
    for name, value in delta.items():
        old = into.get(name)
        if name == "tool_calls" and isinstance(value, list):
            into[name] = calls = old if isinstance(old, _Numbered) else _Numbered()
            for call in value:
                _merge_call(calls, call, pieces)
        elif old is None or value is None or name in ("role", "type", "id"):
            if value is not None or name not in into:
                into[name] = value
        elif isinstance(old, str | _Pieces) and isinstance(value, str):
            _append(into, name, value, pieces)
        elif isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value, pieces)
        elif isinstance(old, list) and isinstance(value, list):
            if not isinstance(old, _Numbered):
                into[name] = old = _Numbered(old)
            _merge_list(old, value, pieces)
        elif isinstance(old, list) and isinstance(value, str) and name == "content":
            _add_text(old, value, pieces)
        elif isinstance(old, str | _Pieces) and isinstance(value, list) and name == "content":
            said = "".join(old.texts) if isinstance(old, _Pieces) else old
            into[name] = [{"type": "text", "text": said}, *value] if said else value
        else:
            into[name] = value


def _append(into: Json, name: str, value: str, pieces: list[_Pieces]) -> None:
    """Add a piece to the text under `name`."""
    old = into.get(name)
    if isinstance(old, _Pieces):
        old.texts.append(value)
    elif isinstance(old, str):
        into[name] = begun = _Pieces(into, name, [old, value])
        pieces.append(begun)
    else:
        into[name] = value


def _add_text(parts: list[Any], value: str, pieces: list[_Pieces]) -> None:
    """Add text to a content of parts: to its last, where that is text."""
    last = parts[-1] if parts else None
    if isinstance(last, dict) and last.get("type") == "text":
        _append(last, "text", value, pieces)
    elif value:
        parts.append({"type": "text", "text": value})


def _merge_list(old: "_Numbered", new: list[Any], pieces: list[_Pieces]) -> None:
    for item in new:
        index = _place(item)
        same = () if index is None else old.at(index)
        if not same:
            if index is not None:
                _check_room(old)
            old.add(item)
            continue
        known = same[0]
        for name, value in item.items():
            if name in APPENDED and isinstance(value, str):
                _append(known, name, value, pieces)
            elif isinstance(value, dict) and isinstance(known.get(name), dict):
                _merge(known[name], value, pieces)
            elif value not in (None, "") or name not in known:
                known[name] = value


def _merge_call(calls: "_Numbered", piece: Any, pieces: list[_Pieces]) -> None:
    """Add a piece of a tool call to the call it belongs to, or begin another."""
    if not isinstance(piece, dict):
        calls.add(piece)
        return
    call = _call_of(calls, piece)
    if call is None:
        _check_room(calls)
        calls.add(piece)
        return
    for name, value in piece.items():
        old = call.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            for inner, said in value.items():
                if inner in APPENDED and isinstance(said, str):
                    _append(old, inner, said, pieces)
                elif inner == "name" and isinstance(said, str) and said and isinstance(old.get(inner), str):
                    old[inner] += said if said != old[inner] else ""  # in pieces, or again with each of them
                elif said not in (None, ""):
                    old[inner] = said
        elif value not in (None, ""):  # an id is not wiped by an empty one
            call[name] = value


def _check_room(items: list[Any]) -> None:
    if len(items) >= PLACES_MAX:
        raise NotChunks(f"more than {PLACES_MAX} calls or numbered parts")


def _call_of(calls: "_Numbered", piece: Json) -> Json | None:
    """The call that `piece` goes on with; None: it begins one. An index that two calls share, and none at
    all, are told apart by id and name: what has neither goes on with the last."""
    index, called = _place(piece), piece.get("id")
    same = calls.objects if index is None else calls.at(index)
    if not same:
        return None
    by_id = next((call for call in same if called and call.get("id") == called), None)
    if by_id is not None:
        return by_id
    last = same[-1]
    name = _name_of(piece)
    if not name:
        return last
    if called and last.get("id"):
        return None
    had = _name_of(last)
    said = _arguments_of(last)
    if index is None or said:
        again = name == had and not _is_json(said)
        return last if again else None
    return last


def _function_of(call: Json) -> Json:
    for kind in ("function", "custom"):
        if isinstance(call.get(kind), dict):
            found: Json = call[kind]
            return found
    return {}


def _name_of(call: Json) -> str:
    name = _function_of(call).get("name")
    return name if isinstance(name, str) else ""


def _arguments_of(call: Json) -> Sequence[str]:
    """The pieces of what it is called with; empty: there is nothing yet."""
    said = _function_of(call).get("arguments") or _function_of(call).get("input")
    if isinstance(said, _Pieces):
        return said.texts
    return [said] if isinstance(said, str) and said else []


def _is_json(texts: Sequence[str]) -> bool:
    if not "".join(texts[-2:]).rstrip().endswith(ENDS):  # most pieces: to read all at each takes too long
        return False
    try:
        read_json("".join(texts).encode("utf-8", "surrogatepass"))
    except NotJson:
        return False
    return True


def _place(item: Any) -> int | None:
    index = item.get("index") if isinstance(item, dict) else None
    return index if isinstance(index, int) else None


def _without_index(items: list[Any]) -> list[Any]:
    """The items of a streamed list carry their place; those of a whole one stand in it."""
    if all(_place(item) is not None for item in items):
        items = sorted(items, key=lambda item: int(item["index"]))
    return [
        {name: inner for name, inner in item.items() if name != "index"} if isinstance(item, dict) else item
        for item in items
    ]


def _merge_logprobs(choice: Json, value: Json) -> None:
    old = choice.get("logprobs")
    if not isinstance(old, dict):
        choice["logprobs"] = dict(value)
        return
    for name, items in value.items():
        if isinstance(items, list) and isinstance(old.get(name), list):
            old[name] += items  # in place: the list is ours
        elif items is not None:
            old[name] = items


def shorten_logprobs(body: bytes, alternatives: int | None) -> bytes:
    """A whole completion with the logprobs its client asked for: with so many alternatives for each token,
    or, None, without any."""
    whole = _read(body)
    if isinstance(whole, dict):
        _shorten(whole, alternatives)
    return write_json(whole)


def shorten_logprobs_of_events(events: bytes, alternatives: int | None) -> bytes:
    """As `shorten_logprobs`, of the events of a stream as `EventReader.feed` returned them."""
    changed: list[bytes] = []
    for payload in _payloads(events):
        chunk = _read(payload)
        if isinstance(chunk, dict):
            _shorten(chunk, alternatives)
        changed.append(b"data: %b\n\n" % write_json(chunk))
    return b"".join(changed)


def _shorten(whole: Json, alternatives: int | None) -> None:
    choices = whole.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict) or choice.get("logprobs") is None:
            continue
        if alternatives is None:
            choice["logprobs"] = None
            continue
        said = choice["logprobs"]
        for tokens in said.values() if isinstance(said, dict) else ():
            for token in tokens if isinstance(tokens, list) else ():
                if isinstance(token, dict) and isinstance(token.get("top_logprobs"), list):
                    del token["top_logprobs"][alternatives:]


def explode(body: bytes, *, include_usage: bool) -> bytes:
    """The events of a stream that says what the whole completion `body` says, `[DONE]` not included.

    Raises:
        NotChunks: `body` is not a chat completion.
    """
    whole = _read(body)
    if not isinstance(whole, dict) or not isinstance(whole.get("choices"), list) or not whole["choices"]:
        raise NotChunks("not a chat completion")
    if not all(isinstance(c, dict) and isinstance(c.get("message") or {}, dict) for c in whole["choices"]):
        raise NotChunks("a choice without a message")
    shared = {name: value for name, value in whole.items() if name not in ("choices", "usage", "object")}
    shared["object"] = "chat.completion.chunk"
    events: list[bytes] = []
    for choice in whole["choices"]:
        index = choice.get("index", 0)
        delta = dict(choice.get("message") or {})
        for name in ("tool_calls", "thinking_blocks"):
            if isinstance(delta.get(name), list):
                items = enumerate(delta[name])
                delta[name] = [{"index": i, **item} if isinstance(item, dict) else item for i, item in items]
        rest = {n: v for n, v in choice.items() if n not in ("message", "delta", "index", "finish_reason")}
        events.append(_event(shared, [{"index": index, "delta": delta, "finish_reason": None, **rest}]))
        end = {"index": index, "delta": {}, "finish_reason": choice.get("finish_reason")}
        events.append(_event(shared, [end]))
    if include_usage and whole.get("usage") is not None:
        events.append(b"data: %b\n\n" % write_json({**shared, "choices": [], "usage": whole["usage"]}))
    return b"".join(events)


def _event(shared: Json, choices: list[Json]) -> bytes:
    return b"data: %b\n\n" % write_json({**shared, "choices": choices})


def from_text(
    text: str, *, request_id: str, model: str, created: int, usage: Usage, finish_reason: str = "stop"
) -> bytes:
    """A whole completion that says `text`: an answer no model gave."""
    return write_json(
        {
            "id": f"chatcmpl-{request_id}",
            "object": "chat.completion",
            "created": created,
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text, "refusal": None},
                    "logprobs": None,
                    "finish_reason": finish_reason,
                }
            ],
            "usage": {
                "prompt_tokens": usage.input_tokens,
                "completion_tokens": usage.output_tokens,
                "total_tokens": usage.input_tokens + usage.output_tokens,
            },
        }
    )


def closing_chunk(
    first_payload: bytes | None, *, request_id: str, reason: str, open_choices: Sequence[int] = (0,)
) -> bytes:
    """The event that ends a stream we cut: `finish_reason` is `length`, the true reason beside it.

    `open_choices` are the indices of the choices that have not ended by themselves.
    """
    first = read_json(first_payload) if first_payload else {}
    return b"data: %b\n\n" % write_json(
        {
            "id": first.get("id") or f"chatcmpl-{request_id}",
            "object": "chat.completion.chunk",
            "created": first.get("created", 0),
            "model": first.get("model", ""),
            "choices": [{"index": i, "delta": {}, "finish_reason": "length"} for i in open_choices],
            "farthing": {"stop_reason": reason},
        }
    )
