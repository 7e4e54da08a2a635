"""What an answer of Gemini can say, and what a client of each dialect has of it: the rows of the table
"Answers of Gemini" in `docs/dialects.md`. Each is tried whole and streamed."""

import dataclasses
from typing import Any, Final

from tests.e2e.cases import Door
from tests.e2e.matching import exactly, holding, json_of, some

Json = dict[str, Any]
COUNTS: Final[Json] = {"promptTokenCount": 100, "candidatesTokenCount": 50, "totalTokenCount": 150}
SIGNATURE: Final = "c2lnbmVkLWJ5LUdvb2dsZQ=="
PICTURE: Final = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
PAGE: Final = {"web": {"uri": "https://a.example", "title": "A"}}
OWN: Final = {"executableCode": {"language": "PYTHON", "code": "1 + 1"}}


def object_of(*parts: Json, finish: str = "STOP", usage: Json | None = None, **candidate: Any) -> Json:
    one: Json = {"content": {"role": "model", "parts": list(parts)}} if parts else {}
    if finish:
        one["finishReason"] = finish
    return {
        "candidates": [one | {"index": 0} | candidate],
        "usageMetadata": COUNTS if usage is None else usage,
        "modelVersion": "m-1",
        "responseId": "r1",
    }


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """One row of the table."""

    pieces: list[Json]
    """The objects of the stream; the whole answer is the one there is, or all of them in a list."""
    kept: dict[Door, Any]
    """A sketch of what a client of a dialect has where it was kept."""
    changed: dict[Door, Any] = dataclasses.field(default_factory=dict)
    """Where it was told as something like it."""


def chat(finish: Any = "stop", **message: Any) -> Json:
    return {"choices": [{"finish_reason": finish, "message": message}]}


def own(*blocks: Any, **fields: Any) -> Json:
    return {"content": list(blocks), **fields} if blocks else fields


def items(*sketches: Any, status: str = "completed", **fields: Any) -> Json:
    return {"output": list(sketches), "status": status, **fields}


def said(**part: Any) -> Json:
    return {"type": "message", "content": [part]}


def ended(reason: str, finish: str, stop: str, status: str, why: str = "") -> Told:
    incomplete = {"incomplete_details": {"reason": why}} if why else {}
    return Told(
        [object_of({"text": "on"}, finish=reason)],
        {
            "chat": {"choices": [{"finish_reason": finish}]},
            "messages": {"stop_reason": stop},
            "responses": {"status": status, **incomplete},
        },
    )


def used(chat_has: Json, own_has: Json, responses_has: Json, **usage: Any) -> Told:
    return Told(
        [object_of({"text": "on"}, usage={**COUNTS, **usage})],
        {"chat": {"usage": chat_has}, "messages": {"usage": own_has}, "responses": {"usage": responses_has}},
    )


CALLED: Final = ({"functionCall": {"id": "a", "name": "weather", "args": {"city": "Oslo"}}},
                 {"functionCall": {"id": "b", "name": "weather", "args": {}}})  # fmt: skip
BLOCKED: Final[Json] = {
    "promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "Not that."},
    "usageMetadata": {"promptTokenCount": 100, "totalTokenCount": 100},
}
GROUNDED: Final[dict[str, Any]] = {
    "groundingMetadata": {
        "webSearchQueries": ["n"],
        "groundingChunks": [PAGE],
        "groundingSupports": [{"segment": {"endIndex": 2, "text": "on"}, "groundingChunkIndices": [0]}],
    }
}
SAID: Final[dict[str, Told]] = {
    "text": Told(
        [object_of({"text": "o"}, finish=""), object_of({"text": "n"})],
        {
            "chat": chat(content="on"),
            "messages": own({"type": "text", "text": "on"}),
            "responses": items(said(text="on")),
        },
    ),
    "calls, parallel ones too": Told(
        [object_of(*CALLED)],
        {
            "chat": chat(
                "tool_calls",
                tool_calls=[
                    {"id": "a", "function": {"arguments": json_of({"city": "Oslo"})}},
                    {"id": "b", "function": {"arguments": "{}"}},
                ],
            ),
            "messages": own(
                {"id": "a", "input": exactly({"city": "Oslo"})},
                {"id": "b", "input": exactly({})},
                stop_reason="tool_use",
            ),
            "responses": items(
                {"call_id": "a", "arguments": json_of({"city": "Oslo"})}, {"call_id": "b", "arguments": "{}"}
            ),
        },
    ),
    "what was thought": Told(
        [object_of({"text": "hm", "thought": True}, finish=""), object_of({"text": "on"})],
        {
            "chat": chat(reasoning_content="hm", content="on"),
            "messages": own({"type": "thinking", "thinking": "hm"}, {"text": "on"}),
            "responses": items({"type": "reasoning", "summary": [{"text": "hm"}]}, said(text="on")),
        },
    ),
    "the signature of a call": Told(
        [object_of({**CALLED[0], "thoughtSignature": SIGNATURE})],
        {
            "chat": chat(
                "tool_calls",
                tool_calls=[
                    {
                        "extra_content": exactly(
                            {"google": {"thought_signature": SIGNATURE}, "farthing": {"provider": "gemini"}}
                        )
                    }
                ],
            ),
            "messages": own({"type": "thinking", "signature": holding("gemini-proof.")}, {"id": "a"}),
            "responses": items(
                {"type": "reasoning", "encrypted_content": holding("fth1.")}, {"call_id": "a"}
            ),
        },
    ),
    "the signature of a text": Told(
        [object_of({"text": "on"}, finish=""), object_of({"text": "", "thoughtSignature": SIGNATURE})],
        {
            "chat": chat(content="on", thinking_blocks=[{"signature": holding("gemini-proof.")}]),
            "messages": own({"text": "on"}, {"type": "thinking", "signature": holding("gemini-proof.")}),
            "responses": items(said(text="on"), {"type": "reasoning", "encrypted_content": holding("fth1.")}),
        },
    ),
    "pages that are cited": Told(
        [object_of({"text": "on"}, **GROUNDED)],
        {
            "chat": chat(annotations=[{"url_citation": {"url": "https://a.example", "title": "A"}}]),
            "messages": own({"text": "on", "citations": [{"url": "https://a.example"}]}),
            "responses": items(said(annotations=[{"type": "url_citation", "url": "https://a.example"}])),
        },
    ),
    "how often was searched": Told(
        [object_of({"text": "on"}, **GROUNDED)],
        {
            "chat": {"usage": {"server_tool_use": {"web_search_requests": 1}}},
            "messages": {"usage": {"server_tool_use": {"web_search_requests": 1}}},
            "responses": {"tool_usage": {"web_search": {"num_requests": 1}}},
        },
    ),
    "code that the provider ran": Told(
        [object_of(OWN, {"text": "on"})],
        {"chat": holding("1 + 1"), "messages": holding("1 + 1"), "responses": holding("1 + 1")},
    ),
    "images": Told(
        [object_of({"text": "on"}, PICTURE)],
        {
            "chat": chat(images=[{"image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]),
            "messages": holding("iVBORw0KGgo="),
            "responses": holding("iVBORw0KGgo="),
        },
    ),
    "a prompt that was blocked": Told(
        [BLOCKED],
        {
            "chat": chat("content_filter", refusal="Not that."),
            "messages": {"stop_reason": "refusal"},
        },
        {"responses": items({"content": [{"type": "refusal", "refusal": "Not that."}]})},
    ),
    "a filter of the provider": ended("SAFETY", "content_filter", "refusal", "incomplete", "content_filter"),
    "the end": ended("STOP", "stop", "end_turn", "completed"),
    "the limit of output": ended("MAX_TOKENS", "length", "max_tokens", "incomplete", "max_output_tokens"),
    "tokens read from a cache": used(
        {"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 80}},
        {"input_tokens": 20, "cache_read_input_tokens": 80},
        {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 80}},
        cachedContentTokenCount=80,
    ),
    "tokens of thinking": used(
        {"completion_tokens": 70, "completion_tokens_details": {"reasoning_tokens": 20}},
        {"output_tokens": 70, "output_tokens_details": {"thinking_tokens": 20}},
        {"output_tokens": 70, "output_tokens_details": {"reasoning_tokens": 20}},
        thoughtsTokenCount=20,
        totalTokenCount=170,
    ),
    "the service tier": used(
        {"service_tier": "priority"},
        {"service_tier": "priority"},
        {"input_tokens": some(int)},
        trafficType="ON_DEMAND_PRIORITY",
    ),
}
