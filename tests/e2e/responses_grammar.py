"""The order rules of a stream of Responses, whatever it says, and its shapes by the types of OpenAI's SDK.

`responses_faults` returns the faults it finds, in words; none for a good stream. `response_of` is what the
official client makes of one.
"""

import json
from collections.abc import Sequence
from typing import Any, Final, get_args

import httpx2 as httpx
import openai
from openai.types.responses import Response, ResponseStreamEvent
from tests.e2e.official import NOWHERE
from tests.e2e.streams import Frame, frames

Json = dict[str, Any]

ENDS: Final = ("response.completed", "response.incomplete", "response.failed", "error")
TEXTS: Final = {
    "response.output_text": ("message", "text"),
    "response.refusal": ("message", "refusal"),
    "response.reasoning_summary_text": ("reasoning", "text"),
    "response.function_call_arguments": ("function_call", "arguments"),
    "response.custom_tool_call_input": ("custom_tool_call", "input"),
}
"""Events of texts that grow: the type of their item, and where their end has the whole text."""
PARTS: Final = {
    "response.content_part": ("content_index", "content"),
    "response.reasoning_summary_part": ("summary_index", "summary"),
}
UNTYPED: Final = ("context_length_exceeded", "insufficient_quota")
"""Codes that OpenAI sends and its SDK does not know."""


def _events() -> dict[str, Any]:
    classes = get_args(get_args(ResponseStreamEvent)[0])
    return {get_args(one.model_fields["type"].annotation)[0]: one for one in classes}


EVENTS: Final = _events()
"""The SDK's classes, by the type of the event."""


def responses_faults(stream: Sequence[Frame]) -> list[str]:
    """Numbers from 0 without gaps; `response.created` first; each item and part added, then done once, the
    texts between; one end, last, whose output is what was streamed."""
    reading = _Reading()
    for frame in stream:
        reading.take(frame)
    if not reading.end:
        reading.faults.append("it has no end")
    return reading.faults


class _Reading:
    def __init__(self) -> None:
        self.faults: list[str] = []
        self.end = ""
        self._number = 0
        self._id: Any = None
        self._items: dict[int, Json] = {}
        """As they were added."""
        self._done: dict[int, Json] = {}
        self._parts: dict[tuple[str, int, int], Json | None] = {}
        """Those that are open; None: it is done."""
        self._texts: dict[tuple[str, str, Any], str] = {}
        self._whole: set[tuple[str, str, Any]] = set()
        self._annotations: dict[tuple[str, int], list[Json]] = {}
        """Of each part of a message."""

    def say(self, fault: str) -> None:
        self.faults.append(fault)

    def take(self, frame: Frame) -> None:
        data, kind = frame.data, frame.kind
        if frame.name != kind or kind not in EVENTS:
            self.say(f"the event line {frame.name!r} is not the type {kind!r}, or there is none of it")
            return
        if not any(code in frame.text for code in UNTYPED):
            EVENTS[kind].model_validate(data, strict=True)
        if data["sequence_number"] != self._number:
            self.say(f"{kind} has the number {data['sequence_number']}, and not {self._number}")
        self._number += 1
        if self.end:
            self.say(f"{kind} behind the end")
        if (kind == "response.created") == (self._id is not None):
            self.say(f"{kind} at {data['sequence_number']}")
        if "response" in data:
            self._response(kind, data["response"])
        else:
            self._piece(kind, data)
        if kind in ENDS:
            self.end = kind

    def _piece(self, kind: str, data: Json) -> None:
        base, _, what = kind.rpartition(".")
        if base == "response.output_item":
            self._item(what, data)
        elif base in PARTS:
            self._part(base, what, data)
        elif base in TEXTS:
            self._text(base, what, data)
        elif kind == "response.output_text.annotation.added":
            held = self._annotations.setdefault((data["item_id"], data["content_index"]), [])
            if data["annotation_index"] != len(held):
                self.say(f"annotation {data['annotation_index']} where {len(held)} was due")
            held.append(data["annotation"])

    def _response(self, kind: str, response: Json) -> None:
        if self._id is None:
            self._id = response["id"]
        if response["id"] != self._id:
            self.say(f"{kind} is of {response['id']}, and not of {self._id}")
        if kind not in ENDS:
            if response["status"] != "in_progress" or response["output"]:
                self.say(f"{kind} is {response['status']} with {len(response['output'])} items")
            return
        if kind != f"response.{response['status']}":
            self.say(f"{kind} is {response['status']}")
        if len(response["output"]) != len(self._items):
            self.say(f"{len(response['output'])} items at the end, and {len(self._items)} before")
        if kind == "response.failed":
            return
        if sorted(self._items) != sorted(self._done) or any(self._parts.values()):
            self.say("an item or a part is not done")
        if self._texts.keys() != self._whole:
            self.say("a text is not done")
        if response["output"] != [self._done[at] for at in sorted(self._done)]:
            self.say("the output at the end is not what was streamed")

    def _item(self, what: str, data: Json) -> None:
        at, item = data["output_index"], data["item"]
        if what == "added":
            if at != len(self._items):
                self.say(f"item {at} where {len(self._items)} was due")
            self._items[at] = item
            return
        began = self._items.get(at)
        if began is None or at in self._done or (began["type"], began["id"]) != (item["type"], item["id"]):
            self.say(f"item {at} is done and is not open")
        if any(part for (_, of, _), part in self._parts.items() if of == at):
            self.say(f"item {at} is done before a part of it")
        for index, part in enumerate(item["content"] if item["type"] == "message" else ()):
            if part.get("annotations", []) != self._annotations.get((item["id"], index), []):
                self.say(f"part {index} of item {at} has other annotations than were added")
        self._done[at] = item

    def _part(self, base: str, what: str, data: Json) -> None:
        index, field = PARTS[base]
        at = (base, data["output_index"], data[index])
        item = self._items.get(data["output_index"], {})
        if data["output_index"] in self._done or item.get("id") != data["item_id"] or field not in item:
            self.say(f"{base}.{what} of no open item")
        if what == "added":
            if at in self._parts or data[index] != sum(at[:2] == one[:2] for one in self._parts):
                self.say(f"{base} {data[index]} is added out of its turn")
            self._parts[at] = data["part"]
        elif self._parts.get(at) is None:
            self.say(f"{base} {data[index]} is done and is not open")
        else:
            self._parts[at] = None
            text = data["part"].get("text", data["part"].get("refusal"))
            told = [said for (_, of, place), said in self._texts.items() if (of, place) == _place(data)]
            if told != [text]:
                self.say(f"{base} {data[index]} is done with {text!r}, and not {told!r}")

    def _text(self, base: str, what: str, data: Json) -> None:
        of, field = TEXTS[base]
        at = (base, *_place(data))
        item = self._items.get(data["output_index"], {})
        if item.get("id") != data["item_id"] or item.get("type") != of or data["output_index"] in self._done:
            self.say(f"{base}.{what} of no open item")
        if at in self._whole:
            self.say(f"{base}.{what} behind its end")
        if what == "delta":
            if not data["delta"]:
                self.say(f"{base}.delta says nothing")
            self._texts[at] = self._texts.get(at, "") + data["delta"]
            return
        self._whole.add(at)
        if self._texts.get(at, "") != data[field]:
            self.say(f"{base}.done has {data[field]!r}, and {self._texts.get(at)!r} was said")
        self._texts.setdefault(at, "")


def _place(data: Json) -> tuple[str, Any]:
    return data["item_id"], data.get("content_index", data.get("summary_index"))


def response_of(stream: bytes) -> Json:
    """The response that `openai` accumulates, of a stream whose order is right.

    Raises:
        RuntimeError: it is not completed.
    """
    answer = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    web = httpx.Client(transport=httpx.MockTransport(lambda _: answer))
    client = openai.OpenAI(api_key="none", base_url=NOWHERE, http_client=web, max_retries=0)
    with client.responses.stream(model="m", input="hi") as reading:
        return reading.get_final_response().model_dump(mode="json", warnings=False)


def last_of(stream: bytes) -> Json:
    """The response that a stream ends with, whose order and shapes are right."""
    read = frames(stream)
    assert responses_faults(read) == []
    found: Json = read[-1].data["response"]
    return found


def valid(body: bytes) -> Json:
    """A whole response, which is one by the SDK's types."""
    found: Json = json.loads(body)
    Response.model_validate(found, strict=True)
    return found
