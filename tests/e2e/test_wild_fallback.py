"""Until something of an answer has come the next target may be asked, and the client notices nothing."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

import openai
import pytest
from tests.conftest import StartGateway
from tests.e2e import wild
from tests.e2e.gateway import Running
from tests.e2e.wild import Read, model_of
from tests.faults.exact import COUNTED, DONE, ROLE, STOP, Exact, chunk, event, say, streamed, whole, whole_of
from tests.faults.provider import FaultProvider
from tests.pace import BUSY_S

from farthing.types import Receipt

FIRST_BYTE_S: Final = 0.5
GAP_S: Final = 0.05
FROM_SECOND: Final = "from b"
WORDS: Final = "Rate limit exceeded"
ERROR: Final[dict[str, Any]] = {"error": {"message": WORDS, "code": 429}}
FILTER: Final = {
    "id": "",
    "object": "",
    "created": 0,
    "model": "",
    "choices": [],
    "prompt_filter_results": [],
}


def failed_choice(**said: Any) -> dict[str, Any]:
    """OpenRouter's: the status was sent before the provider behind it failed."""
    error = {"code": 502, "message": WORDS}
    return {"choices": [{"index": 0, **said, "finish_reason": "error", "error": error}]}


NOTHING_YET: dict[str, tuple[Any, ...]] = {
    "nothing at all": (),
    "a comment": (b": OPENROUTER PROCESSING\n\n",),
    "comments": (b": keep-alive\n\n", b":\n\n", b": keep-alive\n\n"),
    "retry": (b"retry: 3000\n\n",),
    "an id": (b"id: 1\n\n",),
    "a byte order mark": (b"\xef\xbb\xbf",),
    "the filter's result": (FILTER,),
    "the role": (ROLE,),
    "the role alone": (chunk({"role": "assistant"}),),
    "content null": (chunk({"role": "assistant", "content": None}),),
    "content an empty list": (chunk({"content": []}),),
    "empty words, three times": (ROLE, *say("", "")),
    "an empty delta": (chunk(),),
    "a delta null": ({"choices": [{"index": 0, "delta": None}]},),
    "choices null": (chunk(choices=None),),
    "a chunk of null": (b"data: null\n\n",),
    "an empty object": (b"data: {}\n\n",),
    "empty data": (b"data:\n\n",),
    "a ping": (b"event: ping\ndata: ping\n\n",),
    "a usage": (COUNTED,),
    "an empty finish": (chunk({"content": ""}, ""),),
    "empty lists": (chunk({"content": "", "tool_calls": [], "reasoning_details": [], "images": []}),),
    "empty reasoning": (chunk({"reasoning": "", "reasoning_content": "", "refusal": "", "thinking": ""}),),
    "nulls": (
        chunk({"content": None, "tool_calls": None, "function_call": None, "refusal": None, "audio": None}),
    ),
    "an error that is none": ({**ROLE, "error": {}},),
    "much of it": (b": hi\n\n", FILTER, ROLE, b"data: null\n\n", chunk({"content": ""}, None, usage=None)),
}

FAILURES: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "an error": ((ERROR,), {}),
    "an error, then DONE": ((ERROR, DONE), {}),
    "an error event": ((event({"message": "overloaded", "type": "server_error"}, b"event: error"),), {}),
    "a clean end": ((), {}),
    "DONE": ((DONE,), {}),
    "a closed connection": ((b": x\n\n",), {"end": "cut"}),
    "a reset": ((b": x\n\n",), {"end": "reset"}),
    "half of JSON": ((b'data: {"choices": [\n\n',), {}),
    "a failed choice": ((failed_choice(delta={"content": ""}), DONE), {}),
    "a finish that is a failure": ((chunk(finish="network_error"), DONE), {}),
    "another": ((chunk({"content": ""}, finish="insufficient_system_resource"), COUNTED, DONE), {}),
    "silence": ((), {"end": "hold"}),
}

COMMITS: dict[str, Any] = {
    "words": {"content": "hel"},
    "a space": {"content": " "},
    "a line end": {"content": "\n"},
    "a list of parts": {"content": [{"type": "text", "text": "hel"}]},
    "a tool call": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]},
    "a function call": {"function_call": {"name": "f", "arguments": ""}},
    "a refusal": {"refusal": "no"},
    "reasoning_content": {"reasoning_content": "hm"},
    "reasoning": {"reasoning": "hm"},
    "reasoning_details": {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
    "thinking": {"thinking": "hm"},
    "audio": {"audio": {"id": "a", "data": "UklGRg=="}},
    "an image": {"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}]},
}

WHOLE_FAILURES: dict[str, Exact] = {
    "an error with status 200": whole({"error": {"message": WORDS, "code": 429}}),
    "a text for the error": whole({"error": WORDS}),
    "HTML": whole(b"<html><body>nginx</body></html>", content_type="text/html"),
    "no choices": whole({"id": "x", "object": "chat.completion", "choices": []}),
    "a failed choice": whole(failed_choice(message={"role": "assistant", "content": ""})),
    "a finish that is a failure": whole(whole_of("", finish="error")),
    "500": whole({"error": {"message": WORDS}}, 500),
    "529": whole({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, 529),
    "307": whole(b"", 307, headers={"location": "https://elsewhere.example/v1/chat/completions"}),
    "400 about a parameter": whole({"error": {"message": "no such parameter", "param": "seed"}}, 400),
    "402": whole({"error": {"message": "credits are used up"}}, 402),
}

SICK: dict[str, Exact] = {
    "refused": whole({"error": {"message": "seed is not supported"}}, 400),
    "refused in a list": whole([{"error": {"message": "seed is not supported"}}], 400),
    "refused by the last": whole({"error": {"message": "no capacity left"}}, 503),
    "refused in plain text": whole(b"seed is not supported", 400, content_type="text/plain"),
}


def rescued() -> Iterator[tuple[str, Exact]]:
    for before, events in NOTHING_YET.items():
        for failure, (end, how) in FAILURES.items():
            yield f"{before}, then {failure}", streamed(*events, *end, **how, gap_s=0.01)


RESCUED: Final = dict(rescued())
LOST: Final = {name: streamed(ROLE, chunk(delta), ERROR, gap_s=GAP_S) for name, delta in COMMITS.items()}
STREAMS: Final = {**RESCUED, **LOST}
REPLIES: Final = {**STREAMS, **WHOLE_FAILURES, **SICK}


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    read: Read
    receipt: Receipt


def second_of(name: str) -> str:
    """The model that is asked after that of a row. One that is down must not stand beside the others."""
    return model_of(name) if name in SICK else "second"


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider, second: FaultProvider) -> Running:
    tiers = "".join(
        f'[tiers.{model_of(name)}]\ntargets = ["up/{model_of(name)}", "b/{second_of(name)}"]\n'
        for name in REPLIES
    )
    second.exactly("second", streamed(ROLE, *say(FROM_SECOND), STOP, COUNTED, DONE))
    return start_gateway(f"""
[providers.up]
base_url = "{upstream.base_url}"
first_byte_s = {FIRST_BYTE_S}
idle_s = 3.0
[providers.b]
base_url = "{second.base_url}"
[tiers.cheap]
targets = ["up/good-cheap"]
{tiers}
[cache]
exact = "off"
""")


@pytest.fixture(scope="module")
def asked(gateway: Running, upstream: FaultProvider) -> dict[str, Asked]:
    for name, reply in REPLIES.items():
        upstream.exactly(model_of(name), reply)
    read = wild.ask_all(gateway, {model_of(name): {} for name in STREAMS}, stream=True)
    receipts = {row.request_id: row for row in gateway.receipts()}
    return {
        name: Asked(found, receipts[found.request_id])
        for name in STREAMS
        if (found := read[model_of(name)]) is not None
    }


@pytest.mark.parametrize("name", RESCUED)
def test_the_second_target_answers(asked: dict[str, Asked], name: str) -> None:
    read, receipt = asked[name].read, asked[name].receipt
    assert read.error is None, read.error
    assert read.text == FROM_SECOND and read.finish == "stop"
    assert len(read.chunks) == 3, "something of the first answer came along"
    assert [attempt.target for attempt in receipt.attempts] == [f"up/{model_of(name)}", "b/second"]
    assert receipt.attempts[0].error is not None and receipt.attempts[1].error is None
    assert receipt.attempts[0].ttft_ms is None, "there was no first token"
    assert (receipt.target, receipt.status, receipt.error) == ("b/second", 200, None)
    assert receipt.usage is not None and not receipt.usage.estimated


@pytest.mark.parametrize("name", [name for name in RESCUED if name.endswith("silence")])
def test_silence_before_the_answer_is_waited_for_as_the_first_byte(
    asked: dict[str, Asked], name: str
) -> None:
    first = asked[name].receipt.attempts[0]
    assert first.error == "provider_timeout"
    assert first.total_ms is not None
    assert FIRST_BYTE_S * 900 <= first.total_ms <= (FIRST_BYTE_S + BUSY_S) * 1000


@pytest.mark.parametrize("name", LOST)
def test_what_the_client_has_seen_is_not_taken_back(asked: dict[str, Asked], name: str) -> None:
    read, receipt = asked[name].read, asked[name].receipt
    assert isinstance(read.error, openai.APIError), read.said
    assert WORDS in read.error.message
    assert len(read.chunks) == 2 and not read.finishes
    assert [attempt.target for attempt in receipt.attempts] == [f"up/{model_of(name)}"]
    assert (receipt.status, receipt.error) == (502, "stream_broken")
    assert receipt.attempts[0].ttft_ms is not None


def test_a_finish_is_an_answer_even_without_words(gateway: Running, upstream: FaultProvider) -> None:
    name = model_of("words")
    upstream.exactly(name, streamed(ROLE, STOP, DONE))
    (read,) = wild.ask_all(gateway, {name: {}}, stream=True).values()
    assert (read.error, read.text, read.finish) == (None, "", "stop")


def test_the_time_to_the_first_token_is_that_of_the_first_words(
    gateway: Running, upstream: FaultProvider
) -> None:
    """Comments and an empty delta come at once, the first words a while later."""
    body = streamed(b": hi\n\n", ROLE, *say("hel"), STOP, COUNTED, DONE)
    pieces = [(0.2 if b'"hel"' in data else 0.0, data) for _, data in body.pieces]
    upstream.exactly("late-words", Exact(tuple(pieces)))
    (read,) = wild.ask_all(gateway, {"up/late-words": {}}, stream=True).values()
    receipt = next(row for row in gateway.receipts() if row.request_id == read.request_id)
    assert read.text == "hel" and receipt.ttft_ms is not None
    assert receipt.ttft_ms >= 190 and receipt.attempts[0].ttft_ms is not None
    assert receipt.attempts[0].ttft_ms >= 190


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", WHOLE_FAILURES)
def test_a_failure_in_one_piece_leads_to_the_second_target(
    gateway: Running, upstream: FaultProvider, second: FaultProvider, name: str, stream: bool
) -> None:
    upstream.exactly(model_of(name), WHOLE_FAILURES[name])
    second.exactly("second", streamed(*say("hello"), STOP, DONE) if stream else whole(GOOD))
    (read,) = wild.ask_all(gateway, {model_of(name): {}}, stream=stream).values()
    assert (read.error, read.text, read.finish) == (None, "hello", "stop")


GOOD: Final = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", [name for name in SICK if "last" not in name])
def test_when_one_refuses_and_the_other_is_down_neither_is_hidden(
    gateway: Running, upstream: FaultProvider, second: FaultProvider, name: str, stream: bool
) -> None:
    upstream.exactly(model_of(name), SICK[name])
    second.exactly(model_of(name), whole({"error": {"message": "no capacity left"}}, 503))
    (read,) = wild.ask_all(gateway, {model_of(name): {}}, stream=stream).values()
    assert isinstance(read.error, openai.APIStatusError)
    for word in ("seed is not supported", "400", "no capacity left", "503"):
        assert word in read.error.message


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_by_the_last_target_is_told_too(
    gateway: Running, upstream: FaultProvider, second: FaultProvider, stream: bool
) -> None:
    name = "refused by the last"
    upstream.exactly(model_of(name), SICK[name])
    second.exactly(model_of(name), whole({"error": {"message": "seed is not supported"}}, 400))
    (read,) = wild.ask_all(gateway, {model_of(name): {}}, stream=stream).values()
    assert isinstance(read.error, openai.APIStatusError)
    assert "seed is not supported" in read.error.message
