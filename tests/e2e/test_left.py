"""A client that leaves, at every door and before each dialect: closed upstream, and billed as it was.

`python -m benchmarks.faults` measures how soon.
"""

import json
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Running, until
from tests.faults.provider import FaultProvider
from tests.pace import BUSY_S

pytestmark = pytest.mark.slow

TEXT = "one two three four"
CONFIG = """
[providers.a]
base_url = "{a}"
kind = "{dialect}"
api_key = "${{PROVIDER_KEY}}"
"""
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": TEXT}]},
    "/v1/messages": {"messages": [{"role": "user", "content": TEXT}], "max_tokens": 500},
    "/v1/responses": {"input": TEXT},
}


@pytest.fixture(scope="module", params=["openai", "anthropic", "responses"])
def dialect(request: pytest.FixtureRequest) -> str:
    """What the provider speaks."""
    return str(request.param)


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider, dialect: str) -> Running:
    config = CONFIG.format(a=upstream.base_url, dialect=dialect)
    return start_gateway(config, PROVIDER_KEY="sk-of-the-tests")


@pytest.mark.parametrize("moment", ["before", "at", "after"])
@pytest.mark.parametrize("path", BODIES)
def test_a_client_that_leaves_ends_the_call_and_is_billed_for_what_was_made(
    gateway: Running, upstream: FaultProvider, dialect: str, path: str, moment: str
) -> None:
    script = "hang" if moment == "before" else "gap=0.02,n=1000"
    model = f"fault:{script},seed={len(path)}"
    before, calls = len(gateway.receipts()), len(upstream.calls)
    body = {"model": f"a/{model}", "stream": True, **BODIES[path]}
    with gateway.dial() as client:
        client.sendall(gateway.wire(path, json.dumps(body).encode()))
        until(lambda: len(upstream.calls) > calls)
        said = b"" if moment == "before" else client.recv(65_536)
        while moment == "after" and said.count(b"data: ") < 12:
            said += client.recv(65_536)
    row = gateway.next_receipt(before)
    (call,) = upstream.calls[calls:]
    until(lambda: call.aborted, BUSY_S)
    assert (row.status, row.stop_reason, len(row.attempts)) == (499, "client_gone", 1)
    usage = row.attempts[0].usage
    assert usage is not None and usage.estimated and usage.input_tokens > 0
    assert usage.output_tokens <= 2 * call.tokens_sent + 2
    if moment == "after":
        assert usage.output_tokens >= 4
    until(lambda: gateway.metric("farthing_requests_in_progress") == 0, BUSY_S)
