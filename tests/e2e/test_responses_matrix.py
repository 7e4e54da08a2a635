"""What a provider of each dialect answers to a client of Responses: the table in `docs/dialects.md`. Each
is tried whole and streamed."""

from typing import Any, Final

import pytest
from tests.conftest import StartGateway
from tests.e2e.cases import PROVIDER_KEY, Door
from tests.e2e.gateway import Running
from tests.e2e.matching import GONE, exactly, faults, json_of, kinds
from tests.e2e.matrix import NOWHERE, table
from tests.e2e.matrix_answers import SAID
from tests.e2e.messages_said import HIDDEN, SIGNED
from tests.e2e.responses_grammar import last_of, valid
from tests.faults.provider import FaultProvider

from farthing.dialects.responses import envelopes

DOORS: Final = {"chat": "chat", "Messages": "messages", "Responses": "responses"}
TABLE: Final = table("Answers to clients of Responses", DOORS)
SOURCES: Final[tuple[Door, ...]] = ("chat", "messages")
MODELS: Final[dict[Door, str]] = {"chat": "chat/m-1", "messages": "claude/claude-haiku-4-5"}
ASKS: Final[dict[str, Any]] = {
    "the probability of each token": {"include": ["message.output_text.logprobs"]},
}
"""Fields of the request without which it would not come."""


def said(**part: Any) -> dict[str, Any]:
    """The last item is a message of one part like this."""
    return {"output": last({"type": "message", "content": [part]})}


def last(sketch: Any) -> Any:
    """Of a list, its last entry is like `sketch`."""

    def holds(got: Any) -> bool:
        return isinstance(got, list) and bool(got) and not faults(got[-1], sketch)

    holds.__doc__ = f"last {sketch}"
    return holds


def sealed(**fields: str) -> Any:
    """The first item is reasoning, and this travels in it."""

    def holds(got: Any) -> bool:
        thought = envelopes.reasoning_of(got[0].get("encrypted_content", ""))
        return thought is not None and all(getattr(thought, name) == told for name, told in fields.items())

    return {"output": holds}


def cut(reason: str) -> dict[str, Any]:
    return {"status": "incomplete", "incomplete_details": {"reason": reason}}


def used(**counts: Any) -> dict[str, Any]:
    return {"usage": counts}


WHOLE: Final = {"status": "completed", "incomplete_details": GONE}
HAS: Final[dict[str, Any]] = {
    "text": said(type="output_text", text="on"),
    "calls, parallel ones too": {
        "output": [
            {
                "type": "function_call",
                "call_id": "a",
                "name": "weather",
                "arguments": json_of({"city": "Oslo"}),
            },
            {"type": "function_call", "call_id": "b", "arguments": exactly("{}")},
        ]
    },
    "what was thought": {
        "output": [{"type": "reasoning", "summary": [{"text": "hm"}]}, {"content": [{"text": "on"}]}]
    },
    "its signature": sealed(text="hm", signature=SIGNED, maker="messages"),
    "thinking that nobody may read": sealed(redacted=HIDDEN, maker="messages"),
    "words of a refusal": {"output": last({"content": last({"type": "refusal", "refusal": "No."})})},
    "pages that are cited": said(annotations=[{"type": "url_citation", "url": "https://a.example"}]),
    "what the provider searched itself": {"output": kinds("web_search_call", "message")},
    "the probability of each token": said(logprobs=[{"token": "on", "logprob": -0.1}]),
    "the end": WHOLE,
    "the limit of output": cut("max_output_tokens"),
    "a filter of the provider": cut("content_filter"),
    "tokens read from a cache": used(input_tokens_details={"cached_tokens": 80}),
    "tokens of thinking": used(output_tokens=50, output_tokens_details={"reasoning_tokens": 20}),
    "how often was searched": {"tool_usage": {"web_search": {"num_requests": 2}}},
    "the service tier": {"service_tier": "priority"},
}
"""Sketches of what a client has where it was kept."""
LIKE: Final[dict[str, Any]] = {
    "a stop that was found": WHOLE,
    "a turn that pauses": cut("max_output_tokens"),
    "a window that is full": cut("max_output_tokens"),
    "tokens written to a cache, and for how long": used(input_tokens_details={"cache_write_tokens": 30}),
}
"""Of what it has where it was told as something like it."""


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    config = f"""
[providers.chat]
base_url = "{upstream.base_url}"
pass_through = true
[providers.claude]
kind = "anthropic"
base_url = "{upstream.base_url.removesuffix("/v1")}"
api_key = "${{PROVIDER_KEY}}"
pass_through = true
[call]
attempts_max = 1
"""
    return start_gateway(config, PROVIDER_KEY=PROVIDER_KEY)


def test_the_table_has_each_thing_once() -> None:
    assert list(TABLE) == list(SAID)


@pytest.mark.parametrize("name", SAID)
def test_what_becomes_of_an_answer(gateway: Running, upstream: FaultProvider, name: str) -> None:
    found = {(source, "responses"): came(name, source, gateway, upstream) for source in SOURCES}
    assert found == TABLE[name]


def came(name: str, source: Door, gateway: Running, upstream: FaultProvider) -> str:
    """The verdict on a whole answer, which is that on a streamed one too."""
    answered = SAID[name].answered(source)
    if answered is None:
        return NOWHERE
    model = MODELS[source]
    asks = {"model": model, "input": "hello", **ASKS.get(name, {})}
    upstream.exactly(model.partition("/")[2], answered.whole)
    ways = [verdict(name, valid(gateway.post("/v1/responses", asks).body))]
    upstream.exactly(model.partition("/")[2], answered.stream)
    ways.append(verdict(name, last_of(gateway.post("/v1/responses", {**asks, "stream": True}).body)))
    return ways[0] if ways[0] == ways[1] else f"{ways[0]}, {ways[1]} in a stream"


def verdict(name: str, response: Any) -> str:
    if name in HAS and not faults(response, HAS[name]):
        return "kept"
    return "changed" if name in LIKE and not faults(response, LIKE[name]) else "lost"
