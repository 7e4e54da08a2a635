"""docs/openapi.json is true: generated requests, right and wrong, find no 5xx and no undocumented answer.

The gateway runs in front of the fault provider, which answers well here, so every 5xx would be our own.
"""

import http.client
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from schemathesis import checks
from schemathesis.config import SchemathesisConfig
from tests.conftest import StartGateway
from tests.e2e.gateway import Running
from tests.faults.provider import FaultProvider

from farthing.config import key_digest

ROOT = Path(__file__).parents[2]
KEY = "sk-schemathesis"
OF_MESSAGES = frozenset(
    {
        "content",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "role",
        "stream",
        "system",
        "text",
        "type",
        "user_id",
    }
)
OF_RESPONSES = frozenset({
    "content", "input", "instructions", "max_output_tokens", "model", "role", "stream",
    "temperature", "top_p",
})  # fmt: skip
KNOWN = {"/v1/messages": OF_MESSAGES, "/v1/responses": OF_RESPONSES}
EXAMPLES_MAX, SAMPLE_MAX = 30, 8  # for each operation: right and wrong data together

CONFIG = """
[server]
requests_max = 100
body_bytes_max = 1000000

[[keys]]
tenant = "tests"
digest = "{digest}"

[providers.faults]
base_url = "{base_url}"
pass_through = true

[tiers.cheap]
targets = ["faults/small"]

[tiers.expensive]
targets = ["faults/large"]

[endpoints.default]
store_responses = true

[endpoints.support-faq]
task = "faq"
output_tokens_max = 64

[[prices]]
target = "faults/small"
input = 0.15
output = 0.60

[ledger]
segment_bytes = 262144
"""

schema = schemathesis.openapi.from_path(
    ROOT / "docs" / "openapi.json",
    config=SchemathesisConfig.from_dict(
        {
            "generation": {"mode": "all", "with-security-parameters": False},
        }
    ),
)


@schema.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """JSON Schema takes 64.0 for an integer; the gateway, like OpenAI, does not. And the provider, of chat
    completions, cannot be told of Messages what nobody knows, nor go on with an answer that is begun: that is
    refused by name."""
    if not isinstance(body, dict):
        return body
    path = "" if context.operation is None else context.operation.path
    known = next((names for door, names in KNOWN.items() if path.startswith(door)), None)
    if known is not None:
        body = _known(body, known)
    return {name: _whole(value) for name, value in body.items()}


def _known(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {name: _known(item, names) for name, item in value.items() if name in names}
    if isinstance(value, list):
        return [_known(item, names) for item in value]
    return "user" if value == "assistant" else value


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _whole(item) for name, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


@pytest.fixture(scope="module")
def gateway(upstream: FaultProvider, start_gateway: StartGateway) -> Running:
    """It is stopped after the tests, and must not have logged a fault of its own."""
    return start_gateway(CONFIG.format(digest=key_digest(KEY), base_url=upstream.base_url))


def generated(examples_max: int) -> settings:
    return settings(
        max_examples=examples_max,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@schema.parametrize()
@seed(960)
@generated(SAMPLE_MAX)
def test_generated_requests_get_documented_answers(case: schemathesis.Case[Any], gateway: Running) -> None:
    _call(case, gateway)


@pytest.mark.conformance
@schema.parametrize()
@seed(961)
@generated(EXAMPLES_MAX)
def test_many_generated_requests_get_documented_answers(
    case: schemathesis.Case[Any], gateway: Running
) -> None:
    _call(case, gateway)


def _call(case: schemathesis.Case[Any], gateway: Running) -> None:
    response = case.call(base_url=gateway.base_url.removesuffix("/v1"), headers=_headers(case), timeout=60)
    case.validate_response(response, checks=_checks())


def _headers(case: schemathesis.Case[Any]) -> dict[str, str]:
    """A key, unless the case is about having none."""
    return (
        {}
        if "authorization" in {name.lower() for name in case.headers or {}}
        else {"Authorization": f"Bearer {KEY}"}
    )


def _checks() -> list[Any]:
    return [
        checks.not_a_server_error,
        *checks.CHECKS.get_by_names(
            [
                "status_code_conformance",
                "content_type_conformance",
                "response_schema_conformance",
                "response_headers_conformance",
                "negative_data_rejection",
                "positive_data_acceptance",
                "unsupported_method",
            ]
        ),
    ]


@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/v1/chat/completions", "/nowhere"])
def test_head_is_answered_without_a_body_and_the_connection_goes_on(gateway: Running, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    headers = {"Authorization": f"Bearer {KEY}"}
    connection.request("GET", path, headers=headers)
    got = connection.getresponse()
    length = len(got.read())
    connection.request("HEAD", path, headers=headers)
    asked = connection.getresponse()
    assert asked.status == got.status
    assert asked.read() == b""
    assert asked.getheader("content-length") == str(length)
    connection.request("GET", path, headers=headers)
    assert connection.getresponse().status == got.status
    connection.close()


def test_a_body_that_is_too_large_is_refused_by_its_own_name(gateway: Running) -> None:
    reply = gateway.chat("x" * 1_000_001, headers={"Authorization": f"Bearer {KEY}"})
    assert reply.status == 413
    assert reply.error["code"] == "request_too_large"
