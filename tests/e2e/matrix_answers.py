"""What an answer can say, in the words of each dialect that has some for it: the rows of the table "Answers"
in `docs/dialects.md`. Each is tried whole and streamed."""

import dataclasses
from typing import Any, Final

from tests.e2e.cases import Door
from tests.e2e.matching import exactly, holding, json_of, kinds
from tests.e2e.messages_said import (
    HIDDEN,
    SIGNED,
    block,
    called,
    calling,
    chunks,
    claude,
    claude_stream,
    closing,
    completion,
    opening,
    text,
    thought,
    use,
    used,
    words,
)
from tests.faults.exact import COUNTED, DONE, ENDING, ROLE, STOP, Exact, chunk, streamed, whole, whole_of

ANY: Final[dict[str, Any]] = {}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One thing that a provider of one dialect answers."""

    whole: Exact
    stream: Exact
    kept: Any
    """A sketch of what has it in the same dialect."""
    asks: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of the request without which it would not come."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One row of the table."""

    chat: Answered | None = None
    messages: Answered | None = None
    to_messages: Any = None
    """A sketch of what a client of Messages has where a chat server's was kept. None: it never is."""
    to_chat: Any = None
    changed: Any = None
    """A sketch of what the client has where it was told as something like it."""

    def answered(self, door: Door) -> Answered | None:
        return self.chat if door == "chat" else self.messages


def finish(reason: Any, **message: Any) -> dict[str, Any]:
    return {"choices": [{"finish_reason": reason, "message": message}]}


def message(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"message": fields}]}


def ended(reason: str, kept: Any = None, **choice: Any) -> Answered:
    """A chat server gives this reason."""
    return Answered(
        whole=completion("on", reason, **choice),
        stream=chunks({"content": "on"}, finish=reason, **choice),
        kept=finish(reason) if kept is None else kept,
    )


def stopped(reason: str, **fields: Any) -> Answered:
    """Anthropic gives this reason."""
    return Answered(
        whole=claude(text("on"), stop=reason, **fields),
        stream=claude_stream(opening(), words(0, "on"), closing(reason, **fields)),
        kept={"stop_reason": reason, **fields},
    )


def counted(kept: Any, **usage: Any) -> Answered:
    """A chat server tells this usage."""
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150, **usage}
    return Answered(
        whole=completion("on", usage=usage),
        stream=chunks({"content": "on"}, usage=usage),
        kept={"usage": kept},
    )


def used_up(kept: Any, **usage: Any) -> Answered:
    """Anthropic tells this usage."""
    usage = {"input_tokens": 100, "output_tokens": 50, **usage}
    return Answered(
        whole=claude(usage=usage),
        stream=claude_stream(opening(**usage), words(0, "ok"), closing(usage=usage)),
        kept={"usage": kept},
    )


PAGE: Final = {"url": "https://a.example", "title": "A"}
PAGE_CITED: Final = {"type": "web_search_result_location", "cited_text": "x", "encrypted_index": "e", **PAGE}
CITED: Final = {"type": "char_location", "cited_text": "x", "document_index": 0}
ANNOTATED: Final = {"type": "url_citation", "url_citation": {**PAGE, "start_index": 0, "end_index": 2}}
SEARCH: Final = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "n"}}
FOUND: Final = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
SOUND: Final = {"id": "audio_1", "data": "UklGRg==", "transcript": "hi", "expires_at": 1}
LOGPROBS: Final = {"content": [{"token": "on", "logprob": -0.1, "bytes": None, "top_logprobs": []}]}
WORD: Final = chunk({"content": "on"})
PICTURE: Final = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}


def logged(delta: dict[str, Any]) -> dict[str, Any]:
    """A chunk with the probabilities of its tokens."""
    made = chunk(delta)
    made["choices"][0]["logprobs"] = LOGPROBS
    return made


def cited(*citations: Any) -> Answered:
    return Answered(
        whole=claude(text("on", citations=list(citations))),
        stream=claude_stream(
            opening(),
            block(
                0,
                text("", citations=[]),
                {"type": "text_delta", "text": "on"},
                *({"type": "citations_delta", "citation": one} for one in citations),
            ),
            closing(),
        ),
        kept={"content": [{"citations": [{"type": one["type"]} for one in citations]}]},
    )


SAID: dict[str, Told] = {
    "text": Told(
        chat=Answered(
            whole=completion("on"),
            stream=chunks({"content": "o"}, {"content": "n"}),
            kept=message(content="on"),
        ),
        messages=Answered(
            whole=claude(text("on")),
            stream=claude_stream(opening(), words(0, "o", "n"), closing()),
            kept={"content": [{"text": "on"}]},
        ),
        to_messages={"content": [{"type": "text", "text": "on"}]},
        to_chat=message(content="on"),
    ),
    "calls, parallel ones too": Told(
        chat=Answered(
            whole=completion({"tool_calls": [called("a"), called("b", "{}")]}, "tool_calls"),
            stream=chunks(
                {
                    "tool_calls": [
                        calling(0, id="a", name="weather", arguments='{"city": '),
                        calling(1, id="b", name="weather", arguments=""),
                    ]
                },
                {"tool_calls": [calling(1, arguments="{}"), calling(0, arguments='"Oslo"}')]},
                finish="tool_calls",
            ),
            kept=message(tool_calls=[{"id": "a"}, {"id": "b"}]),
        ),
        messages=Answered(
            whole=claude(used("a"), used("b") | {"input": {}}, stop="tool_use"),
            stream=claude_stream(
                opening(), use(0, "a", '{"city": ', '"Oslo"}'), use(1, "b"), closing("tool_use")
            ),
            kept={
                "content": [{"id": "a", "input": {"city": "Oslo"}}, {"id": "b"}],
                "stop_reason": "tool_use",
            },
        ),
        to_messages={
            "content": [{"id": "a", "input": exactly({"city": "Oslo"})}, {"id": "b", "input": exactly({})}],
            "stop_reason": "tool_use",
        },
        to_chat=finish(
            "tool_calls",
            tool_calls=[
                {"id": "a", "function": {"arguments": json_of({"city": "Oslo"})}},
                {"id": "b", "function": {"arguments": "{}"}},
            ],
        ),
    ),
    "what was thought": Told(
        chat=Answered(
            whole=completion({"reasoning_content": "hm", "content": "on"}),
            stream=chunks({"reasoning_content": "hm"}, {"content": "on"}),
            kept=message(reasoning_content="hm", content="on"),
        ),
        messages=Answered(
            whole=claude({"type": "thinking", "thinking": "hm", "signature": SIGNED}, text("on")),
            stream=claude_stream(opening(), thought(0, "hm"), words(1, "on"), closing()),
            kept={"content": [{"thinking": "hm"}, {"text": "on"}]},
        ),
        to_messages={"content": [{"type": "thinking", "thinking": "hm"}, {"text": "on"}]},
        to_chat=message(reasoning_content="hm", content="on"),
    ),
    "its signature": Told(
        messages=Answered(
            whole=claude({"type": "thinking", "thinking": "hm", "signature": SIGNED}, text("on")),
            stream=claude_stream(opening(), thought(0, "hm"), words(1, "on"), closing()),
            kept={"content": [{"signature": SIGNED}, ANY]},
        ),
        to_chat=message(thinking_blocks=[{"thinking": "hm", "signature": SIGNED}]),
    ),
    "thinking that nobody may read": Told(
        messages=Answered(
            whole=claude({"type": "redacted_thinking", "data": HIDDEN}, text("on")),
            stream=claude_stream(
                opening(), block(0, {"type": "redacted_thinking", "data": HIDDEN}), words(1, "on"), closing()
            ),
            kept={"content": [{"data": HIDDEN}, ANY]},
        ),
        to_chat=message(thinking_blocks=[{"type": "redacted_thinking", "data": HIDDEN}]),
    ),
    "words of a refusal": Told(
        chat=Answered(
            whole=completion({"refusal": "No."}),
            stream=chunks({"refusal": "No."}),
            kept=message(refusal="No."),
        ),
        messages=Answered(
            whole=claude(text("pa"), stop="refusal", stop_details={"type": "refusal", "explanation": "No."}),
            stream=claude_stream(
                opening(),
                words(0, "pa"),
                closing("refusal", stop_details={"type": "refusal", "explanation": "No."}),
            ),
            kept={"stop_details": {"explanation": "No."}},
        ),
        to_messages={"stop_reason": "refusal", "content": [{"text": "No."}]},
        to_chat=finish("content_filter", refusal="No."),
    ),
    "pages that are cited": Told(
        chat=Answered(
            whole=completion({"content": "on", "annotations": [ANNOTATED]}),
            stream=chunks({"content": "on"}, {"annotations": [ANNOTATED]}),
            kept=message(annotations=[{"type": "url_citation"}]),
        ),
        messages=cited(PAGE_CITED),
        to_messages={"content": [{"citations": [{"url": "https://a.example"}]}]},
        to_chat=message(annotations=[{"type": "url_citation", "url_citation": {"url": "https://a.example"}}]),
    ),
    "places in a document that are cited": Told(messages=cited(CITED), to_chat=holding("char_location")),
    "what the provider searched itself": Told(
        messages=Answered(
            whole=claude(SEARCH, FOUND, text("on")),
            stream=claude_stream(
                opening(), block(0, SEARCH | {"input": {}}), block(1, FOUND), words(2, "on"), closing()
            ),
            kept={"content": kinds("server_tool_use", "web_search_tool_result", "text")},
        ),
        to_chat=holding("srvtoolu_1"),
    ),
    "sound": Told(
        chat=Answered(
            whole=completion({"audio": SOUND}),
            stream=chunks({"audio": SOUND}),
            kept=message(audio={"id": "audio_1"}),
            asks={"modalities": ["text", "audio"], "audio": {"voice": "a", "format": "wav"}},
        ),
    ),
    "images": Told(
        chat=Answered(
            whole=completion({"content": "on", "images": [PICTURE]}),
            stream=chunks({"content": "on", "images": [PICTURE]}),
            kept=holding("iVBO"),
        ),
    ),
    "the probability of each token": Told(
        chat=Answered(
            whole=completion("on", logprobs=LOGPROBS),
            stream=streamed(ROLE, logged({"content": "on"}), *ENDING),
            kept=holding("logprob", "-0.1"),
            asks={"logprobs": True},
        ),
    ),
    "the end": Told(
        chat=ended("stop"),
        messages=stopped("end_turn"),
        to_messages={"stop_reason": "end_turn"},
        to_chat=finish("stop"),
    ),
    "the limit of output": Told(
        chat=ended("length"),
        messages=stopped("max_tokens"),
        to_messages={"stop_reason": "max_tokens"},
        to_chat=finish("length"),
    ),
    "a stop that was found": Told(
        chat=ended("stop", holding("###"), stop_reason="###"),
        messages=stopped("stop_sequence", stop_sequence="###"),
        to_messages={"stop_reason": "stop_sequence", "stop_sequence": "###"},
        to_chat=holding("###"),
        changed=finish("stop"),
    ),
    "a filter of the provider": Told(chat=ended("content_filter"), changed={"stop_reason": "refusal"}),
    "a turn that pauses": Told(messages=stopped("pause_turn"), changed=finish("length")),
    "a window that is full": Told(
        messages=stopped("model_context_window_exceeded"), changed=finish("length")
    ),
    "tokens read from a cache": Told(
        chat=counted(
            {"prompt_tokens_details": {"cached_tokens": 80}}, prompt_tokens_details={"cached_tokens": 80}
        ),
        messages=used_up({"cache_read_input_tokens": 80}, cache_read_input_tokens=80),
        to_messages={"usage": {"input_tokens": 20, "cache_read_input_tokens": 80, "output_tokens": 50}},
        to_chat={
            "usage": {
                "prompt_tokens": 180,
                "completion_tokens": 50,
                "prompt_tokens_details": {"cached_tokens": 80},
            }
        },
    ),
    "tokens written to a cache, and for how long": Told(
        chat=counted(
            {"prompt_tokens_details": {"cache_write_tokens": 30}},
            prompt_tokens_details={"cache_write_tokens": 30},
        ),
        messages=used_up(
            {"cache_creation": {"ephemeral_1h_input_tokens": 30}},
            cache_creation_input_tokens=30,
            cache_creation={"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 30},
        ),
        to_messages={"usage": {"input_tokens": 70, "cache_creation_input_tokens": 30}},
        to_chat={"usage": holding("1h", "30")},
        changed={"usage": {"prompt_tokens": 130, "prompt_tokens_details": {"cache_write_tokens": 30}}},
    ),
    "tokens of thinking": Told(
        chat=counted(
            {"completion_tokens_details": {"reasoning_tokens": 20}},
            completion_tokens_details={"reasoning_tokens": 20},
        ),
        messages=used_up(
            {"output_tokens_details": {"thinking_tokens": 20}}, output_tokens_details={"thinking_tokens": 20}
        ),
        to_messages={"usage": {"output_tokens": 50, "output_tokens_details": {"thinking_tokens": 20}}},
        to_chat={"usage": {"completion_tokens": 50, "completion_tokens_details": {"reasoning_tokens": 20}}},
    ),
    "how often was searched": Told(
        messages=used_up(
            {"server_tool_use": {"web_search_requests": 2}}, server_tool_use={"web_search_requests": 2}
        ),
        to_chat={"usage": holding("web_search", "2")},
    ),
    "the service tier": Told(
        chat=Answered(
            whole=whole(whole_of("on", service_tier="priority")),
            stream=streamed(
                *({**one, "service_tier": "priority"} for one in (ROLE, WORD, STOP, COUNTED)), DONE
            ),
            kept={"service_tier": "priority"},
        ),
        to_messages={"usage": {"service_tier": "priority"}},
        messages=used_up({"service_tier": "priority"}, service_tier="priority"),
        to_chat=holding("service_tier", "priority"),
    ),
}
