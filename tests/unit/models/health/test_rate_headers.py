"""What providers say of their limits, in all their forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.models.health.rate_headers import Allowance, allowances, refill_s, retry_after_s

NOW_UNIX_S = 1_796_083_200.0  # 2026-12-01T00:00:00Z

WAITS = [
    ({"retry-after": "20"}, 20.0),
    ({"Retry-After": "0.5"}, 0.5),
    ({"retry-after": "31536000"}, 31_536_000.0),
    ({"retry-after": "-5"}, None),
    ({"retry-after": "soon"}, None),
    ({"retry-after": "30, 30"}, 30.0),
    ({"retry-after": "5,1m0s"}, 60.0),
    ({"retry-after": "30, soon"}, None),
    ({"retry-after": ""}, None),
    ({"retry-after": "inf"}, None),
    ({"retry-after": "nan"}, None),
    ({"retry-after": "Tue, 01 Dec 2026 00:00:30 GMT"}, 30.0),
    ({"retry-after": "Mon, 30 Nov 2026 23:59:30 GMT"}, None),
    ({"retry-after": "Tue, 01 Dec 202600 00:00:30 GMT"}, None),
    ({"retry-after": "2026-12-01T00:01:00Z"}, 60.0),
    ({"retry-after": "2m59.56s"}, 179.56),
    ({"retry-after": "1796083210"}, 10.0),
    ({"retry-after-ms": "1500"}, 1.5),
    ({"x-ms-retry-after-ms": "250"}, 0.25),
    ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
    ({"retry-after-ms": "odd", "retry-after": "9"}, 9.0),
    ({"retry-after-ms": "-1", "retry-after": "Tue, 01 Dec 2026 00:00:09 GMT"}, 9.0),
    ({}, None),
]


def headers(said: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode("latin-1") for name, value in said.items()}


@pytest.mark.parametrize(("said", "seconds"), WAITS)
def test_a_pause_is_understood_in_every_form_or_not_at_all(said: dict[str, str], seconds: float) -> None:
    assert retry_after_s(headers(said), b"", NOW_UNIX_S) == (
        None if seconds is None else pytest.approx(seconds)
    )


def test_where_no_header_says_so_the_body_may() -> None:
    body = b'[{"error": {"code": 429, "details": [{"@type": "x"}, {"retryDelay": "34.074824224s"}]}}]'
    assert retry_after_s({}, body, NOW_UNIX_S) == pytest.approx(34.074824224)
    assert retry_after_s(headers({"retry-after": "soon"}), body, NOW_UNIX_S) == pytest.approx(34.074824224)
    assert retry_after_s(headers({"retry-after": "3"}), body, NOW_UNIX_S) == 3.0
    for odd in (b'"-4s"', b'"4"', b"4", b'"1.5.2s"', b'"s"', b"null"):
        assert retry_after_s({}, b'{"error": {"details": [{"retryDelay": %b}]}}' % odd, NOW_UNIX_S) is None


@given(
    st.binary(max_size=80),
    st.sampled_from([b"retry-after", b"retry-after-ms", b"x-ratelimit-reset-requests"]),
)
def test_no_value_is_more_than_not_understood(value: bytes, name: bytes) -> None:
    told = {name: value, b"x-ratelimit-remaining-requests": value}
    wait_s = retry_after_s(told, value, NOW_UNIX_S)
    assert wait_s is None or 0 <= wait_s < float("inf")
    wait_s = refill_s(told, NOW_UNIX_S)
    assert wait_s is None or 0 <= wait_s < float("inf")


OPENAI = {
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-limit-tokens": "150000",
    "x-ratelimit-remaining-requests": "59",
    "x-ratelimit-remaining-tokens": "149984",
    "x-ratelimit-reset-requests": "1s",
    "x-ratelimit-reset-tokens": "6m0s",
}
GROQ = {
    "x-ratelimit-limit-requests": "14400",
    "x-ratelimit-limit-tokens": "18000",
    "x-ratelimit-remaining-requests": "14370",
    "x-ratelimit-remaining-tokens": "17997",
    "x-ratelimit-reset-requests": "2m59.56s",
    "x-ratelimit-reset-tokens": "7.66s",
}
ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "0",
    "anthropic-ratelimit-requests-reset": "2026-12-01T00:00:30Z",
    "anthropic-ratelimit-input-tokens-limit": "30000",
    "anthropic-ratelimit-input-tokens-remaining": "12000",
    "anthropic-ratelimit-input-tokens-reset": "2026-12-01T00:00:36Z",
    "anthropic-ratelimit-output-tokens-limit": "8000",
    "anthropic-ratelimit-output-tokens-remaining": "0",
    "anthropic-ratelimit-output-tokens-reset": "2026-12-01T00:00:12Z",
}
AZURE = {"x-ratelimit-remaining-requests": "3", "x-ratelimit-remaining-tokens": "900"}
AZURE_RESET = AZURE | {"x-ratelimit-reset-requests": "10", "x-ratelimit-limit-requests": "6"}
MISTRAL = {"x-ratelimit-limit-req-minute": "60", "x-ratelimit-remaining-req-minute": "4"}
CEREBRAS = {
    "x-ratelimit-limit-requests-day": "14400",
    "x-ratelimit-remaining-requests-day": "14000",
    "x-ratelimit-reset-requests-day": "33011.382867",
}
PLAIN = {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "19", "X-RateLimit-Reset": "1796083260000"}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (OPENAI, [(False, 59, 60, 1.0), (True, 149_984, 150_000, 360.0)]),
        (GROQ, [(False, 14_370, 14_400, 179.56), (True, 17_997, 18_000, 7.66)]),
        (ANTHROPIC, [(False, 0, 50, 30.0), (True, 12_000, 30_000, 36.0)]),
        (AZURE, [(False, 3, None, None), (True, 900, None, None)]),
        (AZURE_RESET, [(False, 3, 6, 10.0), (True, 900, None, None)]),
        (MISTRAL, [(False, 4, 60, 60.0)]),
        (CEREBRAS, [(False, 14_000, 14_400, 33_011.382867)]),
        (PLAIN, [(False, 19, 20, 60.0)]),
        ({"x-ratelimit-remaining-requests": "-1"}, []),
        ({"x-ratelimit-remaining-requests": "many"}, []),
        ({"x-ratelimit-reset-requests": "1s"}, []),
        ({"content-type": "text/plain"}, []),
    ],
)
def test_what_is_left_is_read_as_each_provider_says_it(
    said: dict[str, str], found: list[tuple[object, ...]]
) -> None:
    told = allowances(headers(said), 100.0, NOW_UNIX_S)
    assert [(one.of_tokens, one.left, one.most, one.resets_s) for one in told] == [
        (tokens, left, most, None if resets_s is None else pytest.approx(resets_s))
        for tokens, left, most, resets_s in found
    ]


def test_a_refusal_tells_when_the_next_request_fits_and_not_when_all_is_back() -> None:
    """50 in 30 s: one in 0.6 s. Output tokens are nobody's to foresee."""
    assert refill_s(headers(ANTHROPIC), NOW_UNIX_S) == pytest.approx(0.6)
    assert refill_s(headers({"x-ratelimit-remaining-requests": "0"}), NOW_UNIX_S) is None
    untold = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}
    assert refill_s(headers(untold), NOW_UNIX_S) == pytest.approx(360.0)
    assert refill_s(headers(OPENAI), NOW_UNIX_S) is None, "it was refused for something else"


def test_an_allowance_comes_back_evenly_and_is_all_there_at_its_reset() -> None:
    (requests, _) = allowances(headers(ANTHROPIC), 100.0, NOW_UNIX_S)
    assert requests.wait_s(1.0, 100.0) == pytest.approx(0.6)
    assert requests.wait_s(1.0, 100.4) == pytest.approx(0.2)
    assert requests.wait_s(1.0, 101.0) == 0.0
    requests.left -= 10
    assert requests.wait_s(1.0, 100.0) == pytest.approx(6.6), "what was sent meanwhile comes off"
    assert requests.wait_s(1_000.0, 130.0) == 0.0
    assert requests.wait_s(1_000.0, 100.0) == pytest.approx(21.0), "more than half counts as half"


def test_without_a_limit_an_allowance_is_back_at_once_at_its_reset() -> None:
    one = Allowance(of_tokens=False, left=0.0, most=None, resets_s=5.0, at_s=100.0)
    assert one.wait_s(1.0, 102.0) == pytest.approx(3.0) and one.wait_s(1.0, 105.0) == 0.0
    untold = Allowance(of_tokens=False, left=0.0, most=None, resets_s=None, at_s=100.0)
    assert 0 < untold.wait_s(1.0, 100.0) <= 1.0 and untold.wait_s(1.0, 101.0) == 0.0
