"""The mapping to providers that speak OpenAI's wire form: what goes up, and what replies mean."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.config import OpenAIProviderConfig, Secret
from farthing.dialects.chat.requests.request_writer import inner
from farthing.dialects.gemini.signatures import ANY, told_at_call
from farthing.dialects.messages.requests.request_reader import read
from farthing.errors import (
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from farthing.models.providers.failures import wait_s
from farthing.models.providers.openai.provider import OpenAIProvider
from farthing.models.transport.origin import HttpOrigin
from farthing.protocols import Unsaid
from farthing.types import Prompt, Sent, Target, Usage

NAMES = ("max_tokens", "max_completion_tokens")


def provider(**changes: Any) -> OpenAIProvider:
    key = changes.pop("api_key", "sk-secret")
    settings: dict[str, Any] = {"api_key": None if key is None else Secret("OPENAI_API_KEY", key), **changes}
    config = OpenAIProviderConfig(base_url="https://api.example/v1", **settings)
    return OpenAIProvider("openai", HttpOrigin("openai", "api.example", 443, True), config, path="/v1")


def sent(
    body: dict[str, Any], model: str = "gpt-4o", *, cap: int | None = None, capped_by: str | None = None
) -> dict[str, Any]:
    """The body that goes to `model`; `cap` is the one that holds after compose."""
    given_cap = body.get("max_completion_tokens") or body.get("max_tokens")
    whole = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}], **body}
    prompt = Prompt(
        body=whole,
        input_tokens=1,
        input_tokens_bound=9,
        output_tokens_max=given_cap if cap is None else cap,
        stream=bool(body.get("stream")),
        capped_by=capped_by,
    )
    target = Target(name=f"openai/{model}", provider="openai", model=model)
    _, raw = provider().encode(prompt, target, "chat", "req_1")
    decoded: dict[str, Any] = msgspec.json.decode(raw)
    return decoded


@pytest.mark.parametrize("name", NAMES)
def test_an_endpoints_cap_replaces_the_clients_under_the_name_it_used(name: str) -> None:
    body = sent({name: 500}, cap=100, capped_by="output_tokens_max")
    assert [(n, body[n]) for n in NAMES if n in body] == [(name, 100)]


@pytest.mark.parametrize(
    ("model", "name"),
    [("gpt-4o", "max_tokens"), ("gpt-5-mini", "max_completion_tokens"), ("o3", "max_completion_tokens")],
)
def test_a_model_that_was_chosen_gets_the_cap_in_the_field_it_knows(model: str, name: str) -> None:
    body = sent({"max_tokens": 70}, model)
    assert [(n, body[n]) for n in NAMES if n in body] == [(name, 70)]


def test_a_model_that_the_client_named_gets_what_the_client_wrote() -> None:
    assert sent({"model": "o3", "max_tokens": 70}, "o3")["max_tokens"] == 70


@given(st.dictionaries(st.text(), st.integers(-(2**53), 2**53) | st.text() | st.booleans()))
def test_every_other_field_goes_up_as_it_came(fields: dict[str, Any]) -> None:
    fields = {n: v for n, v in fields.items() if n not in (*NAMES, "stream", "stream_options", "model")}
    assert sent(fields) == {
        "messages": [{"role": "user", "content": "Hi"}],
        **fields,
        "model": "gpt-4o",
    }


def test_a_stream_asks_for_its_usage_and_keeps_the_other_options() -> None:
    body = sent({"stream": True, "stream_options": {"include_obfuscation": False}})
    assert body["stream_options"] == {"include_obfuscation": False, "include_usage": True}


def test_the_head_holds_key_host_and_request_id_and_ends_open() -> None:
    prompt = Prompt(
        body={"model": "m"}, input_tokens=1, input_tokens_bound=1, output_tokens_max=None, stream=False
    )
    target = Target(name="openai/m", provider="openai", model="m")
    head, _ = provider().encode(prompt, target, "chat", "req_7")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v1/chat/completions HTTP/1.1"
    assert "host: api.example" in lines
    assert "authorization: Bearer sk-secret" in lines
    assert "x-request-id: req_7" in lines
    assert lines[-1] == ""


def test_a_header_that_could_split_the_request_is_refused() -> None:
    with pytest.raises(ValueError, match="characters that HTTP does not allow"):
        provider(api_key="sk\r\nx-evil: 1")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ProviderRejected),
        (404, ProviderRejected),
        (408, ProviderTimeout),
        (429, ProviderBusy),
        (500, ProviderUnavailable),
        (503, ProviderUnavailable),
        (504, ProviderTimeout),
    ],
)
def test_a_status_means_one_class_of_failure(status: int, kind: type[Exception]) -> None:
    body = b'{"error": {"message": "no  such\\nthing"}}'
    failure = provider().failure(status, {}, body)
    assert type(failure) is kind
    assert "no such thing" in failure.in_full


@pytest.mark.parametrize("status", [401, 403])
def test_words_about_our_key_are_not_repeated(status: int) -> None:
    failure = provider().failure(status, {}, b'{"error": {"message": "Incorrect API key: sk-secr**ret"}}')
    assert "sk-" not in str(failure)
    assert "sk-" not in repr(failure.said) and "ret" not in repr(failure.said)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({b"retry-after": b"7"}, 7.0),
        ({b"retry-after-ms": b"250", b"retry-after": b"7"}, 0.25),
        ({b"retry-after": b"Thu, 01 Jan 1970 00:01:40 GMT"}, 40.0),
        ({b"retry-after": b"Thu, 01 Jan 1970 00:00:40 GMT"}, None),
        ({b"retry-after": b"-5"}, None),
        ({b"retry-after": b"nan"}, None),
        ({b"retry-after": b"soon"}, None),
        ({b"retry-after": b"31536000"}, 31_536_000.0),
    ],
)
def test_a_wait_is_read_in_every_form_and_nonsense_is_none(
    headers: dict[bytes, bytes], seconds: float | None
) -> None:
    assert wait_s(headers, b"", now_unix_s=60.0) == seconds


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"choices": []}', b'{"choices": 3}', b"<html>", b'{"choices": [{]}']
)
def test_what_is_no_answer_is_a_failure_of_the_provider(body: bytes) -> None:
    with pytest.raises(ProviderUnavailable):
        provider().whole({}, body)


def test_text_usage_and_logprobs_are_read() -> None:
    body = msgspec.json.encode(
        {
            "choices": [
                {
                    "message": {"content": "Yes"},
                    "finish_reason": "stop",
                    "logprobs": {"content": [{"token": "Yes", "logprob": -0.5}]},
                }
            ],
            "usage": {
                "prompt_tokens": 9,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
        }
    )
    reply = provider().whole({}, body)
    assert (reply.text, reply.finish_reason, reply.logprobs, reply.body) == ("Yes", "stop", [-0.5], body)
    usage = reply.usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens) == (
        9,
        1,
        4,
        1,
    )


def test_a_tool_call_and_a_list_of_parts_have_no_text() -> None:
    for content in (b"null", b'[{"type": "text", "text": "x"}]'):
        reply = provider().whole({}, b'{"choices": [{"message": {"content": %b}}]}' % content)
        assert reply.text == ""


@pytest.mark.parametrize(
    ("reasons", "all_stopped"),
    [(["stop"], True), ([None], True), (["stop", "stop"], True), (["stop", "length"], False),
     (["stop", None, "content_filter"], False), (["tool_calls"], False)],
)  # fmt: skip
def test_an_answer_has_stopped_when_each_of_its_choices_has(
    reasons: list[str | None], all_stopped: bool
) -> None:
    choices = [{"index": i, "message": {"content": "x"}, "finish_reason": r} for i, r in enumerate(reasons)]
    reply = provider().whole({}, json.dumps({"choices": choices}).encode())
    assert reply.all_stopped is all_stopped
    assert (reply.finish_reason, reply.text) == (reasons[0], "x")


def whole_of(**changes: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    return json.dumps({"choices": [choice], "usage": usage, **changes}).encode()


def test_ordinary_and_odd_answers_in_any_order_are_read_alike() -> None:
    """An odd one has those after it read another way, which must come to the same."""
    odd = whole_of(usage={"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9, "input_tokens": 7})
    vectors = json.dumps(
        {"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    ).encode()
    one = provider()
    for body, used in [(whole_of(), (5, 1)), (vectors, (3, 0)), (odd, (7, 2))] * 2 + [
        (whole_of(), (5, 1))
    ] * 101:
        usage = one.whole({}, body).usage
        assert usage is not None and not usage.estimated
        assert (usage.input_tokens, usage.output_tokens) == used


@pytest.mark.parametrize(
    "body",
    [
        whole_of(choices=[{"message": {"content": "hi"}, "finish_reason": "stop"}, None]),
        whole_of(error=float("nan")),
        whole_of(error={"message": "half of it"}),
        whole_of(choices=[{"message": {"content": "hi", "tool_calls": [{}]}, "finish_reason": "stop"}]),
        whole_of(choices=[{"message": {"content": " "}, "finish_reason": "stop"}]),
        whole_of(choices=[{"message": {"content": "hi"}, "finish_reason": "length"}]),
    ],
)
def test_an_answer_that_takes_a_closer_look_is_not_called_plain(body: bytes) -> None:
    assert not provider().whole({}, body).is_plain


def test_a_plain_answer_is_called_so() -> None:
    assert provider().whole({}, whole_of()).is_plain
    assert provider().whole({}, whole_of(error=None)).is_plain


def test_a_good_answer_does_not_name_our_key_as_its_id() -> None:
    told, named = provider().down({b"x-request-id": b"sk-secret", b"x-ratelimit-limit-requests": b"5"}, "r")
    assert b"sk-secret" not in told and "sk-secret" not in named and b"x-ratelimit-limit-requests: 5" in told
    assert provider().down({b"x-request-id": b"req-7"}, "r") == (b"x-upstream-request-id: req-7\r\n", "req-7")


@pytest.mark.parametrize("large", [{"d": ["abcdefgh"] * 300_000}, {"message": "x" * 3_000_000}])
def test_of_an_error_larger_than_any_what_sdks_read_is_left(large: dict[str, Any]) -> None:
    error = {"message": "no", "type": "odd", "code": "c7", **large}
    for failed in (
        provider().in_answer(json.dumps({"error": error}).encode()),
        provider().failure(400, {}, json.dumps({"error": error}).encode()),
    ):
        assert (
            failed.said is not None and failed.said["code"] == "c7" and len(json.dumps(failed.said)) < 3_000
        )


@pytest.mark.parametrize("key", [None, "", "sk-of-the-gateway-0123456789"])
def test_the_head_of_a_good_answer_is_not_searched_for_more_than_our_key(key: str | None) -> None:
    """Looking for all that may be a secret takes as long as half a request."""
    asked = provider(api_key=key)
    asked.redact = None  # type: ignore[assignment]  # whoever used it would fail
    headers = {b"x-request-id": b"r-1", b"openai-processing-ms": b"12", b"content-type": b"application/json"}
    assert asked.down(headers, "req_1")[1] == "r-1"


def of_messages(body: dict[str, Any], **changes: Any) -> Prompt:
    """The prompt of a client of Messages."""
    form = inner(read(body))
    asked: dict[str, Any] = {
        "body": form,
        "input_tokens": 1,
        "input_tokens_bound": 9,
        "output_tokens_max": body.get("max_tokens"),
        "stream": bool(body.get("stream")),
        "sent": Sent(dialect="messages", raw=b"", body=body, read=form),
        **changes,
    }
    return Prompt(**asked)


CODE = {
    "model": "auto",
    "max_tokens": 32_000,
    "stream": True,
    "system": [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}],
    "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    "thinking": {"type": "adaptive"},
    "metadata": {"user_id": "u-1"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
    "output_config": {"effort": "medium"},
}
"""What an agent of Anthropic's sends."""


def test_a_client_of_messages_is_told_in_chat_completions() -> None:
    one, prompt = provider(), of_messages(CODE)
    target = Target(name="openai/m-1", provider="openai", model="m-1", output_tokens_max=8_000)
    assert one.unsaid(prompt, target, "chat") == Unsaid((), ("context_management", "cache_control"))
    _, raw = one.encode(prompt, target, "chat", "req_1")
    assert msgspec.json.decode(raw) == {
        "model": "m-1",
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "hi"}],
        "max_tokens": 8_000,
        "user": "u-1",
        "reasoning_effort": "medium",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("model", "name"), [("gpt-4o", "max_tokens"), ("gpt-5-mini", "max_completion_tokens")]
)
def test_the_limit_of_messages_has_the_name_that_the_model_knows(model: str, name: str) -> None:
    target = Target(name=f"openai/{model}", provider="openai", model=model)
    for most, cap in ((None, None), (500, "output_tokens_max")):
        prompt = of_messages(CODE, capped_by=cap, output_tokens_max=most or 32_000)
        body = msgspec.json.decode(provider().encode(prompt, target, "chat", "req_1")[1])
        assert [(n, body[n]) for n in NAMES if n in body] == [(name, most or 32_000)]


def test_what_chat_completions_cannot_say_is_named_and_left_out_where_it_may_be() -> None:
    prompt = of_messages({**CODE, "top_k": 4, "tools": [{"type": "bash_20250124", "name": "bash"}]})
    target = Target(name="openai/m", provider="openai", model="m")
    assert provider().unsaid(prompt, target, "chat").names == ("tools.bash_20250124", "top_k")
    body = msgspec.json.decode(provider().encode(prompt, target, "chat", "req_1")[1])
    assert "tools" not in body and "top_k" not in body


def test_a_choice_that_failed_costs_what_its_answer_counts() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "error"}
    usage = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
    body = json.dumps({"choices": [choice], "usage": usage}).encode()
    with pytest.raises(ProviderError) as caught:
        provider().whole({}, body)
    assert caught.value.counted == Usage(input_tokens=7, output_tokens=1, cache_untold=True)


def test_googles_endpoint_for_chat_gets_no_signature_that_another_provider_gave_out() -> None:
    def messages(extra: dict[str, Any]) -> list[dict[str, Any]]:
        call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        turn = {"role": "assistant", "content": None, "tool_calls": [{**call, "extra_content": extra}, call]}
        return [{"role": "user", "content": "x"}, turn, {"role": "tool", "tool_call_id": "a", "content": "r"}]

    origin = HttpOrigin("openai", "generativelanguage.googleapis.com", 443, True)
    config = OpenAIProviderConfig(base_url="https://g.example/v1beta/openai")
    google = OpenAIProvider("g", origin, config, path="/v1beta/openai")
    target = Target(name="g/gemini-3-pro", provider="g", model="gemini-3-pro")
    own = {"google": {"thought_signature": "c2ln"}}
    foreign = told_at_call("c2ln", "vertex")["extra_content"]
    dummy = {"google": {"thought_signature": ANY}}
    for extra, goes_up in ((own, own), (foreign, dummy)):
        body = {"model": "auto", "messages": messages(extra)}
        asked = Prompt(body=body, input_tokens=1, input_tokens_bound=9, output_tokens_max=None, stream=False)
        sent_up = json.loads(google.encode(asked, target, "chat", "r")[1])
        assert sent_up["messages"] == messages(goes_up)
        assert body["messages"] == messages(extra), "what was read is not changed"
