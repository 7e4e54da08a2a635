"""The front door of completions of before chat, through the official client over real sockets."""

from collections.abc import Iterator

import pytest
from openai import BadRequestError, OpenAI
from tests.conftest import StartGateway
from tests.e2e.gateway import Running, until
from tests.faults.provider import FaultProvider

KEY = "fk-of-the-client-0123456789"


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    root = upstream.base_url.removesuffix("/v1")
    config = f"""
[[keys]]
tenant = "acme"
key = "${{CLIENT_KEY}}"
[providers.chat]
base_url = "{upstream.base_url}"
pass_through = true
[providers.claude]
kind = "anthropic"
base_url = "{root}"
api_key = "${{PROVIDER_KEY}}"
pass_through = true
[tiers.cheap]
targets = ["chat/good"]
[call]
attempts_max = 1
breaker_open_s = 0.01
[[answers]]
name = "hours"
text = "We are open from nine to five."
phrases = ["When are you open?"]
[[prices]]
target = "chat/good"
input = 3
output = 15
[[prices]]
target = "claude/good"
input = 3
output = 15
"""
    return start_gateway(config, CLIENT_KEY=KEY, PROVIDER_KEY="sk-ant-of-the-provider")


@pytest.fixture
def client(gateway: Running) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.base_url, api_key=KEY, max_retries=0) as made:
        yield made


@pytest.mark.parametrize("model", ["chat/good", "claude/good", "cheap", "auto"])
def test_a_prompt_is_gone_on_with_whole_and_streamed(client: OpenAI, model: str) -> None:
    whole = client.completions.create(model=model, prompt="hello there", max_tokens=50)
    assert whole.object == "text_completion"
    assert whole.choices[0].text and whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None and whole.usage.total_tokens > 0
    stream = client.completions.create(
        model=model, prompt="hello there", max_tokens=50, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(one.choices[0].text for one in chunks if one.choices) == whole.choices[0].text
    assert [one.choices[0].finish_reason for one in chunks if one.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage


def test_its_receipt_names_the_dialect_and_costs_what_a_chat_does(client: OpenAI, gateway: Running) -> None:
    raw = client.completions.with_raw_response.create(model="chat/good", prompt="hello there", max_tokens=50)
    chat = client.chat.completions.with_raw_response.create(
        model="chat/good", messages=[{"role": "user", "content": "hello there"}], max_tokens=50
    )
    cost = raw.headers["x-farthing-cost-usd"]
    assert cost == chat.headers["x-farthing-cost-usd"] and float(cost) > 0
    until(lambda: any(getattr(row, "dialect", "") == "completions" for row in gateway.rows()))


def test_an_answer_without_a_provider_is_told_too(client: OpenAI) -> None:
    whole = client.completions.create(model="auto", prompt="When are you open?", echo=True)
    assert whole.choices[0].text == "When are you open?We are open from nine to five."
    stream = client.completions.create(model="auto", prompt=["When are you open?"], stream=True)
    assert "".join(one.choices[0].text for one in stream) == "We are open from nine to five."


def test_what_no_chat_model_does_is_refused_by_name(client: OpenAI) -> None:
    for fields in ({"prompt": [1, 2]}, {"suffix": "end"}, {"best_of": 3}):
        with pytest.raises(BadRequestError) as refused:
            client.completions.create(**{"model": "chat/good", "prompt": "x", **fields})  # type: ignore[call-overload]
        assert refused.value.param == next(iter(fields))


def test_what_a_provider_has_no_word_for_is_refused_by_the_name_of_completions(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.completions.create(model="claude/good", prompt="x", logprobs=2)
    assert "logprobs" in str(refused.value)
