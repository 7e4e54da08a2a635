"""Errors as Anthropic's SDK and Claude Code read them: shape, the status that goes with the kind, and words
that are matched."""

import json
from typing import Any

import pytest

from farthing.edge.messages import errors
from farthing.errors import (
    BodyTooLarge,
    BudgetExhausted,
    CannotSay,
    ContextTooLong,
    ContractExceeded,
    DeadlineExceeded,
    FarthingError,
    Forbidden,
    GuardrailFailed,
    InvalidRequest,
    KeyRejected,
    NoProviderLeft,
    NoSuchRoute,
    Overloaded,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    StreamBroken,
    Unauthenticated,
    UnknownModel,
    UnsupportedMedia,
)


def told(error: FarthingError) -> tuple[int, str, str]:
    status, body = errors.failed(error, "req_1")
    said = json.loads(body)
    assert said.keys() == {"type", "error", "request_id"} and said["error"].keys() == {"type", "message"}
    assert said["type"] == "error" and said["request_id"] == "req_1"
    return status, said["error"]["type"], said["error"]["message"]


def by(provider: type[ProviderError], status: int, **said: Any) -> NoProviderLeft:
    error = provider("a answered", upstream_status=status, said={"message": "its words", **said})
    error.target = "a/m"
    return NoProviderLeft((error,))


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidRequest("x", param="max_tokens"), 400, "invalid_request_error"),
        (Unauthenticated("x"), 401, "authentication_error"),
        (BudgetExhausted("x"), 402, "billing_error"),
        (ContractExceeded("x", limit="usd_max"), 402, "billing_error"),
        (ContractExceeded("x", limit="calls_max"), 429, "rate_limit_error"),
        (Forbidden("x"), 403, "permission_error"),
        (UnknownModel("x"), 404, "not_found_error"),
        (NoSuchRoute("x"), 404, "not_found_error"),
        (NoSuchRoute("x", allow="POST"), 405, "invalid_request_error"),
        (BodyTooLarge("x"), 413, "request_too_large"),
        (UnsupportedMedia("x"), 415, "invalid_request_error"),
        (RateLimited("x", retry_after_s=1), 429, "rate_limit_error"),
        (FarthingError("x"), 500, "api_error"),
        (GuardrailFailed("x"), 503, "api_error"),
        (DeadlineExceeded("x"), 504, "timeout_error"),
        (Overloaded("x"), 529, "overloaded_error"),
        (Overloaded("x", code="draining"), 529, "overloaded_error"),
        (NoProviderLeft((ProviderTimeout("x"),)), 504, "timeout_error"),
        (NoProviderLeft((ProviderUnavailable("x"),)), 502, "api_error"),
        (NoProviderLeft((KeyRejected("x", upstream_status=401),)), 502, "api_error"),
    ],
)
def test_our_own_errors_have_the_kind_that_their_status_has(
    error: FarthingError, status: int, kind: str
) -> None:
    assert told(error)[:2] == (status, kind)
    assert "x" in told(error)[2]


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (by(ProviderRejected, 400, type="BadRequestError", code=400), 400, "invalid_request_error"),
        (by(ProviderRejected, 402, code="402"), 402, "billing_error"),
        (by(ProviderRejected, 403), 403, "permission_error"),
        (by(ProviderRejected, 404, code="model_not_found"), 404, "not_found_error"),
        (by(ProviderRejected, 413), 413, "request_too_large"),
        (by(ProviderRejected, 422, code=None), 422, "invalid_request_error"),
        (by(ProviderBusy, 429, type="requests", code="rate_limit_exceeded"), 429, "rate_limit_error"),
        (by(ProviderUnavailable, 500, code=500), 500, "api_error"),
        (by(ProviderUnavailable, 503, code=503), 529, "overloaded_error"),
        (by(ProviderTimeout, 504), 504, "timeout_error"),
    ],
)
def test_what_a_provider_of_chat_says_is_told_in_its_words(
    error: NoProviderLeft, status: int, kind: str
) -> None:
    assert told(error) == (status, kind, "its words")


def test_what_cannot_be_said_is_told_by_name() -> None:
    error = CannotSay("a/m", ("top_k",))
    error.target = "a/m"
    status, kind, message = told(NoProviderLeft((error,)))
    assert (status, kind) == (400, "invalid_request_error") and "`top_k`" in message


def test_a_conversation_that_nobody_holds_is_told_so_that_the_client_sends_it_whole() -> None:
    raw = errors.failed(NoProviderLeft((CannotSay("a/m", ("thread", "top_k")),)), "req_1")[1]
    details = json.loads(raw)["error"]["details"]
    assert details == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    raw = errors.failed(NoProviderLeft((CannotSay("a/m", ("top_k",)),)), "req_1")[1]
    assert "details" not in json.loads(raw)["error"]


def test_the_error_of_a_provider_that_speaks_the_dialect_is_not_touched() -> None:
    raw = b'{ "type":"error", "error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"r"}'
    error = ProviderUnavailable("a answered 529", upstream_status=529, said={"message": "Overloaded"})
    error.own, error.target = raw, "a/m"
    left = NoProviderLeft((error,))
    assert errors.own(left) is error and errors.failed(left, "req_1") == (529, raw)
    assert errors.event(left, "req_1") == b"event: error\ndata: %b\n\n" % raw


def test_where_several_failed_in_their_own_ways_we_say_so() -> None:
    first, second = ProviderUnavailable("a answered 500"), ProviderUnavailable("b answered 500")
    first.target, second.target, first.own = "a/m", "b/m", b"{}"
    assert told(NoProviderLeft((first, second)))[:2] == (502, "api_error")


WORDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "OpenAI": (
        {"code": "context_length_exceeded"},
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 130,012 "
        "tokens. Please reduce the length of the messages.",
        "prompt is too long: 130012 tokens > 128000 maximum",
    ),
    "vLLM": (
        {"code": 400, "type": "BadRequestError"},
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the "
        "messages, 1000 in the completion).",
        "prompt is too long: 5000 tokens > 4096 maximum",
    ),
    "llama.cpp": (
        {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 9001, "n_ctx": 8192},
        "the request exceeds the available context size",
        "prompt is too long: 9001 tokens > 8192 maximum",
    ),
    "without numbers": (
        {"code": "context_length_exceeded"},
        "Your input exceeds the context window of this model.",
        "prompt is too long: Your input exceeds the context window of this model.",
    ),
    "with one number": (
        {"code": "context_length_exceeded"},
        "maximum context length is 4096 tokens",
        "prompt is too long: maximum context length is 4096 tokens",
    ),
}


@pytest.mark.parametrize("server", WORDS)
def test_a_prompt_that_is_too_long_is_told_in_the_words_that_clients_match(server: str) -> None:
    said, words, expected = WORDS[server]
    error = ProviderRejected("a answered 400", upstream_status=400, said={"message": words, **said})
    error.target = "a/m"
    assert told(NoProviderLeft((error,))) == (400, "invalid_request_error", expected)


def test_our_own_bound_is_told_in_them_too() -> None:
    assert told(ContextTooLong("it is over 10 tokens")) == (
        400,
        "invalid_request_error",
        "prompt is too long: it is over 10 tokens",
    )


@pytest.mark.parametrize("said", [None, {}, {"message": None}, {"message": 5, "code": {}}, {"code": [1]}])
def test_odd_error_objects_break_nothing(said: Any) -> None:
    error = ProviderRejected("a answered 400", upstream_status=400, said=said, words="words")
    error.target = "a/m"
    assert told(NoProviderLeft((error,)))[:2] == (400, "invalid_request_error")
    assert told(StreamBroken("broke", said=said))[1] == "api_error"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"message": "worker died", "type": "server_error", "code": 500}, "api_error"),
        ({"message": "Overloaded", "type": "overloaded_error"}, "overloaded_error"),
    ],
)
def test_a_stream_that_broke_ends_in_an_error_event(said: dict[str, Any], kind: str) -> None:
    event = errors.event(StreamBroken("broke", said=said), "req_1")
    name, data = event.removesuffix(b"\n\n").split(b"\n")
    assert name == b"event: error"
    error = json.loads(data.removeprefix(b"data: "))["error"]
    assert error == {"type": kind, "message": said["message"]}


def test_the_error_event_of_a_provider_goes_out_as_it_came() -> None:
    error = StreamBroken("broke", said={"message": "Overloaded"})
    error.own = b'event: error\ndata: {"type": "error", "error": {"details":null}}\n\n'
    assert errors.event(error, "req_1") == error.own
