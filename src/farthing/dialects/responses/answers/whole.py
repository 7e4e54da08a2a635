"""A whole response from the events of its stream, and the other way round, with every field that came, known
or not: for clients of Responses whose provider answered in the other way than they asked for. And the events
that close a stream which a limit of ours has cut.
"""

from collections.abc import Iterator
from typing import Any

from farthing.dialects.events import EventSplitter
from farthing.dialects.responses.streams.stream_reader import ENDINGS, INPUT, Item, place_of, snapshot_of
from farthing.text.lenient_json import any_json, write_json
from farthing.types import Json

ARGUMENTS = {"function_call": "function_call_arguments", "custom_tool_call": "custom_tool_call_input"}
"""How the events are called that tell what a call is made with."""
CUT: Json = {"reason": "max_output_tokens"}


def assembled(events: bytes, event_bytes_max: int) -> bytes | None:
    """The whole response that `events`, complete and read before, end with; None: they do not.

    Raises:
        BadStream: an event is too long.
    """
    items: list[Any] = []
    response: Json | None = None
    for name, data in EventSplitter(event_bytes_max).feed(events):
        event = any_json(data)
        if not isinstance(event, dict):
            continue
        kind = event.get("type") or name.decode("latin-1")
        if kind == "response.output_item.done":
            items.append(event.get("item"))
        elif isinstance(kind, str) and kind in ENDINGS and isinstance(event.get("response"), dict):
            response = event["response"]
    if response is None:
        return None
    return write_json(response if response.get("output") else {**response, "output": items})


def exploded(response: Json) -> list[bytes]:
    """The events of a stream that say what a whole response, read before, says: each as its lines. The last
    one says how it ended."""
    return [event_of({**fields, "sequence_number": at}) for at, fields in enumerate(_events(response))]


def event_of(fields: Json) -> bytes:
    """The lines of one event."""
    return b"event: %b\ndata: %b" % (str(fields["type"]).encode(), write_json(fields))


def _events(response: Json) -> Iterator[Json]:
    opening = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield {"type": "response.created", "response": opening}
    yield {"type": "response.in_progress", "response": opening}
    for place, item in enumerate(response["output"]):
        yield from _item_events(place, item)
    ending = "incomplete" if response.get("status") == "incomplete" else "completed"
    yield {"type": f"response.{ending}", "response": response}


def _item_events(place: int, item: Json) -> Iterator[Json]:
    kind, at = item.get("type"), {"item_id": item.get("id", ""), "output_index": place}
    begins = {**item, **({"status": "in_progress"} if "status" in item else {})}
    content = item.get("content")
    parts = content if isinstance(content, list) else []
    if kind == "message":
        begins["content"] = []
    elif kind == "reasoning":
        begins["summary"] = []
        begins.pop("content", None)
    elif kind in INPUT:
        begins[INPUT[kind]] = ""
    yield {"type": "response.output_item.added", "output_index": place, "item": begins}
    if kind == "message":
        for index, part in enumerate(parts):
            yield from _part_events({**at, "content_index": index}, part)
    elif kind == "reasoning":
        for index, part in enumerate(item.get("summary") or ()):
            yield from _summary_events({**at, "summary_index": index}, part)
        for index, part in enumerate(parts):
            told = {**at, "content_index": index}
            yield {"type": "response.content_part.added", **told, "part": {**part, "text": ""}}
            yield {"type": "response.reasoning_text.delta", **told, "delta": part.get("text", "")}
            yield {"type": "response.reasoning_text.done", **told, "text": part.get("text", "")}
            yield {"type": "response.content_part.done", **told, "part": part}
    elif kind in INPUT:
        text = item.get(INPUT[kind]) or ""
        if text:
            yield {"type": f"response.{ARGUMENTS[kind]}.delta", **at, "delta": text}
        yield _call_done(at, item, text)
    yield {"type": "response.output_item.done", "output_index": place, "item": item}


def _call_done(at: Json, item: Json, text: str) -> Json:
    kind = str(item.get("type"))
    done: Json = {"type": f"response.{ARGUMENTS[kind]}.done", **at, INPUT[kind]: text}
    if kind == "function_call":
        done["name"] = item.get("name", "")
    return done


def _part_events(at: Json, part: Json) -> Iterator[Json]:
    refused = part.get("type") == "refusal"
    name = "refusal" if refused else "text"
    event = "response.refusal" if refused else "response.output_text"
    more: Json = {} if refused else {"logprobs": []}
    text = part.get(name)
    if not isinstance(text, str):
        yield {"type": "response.content_part.added", **at, "part": part}
        yield {"type": "response.content_part.done", **at, "part": part}
        return
    cited = part.get("annotations")
    begins = {**part, name: "", **({"annotations": []} if isinstance(cited, list) else {})}
    yield {"type": "response.content_part.added", **at, "part": begins}
    if text:
        yield {"type": f"{event}.delta", **at, "delta": text, **more}
    for index, annotation in enumerate(cited if isinstance(cited, list) else ()):
        told = {"annotation_index": index, "annotation": annotation}
        yield {"type": "response.output_text.annotation.added", **at, **told}
    yield {"type": f"{event}.done", **at, name: text, **more}
    yield {"type": "response.content_part.done", **at, "part": part}


def _summary_events(at: Json, part: Json) -> Iterator[Json]:
    text = part.get("text", "")
    yield {"type": "response.reasoning_summary_part.added", **at, "part": {**part, "text": ""}}
    yield {"type": "response.reasoning_summary_text.delta", **at, "delta": text}
    yield {"type": "response.reasoning_summary_text.done", **at, "text": text}
    yield {"type": "response.reasoning_summary_part.done", **at, "part": part}


def closing(snapshot: Json, items: list[Item], number: int) -> list[bytes]:
    """The events, each as its lines, that close a stream which a limit has cut: what is open is told whole as
    far as it came, and the response is incomplete. `number` is that of the first of them."""
    told: list[Json] = []
    for item in items:
        told += _closing_item(item)
    whole = {**snapshot, "status": "incomplete", "incomplete_details": CUT}
    told.append({"type": "response.incomplete", "response": whole})
    return [event_of({**fields, "sequence_number": number + at}) for at, fields in enumerate(told)]


def _closing_item(item: Item) -> Iterator[Json]:
    whole = snapshot_of(item)
    begun = {*item.blocks, *(at for _, at in item.pieces)}
    for event in _item_events(item.place, whole):
        kind = event["type"]
        if not kind.endswith(".done"):
            continue
        index = event.get(place_of(kind), 0)
        is_open = (kind, index) not in item.closed and (index in begun or whole["type"] in INPUT)
        if kind == "response.output_item.done" or is_open:
            yield event
