"""A target that takes long to begin and shows that it lives: the client's patience must not end it."""

import httpx2 as httpx
import pytest
from openai import APIError, OpenAI
from tests.conftest import StartGateway
from tests.e2e.gateway import Running
from tests.faults.exact import Exact, chunk, streamed
from tests.faults.provider import FaultProvider

pytestmark = pytest.mark.slow

COMMENT = b": OPENROUTER PROCESSING\n\n"
PATIENCE_S = 12.0
ANSWER = streamed(chunk({"content": "at last"}), chunk({}, "stop"))
ERROR = b'data: {"error": {"message": "no capacity", "code": 503}}\n\n'


def slowly(*last: bytes, seconds: int = 13) -> Exact:
    """A sign of life a second, then what is to come."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    signs = ((1.0, COMMENT) for _ in range(seconds))
    return Exact(((0.0, head), *signs, *((0.0, piece) for piece in last)), end="cut")


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider, second: FaultProvider) -> Running:
    return start_gateway(f"""
[providers.a]
base_url = "{upstream.base_url}"
[providers.b]
base_url = "{second.base_url}"
first_byte_s = 30.0
[tiers.both]
targets = ["a/both", "b/both"]
[cache]
exact = "off"
""")


def asks(gateway: Running, model: str) -> str:
    timeout = httpx.Timeout(PATIENCE_S)
    with OpenAI(base_url=gateway.base_url, api_key="any", max_retries=0, timeout=timeout) as client:
        stream = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": model}], stream=True
        )
        return "".join(piece.choices[0].delta.content or "" for piece in stream if piece.choices)


@pytest.mark.slow
def test_an_only_target_that_lives_is_waited_for_beyond_the_clients_patience(
    gateway: Running, upstream: FaultProvider
) -> None:
    words = b'data: {"choices":[{"index":0,"delta":{"content":"at last"},"finish_reason":"stop"}]}\n\n'
    upstream.exactly("slow", slowly(words, b"data: [DONE]\n\n"))
    assert asks(gateway, "a/slow") == "at last"
    row = gateway.receipts()[-1]
    assert (row.status, row.target, row.stop_reason) == (200, "a/slow", "stop")
    assert row.ttft_ms is not None and row.ttft_ms > 12_000, "a sign of life is no first token"


@pytest.mark.slow
def test_where_it_fails_after_that_the_client_hears_of_it_in_the_stream(
    gateway: Running, upstream: FaultProvider
) -> None:
    upstream.exactly("failing", slowly(ERROR))
    with pytest.raises(APIError, match="no capacity"):
        asks(gateway, "a/failing")
    row = gateway.receipts()[-1]
    assert row.status == 503 and row.target == ""


@pytest.mark.slow
def test_where_another_target_waits_nothing_goes_out_and_it_is_asked(
    gateway: Running, upstream: FaultProvider, second: FaultProvider
) -> None:
    upstream.exactly("both", slowly(ERROR, seconds=11))
    assert asks(gateway, "both") == "echo: both"
    assert gateway.receipts()[-1].target == "b/both"
