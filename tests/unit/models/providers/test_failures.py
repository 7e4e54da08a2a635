"""What providers say when they give no answer, in every form it comes in."""

import json
from typing import Any

import pytest

from farthing.dialects.errors import error_object, has_words, is_error
from farthing.errors import (
    KeyRejected,
    NoProviderLeft,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from farthing.models.providers.failures import failure, in_answer, wait_s
from farthing.runtime.redact import Redactor

KEYS = Redactor(["sk-secret-123456"])


def wire(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "too long", "type": "t", "code": "c"}}, "too long"),
        ([{"error": {"code": 400, "message": "unknown name", "status": "INVALID_ARGUMENT"}}], "unknown name"),
        ({"error": "model is not loaded"}, "model is not loaded"),
        ({"detail": "Model not found"}, "Model not found"),
        ({"detail": {"message": "no", "code": 7}}, "no"),
        ({"detail": [{"loc": ["body", "n"], "msg": "must be 1"}]}, "body.n: must be 1"),
        ({"message": {"detail": [{"loc": ["body", "x"], "msg": "extra field"}]}}, "body.x: extra field"),
        ({"object": "error", "message": "old form", "code": 40303}, "old form"),
        ({"errors": [{"message": "first"}, {"message": "second"}]}, "first; second"),
        ({"fault": {"faultstring": "quota"}}, "quota"),
        ({"error": {"message": {"error": {"message": "deep"}}}}, "deep"),
        ({"error": "invalid_grant", "error_description": "expired"}, "expired"),
        ({"error": {"message": None, "code": "insufficient_quota"}}, "insufficient_quota"),
        ({"error": {"message": "", "type": "overloaded_error"}}, "overloaded_error"),
        ("just text", "just text"),
        (b"prompt too long", "prompt too long"),
        (b"  <html><head><title>502 Bad\nGateway</title></head></html>", "502 Bad Gateway"),
        (b"\xef\xbb\xbf" + wire({"error": {"message": "after a mark"}}), "after a mark"),
        (b'{"error":{"message":"caf\xe9","code":"c"}}', "caf\ufffd"),
        (b'<HTML><HEAD><TITLE lang="en">Service down</TITLE></HEAD></HTML>', "Service down"),
        (b"<html><body><h1>503 Service Unavailable</h1></body></html>", "503 Service Unavailable"),
        (b"<titles>no</titles><title\nid=x>yes</title>", "yes"),
        (b'<?xml version="1.0"?><Error><Code>Bad</Code><Message>too long</Message></Error>', "too long"),
        ({"error": {"message": "", "type": "upstream_error", "code": "bad_response"}}, "bad_response"),
        ({"error": {"message": None, "type": "overloaded_error"}}, "overloaded_error"),
        ({"choices": None, "base_resp": {"status_code": 1008, "status_msg": "no balance"}}, "no balance"),
    ],
)
def test_the_providers_words_are_found(body: Any, words: str) -> None:
    said = error_object(wire(body))
    assert said is not None and said["message"] == words
    assert words in failure("up", 400, {}, wire(body)).in_full


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"null", b"\x00\x01", {"error": {}}, {"error": ""}, b"<p>"]
)
def test_where_nothing_is_said_nothing_is_made_up(body: Any) -> None:
    assert error_object(wire(body)) is None
    assert str(failure("up", 500, {}, wire(body))) == "up answered 500"


def test_openais_own_object_goes_on_whole() -> None:
    said = {"message": "m", "type": "t", "param": "p", "code": "c", "metadata": {"raw": [1]}}
    assert failure("up", 422, {}, wire({"error": said})).said == said


@pytest.mark.parametrize(
    ("error", "falsy"),
    [(None, True), (False, True), ("", True), ({}, True), (0, True), ([], True),
     ({"message": "", "code": None}, True), ("x", False), ({"message": "x"}, False), ({"code": 5}, False)],
)  # fmt: skip
def test_an_error_that_says_nothing_is_none(error: Any, falsy: bool) -> None:
    assert has_words(error) is not falsy
    assert is_error({"choices": [{}], "error": error}) is not falsy


@pytest.mark.parametrize(
    "value",
    [{"error": "x"}, {"object": "error", "message": "m"}, {"detail": "d"}, {"message": "m", "code": 1},
     {"message": "m", "type": "server_error"}, {"error_code": 1, "error_msg": "m"}],
)  # fmt: skip
def test_an_error_is_told_from_a_chunk_without_choices(value: dict[str, Any]) -> None:
    assert is_error(value)
    assert not is_error({"id": "c", "choices": [], "prompt_filter_results": []})
    assert not is_error({"id": "c", "message": "m"})


@pytest.mark.parametrize(
    ("payload", "kind", "status"),
    [
        ({"error": {"message": "slow down", "code": 429}}, ProviderBusy, 429),
        ({"error": {"message": "slow down", "code": "429"}}, ProviderBusy, 429),
        ({"error": {"message": "slow down", "type": "rate_limit_error"}}, ProviderBusy, 429),
        ({"error": {"message": "bad", "code": 400}}, ProviderRejected, 400),
        ({"message": "late", "status": 504}, ProviderTimeout, 504),
        ({"error": {"message": "down", "code": "overloaded"}}, ProviderUnavailable, 502),
        (b"no words", ProviderUnavailable, 502),
    ],
)
def test_an_error_in_the_place_of_an_answer_means_what_its_code_says(
    payload: Any, kind: type[ProviderError], status: int
) -> None:
    found = in_answer("up", wire(payload))
    assert type(found) is kind and found.upstream_status == status


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (401, {"message": "bad key"}, KeyRejected),
        (403, {"message": "no", "type": "permission_error"}, KeyRejected),
        (403, {"message": "no", "code": "invalid_api_key"}, KeyRejected),
        (400, {"message": "no", "details": [{"reason": "API_KEY_INVALID"}]}, KeyRejected),
        (403, {"message": "flagged", "code": 403, "metadata": {"reasons": ["x"]}}, ProviderRejected),
        (403, {"message": "no", "type": "content_policy_violation"}, ProviderRejected),
        (403, {"message": "not in your region", "code": "unsupported_country"}, ProviderRejected),
        (
            403,
            {
                "message": "not supported",
                "code": "unsupported_country_region_territory",
                "type": "request_forbidden",
            },
            ProviderRejected,
        ),
        (
            403,
            {
                "message": "blocked",
                "code": "model_permission_blocked_org",
                "type": "permissions_error",
            },
            ProviderRejected,
        ),
        (403, {"message": "no", "code": "AccessDenied.Unpurchased"}, ProviderRejected),
    ],
)  # fmt: skip
def test_a_refused_request_is_told_from_a_refused_key(
    status: int, error: dict[str, Any], kind: type[ProviderError]
) -> None:
    found = failure("up", status, {}, wire({"error": error}), KEYS)
    assert type(found) is kind
    left = NoProviderLeft([found])
    assert left.status == (502 if kind is KeyRejected else status)
    assert ("bad key" in str(left)) is False
    assert ("look at the key or credentials of providers.up" in str(left)) == (kind is KeyRejected)


def test_the_word_of_google_for_a_refused_right_is_kept_for_the_operator() -> None:
    error = {"code": 403, "message": "Vertex AI API is disabled for sk-x", "status": "PERMISSION_DENIED"}
    found = failure("vertex", 403, {}, wire({"error": error}), KEYS)
    assert isinstance(found, KeyRejected) and found.told == "PERMISSION_DENIED"
    assert "api_key" not in str(found), "a provider whose tokens are fetched has none"


@pytest.mark.parametrize(
    ("status", "error", "lacks_right"),
    [
        (401, {"message": "no", "type": "permission_error"}, False),
        (400, {"message": "no", "details": [{"reason": "API_KEY_INVALID"}]}, False),
        (403, {"message": "no", "code": "invalid_api_key"}, False),
        (403, {"message": "no", "status": "PERMISSION_DENIED", "code": 403}, True),
        (403, {"message": "no", "code": "AccessDeniedException"}, True),
        (403, None, True),
    ],
)
def test_a_key_that_lacks_a_right_is_told_from_one_that_is_none(
    status: int, error: dict[str, Any] | None, lacks_right: bool
) -> None:
    found = failure("up", status, {}, b"" if error is None else wire({"error": error}), KEYS)
    assert isinstance(found, KeyRejected) and found.lacks_right is lacks_right


@pytest.mark.parametrize(
    ("message", "code", "told"),
    [
        ("This account is closed.", "account_deactivated", "account_deactivated"),
        ("sk-of-somebody-else is unknown", "sk-of-somebody-else-1a2b", ""),
        ("Incorrect API key provided: sk-secre*****3456", "invalid_api_key", "invalid_api_key"),
        ("sk-...3456 is unknown", "invalid_api_key", "invalid_api_key"),
        ("sk-secret-123456", "sk-secret-123456", ""),
        ("**", None, ""),
    ],
)
def test_of_what_is_said_of_our_key_the_code_alone_is_kept_for_the_log(
    message: str, code: str | None, told: str
) -> None:
    found = failure("up", 401, {}, wire({"error": {"message": message, "code": code}}), KEYS)
    assert isinstance(found, KeyRejected)
    assert found.told == told and message not in str(found)


@pytest.mark.parametrize("status", [400, 403, 422, 429, 500])
@pytest.mark.parametrize("echo", ["sk-secret-123456", "sk-secre*****3456", "sk-s...", "sk-sec…56", "...3456"])
def test_no_part_of_our_key_goes_out_and_the_words_around_it_do(echo: str, status: int) -> None:
    said = {"message": f"about {echo} it is", "code": "content_policy", "metadata": {"raw": [{echo: [echo]}]}}
    found = failure("up", status, {}, wire({"error": said}), KEYS)
    assert found.said is not None and found.said["message"] == "about [redacted] it is"
    assert found.said["metadata"] == {"raw": [{"[redacted]": ["[redacted]"]}]}
    assert "about [redacted] it is" in found.in_full and "about" not in str(found)
    assert echo not in repr(in_answer("up", wire({"error": said}), KEYS).said)


def test_the_wait_is_read_from_googles_body_too() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]
    body = wire([{"error": {"code": 429, "message": "m", "details": details}}])
    assert wait_s({}, body) == 34.5
    assert wait_s({b"Retry-After": b"3"}, body) == 3.0
    for odd in ("34", "s", "-3s", "nans", 5, None):
        assert wait_s({}, wire({"error": {"details": [{"retryDelay": odd}]}})) is None


def failed(kind: type[ProviderError], status: int | None, target: str = "a", **more: Any) -> ProviderError:
    error = kind("m", upstream_status=status, **more)
    error.target = target
    return error


@pytest.mark.parametrize(
    ("failures", "tried_again", "status", "retry"),
    [
        ([(ProviderUnavailable, 503)], False, 503, None),
        ([(ProviderUnavailable, 503)] * 3, True, 503, False),
        ([(ProviderUnavailable, None)], False, 502, None),
        ([(ProviderTimeout, None)], False, 504, None),
        ([(ProviderRejected, 422)], False, 422, False),
        ([(KeyRejected, 401)], False, 502, False),
    ],
)
def test_what_a_client_is_told_of_one_target(
    failures: list[tuple[type[ProviderError], int | None]], tried_again: bool, status: int, retry: bool | None
) -> None:
    left = NoProviderLeft([failed(*one) for one in failures], tried_again=tried_again)
    assert (left.status, left.retry) == (status, retry)


def test_a_wait_and_a_word_against_retries_never_go_together() -> None:
    busy = failed(ProviderBusy, 429, retry_after_s=90.0)
    left = NoProviderLeft([busy] * 3, tried_again=True)
    assert (left.status, left.retry_after_s, left.retry) == (429, 90.0, None)


def test_a_wait_is_told_as_long_as_it_is_but_for_nonsense() -> None:
    for asked_s, told_s in ((3_600.0, 3_600.0), (1e300, 31_536_000.0)):
        busy = failed(ProviderBusy, 429, retry_after_s=asked_s)
        assert NoProviderLeft([busy]).retry_after_s == told_s
        assert NoProviderLeft([busy, failed(KeyRejected, 401, "b")]).retry_after_s == told_s
        sick = failed(ProviderUnavailable, 503, "b", again=True)
        assert NoProviderLeft([busy, sick]).retry_after_s == 60.0, "b may be well sooner"


def test_of_several_targets_all_are_named_and_a_last_refusal_is_passed_on() -> None:
    both = [failed(ProviderRejected, 400, "a"), failed(ProviderUnavailable, 503, "b")]
    assert NoProviderLeft(both).status == 502 and NoProviderLeft(both).passed_on is None
    assert NoProviderLeft(both[::-1]).status == 400
    assert NoProviderLeft([failed(ProviderTimeout, None, t) for t in "ab"]).status == 504


def test_a_code_without_words_decides_what_to_do() -> None:
    spent = failure("up", 429, {}, wire({"error": {"message": None, "code": "insufficient_quota"}}))
    assert not spent.again and spent.said is not None and spent.said["code"] == "insufficient_quota"


@pytest.mark.parametrize(
    "said",
    [
        "Mon, 99999999999 Jan 2020 00:00:00 GMT",
        "1 Jan 2020 00:00:00 +99999999999999",
        "nan",
        "\xff",
        "9" * 999,
    ],
)
def test_a_pause_that_makes_no_sense_is_none(said: str) -> None:
    assert wait_s({b"retry-after": said.encode("latin-1")}, b"") is None


def test_an_object_as_deep_as_any_is_looked_through() -> None:
    deep: Any = "words"
    for _ in range(5_000):
        deep = {"a": deep}
    assert has_words(deep)


@pytest.mark.parametrize("usage", [None, {"total_tokens": 0}])
def test_minimax_fails_with_status_200(usage: Any) -> None:
    said = {"choices": None, "usage": usage, "base_resp": {"status_code": 1008, "status_msg": "no balance"}}
    assert is_error(said)
    assert in_answer("up", wire(said)).said == {
        "message": "no balance",
        "type": "provider_error",
        "param": None,
        "code": 1008,
    }


@pytest.mark.parametrize(
    "base_resp", [None, {}, {"status_code": 0, "status_msg": ""}, {"status_code": 0, "status_msg": "success"}]
)
def test_minimax_says_with_each_answer_that_it_did_not_fail(base_resp: Any) -> None:
    assert not is_error({"choices": [{"index": 0, "delta": {"content": "x"}}], "base_resp": base_resp})
    assert not is_error({"choices": [], "usage": {"total_tokens": 3}, "base_resp": base_resp})


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
def test_whether_to_ask_again_is_the_providers_to_say(status: int) -> None:
    """The official SDKs do as `x-should-retry` says, whatever the status."""
    body = wire({"error": {"message": "m", "code": "insufficient_quota" if status == 429 else "c"}})
    assert failure("up", status, {b"x-should-retry": b"true"}, body).again
    assert not failure("up", status, {b"x-should-retry": b"false"}, body).again
    assert failure("up", status, {b"x-should-retry": b"?"}, body).again is (status == 500)


def test_a_tier_of_service_without_capacity_says_nothing_of_the_request() -> None:
    error = failure("groq", 498, {}, wire({"error": {"message": "capacity exceeded", "code": "capacity"}}))
    assert isinstance(error, ProviderUnavailable) and error.again
