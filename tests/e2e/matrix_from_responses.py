"""What a provider of Responses answers, and how clients of chat completions and of Messages have it: for the
rows of the table "Answers" in `docs/dialects.md`."""

from typing import Any, Final

from tests.contract.test_provider import function_call, response, said, text_part
from tests.e2e.cases import Door
from tests.e2e.matching import like
from tests.e2e.matrix_answers import Answered, finish, message
from tests.e2e.messages_said import HIDDEN
from tests.faults.exact import streamed, whole
from tests.unit.dialects.responses_made import stream_of

Json = dict[str, Any]
WORD: Final = said(text_part("on"))
THOUGHT: Final[Json] = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "hm"}],
    "encrypted_content": HIDDEN,
}
PAGE: Final = {
    "type": "url_citation",
    "url": "https://a.example",
    "title": "A",
    "start_index": 0,
    "end_index": 2,
}
PLACE: Final = {"type": "file_citation", "file_id": "file-1", "filename": "a.pdf", "index": 0}
SEARCH: Final = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
DRAWN: Final = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "iVBO"}


def cut(reason: str) -> Json:
    return response(WORD, status="incomplete", incomplete_details={"reason": reason})


def used(cached: int = 0, wrote: int = 0, thought: int = 0) -> Json:
    return response(
        WORD,
        usage={
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": wrote},
            "output_tokens": 50,
            "output_tokens_details": {"reasoning_tokens": thought},
            "total_tokens": 150,
        },
    )


SAID: Final[dict[str, Json]] = {
    "text": response(WORD),
    "calls, parallel ones too": response(
        function_call("a", "weather", '{"city": "Oslo"}'), function_call("b", "weather", "{}")
    ),
    "what was thought": response(THOUGHT, WORD),
    "its signature": response(THOUGHT, WORD),
    "thinking that nobody may read": response({**THOUGHT, "summary": []}, WORD),
    "words of a refusal": response(said({"type": "refusal", "refusal": "No."})),
    "pages that are cited": response(said(text_part("on", PAGE))),
    "places in a document that are cited": response(said(text_part("on", PLACE))),
    "what the provider searched itself": response(SEARCH, WORD),
    "images": response(DRAWN, WORD),
    "the end": response(WORD),
    "the limit of output": cut("max_output_tokens"),
    "a filter of the provider": cut("content_filter"),
    "tokens read from a cache": used(cached=80),
    "tokens written to a cache, and for how long": used(wrote=30),
    "tokens of thinking": used(thought=20),
    "how often was searched": response(WORD, tool_usage={"web_search": {"num_requests": 2}}),
    "the service tier": response(WORD, service_tier="priority"),
}
PROOF: Final = like("responses-item\\..+")
HAS: Final[dict[tuple[str, Door], Any]] = {
    ("its signature", "chat"): message(thinking_blocks=[{"thinking": "hm", "signature": PROOF}]),
    ("its signature", "messages"): {"content": [{"thinking": "hm", "signature": PROOF}, {"text": "on"}]},
    ("thinking that nobody may read", "chat"): message(
        thinking_blocks=[{"thinking": "", "signature": PROOF}]
    ),
    ("thinking that nobody may read", "messages"): {
        "content": [{"thinking": "", "signature": PROOF}, {"text": "on"}]
    },
    ("words of a refusal", "chat"): finish("stop", refusal="No."),
    ("a filter of the provider", "chat"): finish("content_filter"),
    ("tokens read from a cache", "chat"): {
        "usage": {"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 80}}
    },
    ("tokens written to a cache, and for how long", "chat"): {
        "usage": {"prompt_tokens": 100, "prompt_tokens_details": {"cache_write_tokens": 30}}
    },
    ("how often was searched", "messages"): {"usage": {"server_tool_use": {"web_search_requests": 2}}},
}
"""Sketches of what a client has where it is not what it has of the same from other providers."""


def answered(name: str) -> Answered | None:
    found = SAID.get(name)
    return (
        None if found is None else Answered(whole=whole(found), stream=streamed(stream_of(found)), kept=None)
    )
