"""Completions of before chat at a provider that has them: as they were sent, and as they come."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
from openai import OpenAI
from tests.conftest import StartGateway
from tests.e2e.gateway import Running
from tests.faults.exact import whole_of
from tests.faults.passing import EVENTS, PassingProvider, Told, said

KEY: Final = "fk-of-the-client-0123456789"
USED: Final = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
WHOLE: Final = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "base-x",
    "choices": [
        {"index": 0, "text": " farthing", "finish_reason": "stop", "logprobs": None, "of_tomorrow": 1}
    ],
    "usage": USED,
}
STREAMED: Final = (
    b'data: {"id":"cmpl-1","object":"text_completion","created":1,"model":"base-x","choices":[{"index":0,'
    b'"text":" farthing","finish_reason":"stop","logprobs":null}]}\n\n',
    b'data: {"id":"cmpl-1","object":"text_completion","created":1,"model":"base-x","choices":[],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n',
    b"data: [DONE]\n\n",
)


@pytest.fixture(scope="module")
def provider() -> Iterator[PassingProvider]:
    with PassingProvider() as made:
        made.answers = {
            "/v1/completions": lambda came: (
                Told(kind=EVENTS, pieces=STREAMED) if came.json.get("stream") else said(WHOLE)
            ),
            "/v1/chat/completions": said(whole_of(" farthing")),
        }
        yield made


@pytest.fixture(autouse=True)
def fresh(provider: PassingProvider) -> None:
    provider.came.clear()


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, provider: PassingProvider) -> Running:
    return start_gateway(
        f"""
[[keys]]
tenant = "acme"
key = "${{CLIENT_KEY}}"
[providers.base]
base_url = "{provider.base_url}"
auth = "none"
completions = true
[providers.chat]
base_url = "{provider.base_url}"
auth = "none"
[tiers.bases]
targets = ["base/base-x"]
[tiers.mixed]
targets = ["base/base-y", "chat/chat-x"]
[aliases]
davinci = "bases"
[[prices]]
target = "base/base-x"
input = 1
output = 2
""",
        CLIENT_KEY=KEY,
    )


@pytest.fixture
def client(gateway: Running) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.base_url, api_key=KEY, max_retries=0) as made:
        yield made


@pytest.mark.parametrize("model", ["base/base-x", "base-x", "bases", "davinci"])
def test_it_goes_up_as_it_was_sent_and_comes_back_as_it_came(
    model: str, gateway: Running, provider: PassingProvider
) -> None:
    raw = b'{"prompt": [[1, 2], [3]], "suffix":"!", "best_of" : 2, "model":"%b"}' % model.encode()
    reply = gateway.post("/v1/completions", raw, {"authorization": f"Bearer {KEY}"})
    assert reply.json == WHOLE
    (came,) = provider.came
    assert came.path == "/v1/completions"
    assert came.body == raw.replace(model.encode() + b'"}', b'base-x"}')
    receipt = gateway.receipt_of(reply)
    assert (receipt.operation, receipt.dialect) == ("completions", "completions")
    assert receipt.cost_nusd == 3 * 1_000 + 2 * 2_000


def test_it_is_streamed(client: OpenAI, gateway: Running) -> None:
    before = len(gateway.receipts())
    asked: dict[str, Any] = {"model": "base-x", "prompt": "four", "stream": True}
    chunks = list(client.completions.create(**asked, stream_options={"include_usage": True}))
    assert [one.choices[0].text for one in chunks if one.choices] == [" farthing"]
    assert gateway.next_receipt(before).cost_nusd == 7_000
    raw = gateway.post("/v1/completions", asked, {"authorization": f"Bearer {KEY}"})
    assert raw.body == b"".join(STREAMED)


@pytest.mark.parametrize("model", ["chat/chat-x", "mixed"])
def test_for_all_others_it_is_a_chat(model: str, client: OpenAI, provider: PassingProvider) -> None:
    assert client.completions.create(model=model, prompt="four").choices[0].text == " farthing"
    assert provider.came[0].path == "/v1/chat/completions"


def test_a_deployment_is_its_model(gateway: Running, provider: PassingProvider) -> None:
    path = "/openai/deployments/base-x/completions?api-version=2024-10-21"
    for body in ({"prompt": "four"}, {"prompt": "four", "model": "other"}):
        assert gateway.post(path, body, {"api-key": KEY}).json == WHOLE
    assert [came.json["model"] for came in provider.came] == ["base-x", "base-x"]
