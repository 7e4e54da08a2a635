"""What the gateway need not read, the provider judges; what it has to read bounds money and nothing else."""

import json
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Running
from tests.faults.provider import FaultProvider

USER = [{"role": "user", "content": "hello"}]
NONE_SAID = [-1, 0, -1.0, 0.0, None, 2**31 - 1, 10**12, 10**30, 1e12]
SAID = {1: 1, 7: 7, 100.0: 100, 99.5: 100}


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(f"""
[providers.a]
base_url = "{upstream.base_url}"
[tiers.cheap]
targets = ["a/good"]
[[prices]]
target = "a/good"
input = 1
output = 100
[endpoints.capped]
output_tokens_max = 200
[endpoints.bounded]
usd_max = 0.05
[endpoints.similar.cache.semantic]
mode = "observe"
[[guard.deny]]
name = "secret"
contains = ["project zeus"]
""")


def passed_on(gateway: Running, upstream: FaultProvider, **fields: Any) -> dict[str, Any]:
    """What the provider got of an answered request with `fields`."""
    calls = len(upstream.calls)
    body = {"model": "cheap", "messages": USER, **fields}
    reply = gateway.post("/v1/chat/completions", body, {"cache-control": "no-store"})
    assert reply.status == 200, reply.body
    assert len(upstream.calls) == calls + 1
    found: dict[str, Any] = json.loads(upstream.calls[-1].body)
    return found


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("said", [*NONE_SAID, *SAID])
def test_a_maximum_goes_to_the_provider_as_it_was_sent(
    gateway: Running, upstream: FaultProvider, name: str, said: Any
) -> None:
    assert passed_on(gateway, upstream, **{name: said})[name] == said


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("said", NONE_SAID)
def test_the_cap_of_the_endpoint_takes_the_place_of_no_maximum(
    gateway: Running, upstream: FaultProvider, name: str, said: Any
) -> None:
    sent = passed_on(gateway, upstream, model="farthing/capped", **{name: said})
    assert {sent.get("max_tokens"), sent.get("max_completion_tokens")} == {200, None}


@pytest.mark.parametrize("said", [*SAID, 200, 201, 200.5, 1_000])
def test_the_lower_of_two_caps_holds(gateway: Running, upstream: FaultProvider, said: float) -> None:
    sent = passed_on(gateway, upstream, model="farthing/capped", max_tokens=said)
    assert sent["max_tokens"] == min(said, 200)


@pytest.mark.parametrize("said", NONE_SAID)
def test_money_is_bounded_where_no_maximum_is_said(
    gateway: Running, upstream: FaultProvider, said: Any
) -> None:
    absent = passed_on(gateway, upstream, model="farthing/bounded")
    sent = passed_on(gateway, upstream, model="farthing/bounded", max_tokens=said)
    assert sent["max_tokens"] == absent["max_tokens"] <= 500, "0.05 dollars buy 500 tokens"


def test_money_is_bounded_for_every_choice_even_where_their_number_is_odd(
    gateway: Running, upstream: FaultProvider
) -> None:
    whole = passed_on(gateway, upstream, model="farthing/bounded", n=4, max_tokens=-1)["max_tokens"]
    assert whole <= 125
    assert passed_on(gateway, upstream, model="farthing/bounded", n=4.0, max_tokens=-1)["max_tokens"] == whole
    for none in (0, -1, None):
        alone = passed_on(gateway, upstream, model="farthing/bounded", n=none, max_tokens=-1)
        assert alone["max_tokens"] > whole


ODD: dict[str, list[Any]] = {
    "n": [0, -1, 1.0, None],
    "temperature": [-1, 3, 1.5, None],
    "top_p": [[], "0.9", None],
    "presence_penalty": [{}, "x"],
    "frequency_penalty": ["x", 5],
    "seed": [1.0, "x", -1, 2**63, 10**25, None],
    "stop": [4, [4], [], [None], {}, None],
    "logprobs": [3, "yes", [], None],
    "top_logprobs": [-1, 2.5, "x", None],
    "tools": [[], None],
    "tool_choice": [1, "any", {}, None],
    "response_format": ["json", {}, [], {"type": 3}, {"type": "json_schema", "json_schema": 3}, None],
    "user": [7, {"id": 1}, ["u"], "", None],
    "metadata": [[], "x", {"a": {"b": 1}}, None],
    "stream_options": [None, {}],
    "reasoning_effort": [3, None],
    "unheard_of": [{"a": [1, {"b": None}]}],
}


@pytest.mark.parametrize("endpoint", ["cheap", "farthing/similar", "farthing/bounded"])
@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in ODD.items() for value in values]
)
def test_a_field_of_any_kind_reaches_the_provider(
    gateway: Running, upstream: FaultProvider, endpoint: str, name: str, value: Any
) -> None:
    assert passed_on(gateway, upstream, model=endpoint, **{name: value})[name] == value
    body = {"model": endpoint, "messages": USER, name: value}
    for _ in range(2):  # with the caches too
        assert gateway.post("/v1/chat/completions", body).status == 200


@pytest.mark.parametrize(
    "message",
    [
        {"role": "developer", "content": "x"},
        {"role": "user", "content": [], "name": 7},
        {"role": "user", "content": [{"type": "odd", "x": 1}, "text", None, 3, {"text": None}]},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "assistant", "tool_calls": [{"id": "1", "function": 3}]},
        {"role": "tool", "content": "x", "tool_call_id": None},
        {"role": "", "content": ""},
    ],
)
@pytest.mark.parametrize("endpoint", ["cheap", "farthing/similar"])
def test_a_message_of_any_kind_reaches_the_provider(
    gateway: Running, upstream: FaultProvider, endpoint: str, message: dict[str, Any]
) -> None:
    for messages in ([message], [*USER, message], [message, *USER]):
        sent = passed_on(gateway, upstream, model=endpoint, messages=messages)
        assert sent["messages"] == messages


@pytest.mark.parametrize(
    "fields",
    [
        {"input": ""},
        {"input": []},
        {"input": ["", "a"]},
        {"input": [1, 2, 3]},
        {"input": [[1, 2], [3]]},
        {"input": ["a", [1, 2]]},
        {"input": [{"image": "data:,x"}]},
        {"input": "x", "dimensions": 0},
        {"input": "x", "dimensions": 8.0},
        {"input": "x", "dimensions": None, "encoding_format": None},
        {"input": "x", "encoding_format": 3, "user": 7},
    ],
)
def test_an_embedding_is_asked_for_as_it_was_sent(
    gateway: Running, upstream: FaultProvider, fields: dict[str, Any]
) -> None:
    calls = len(upstream.calls)
    reply = gateway.post("/v1/embeddings", {"model": "a/emb", **fields}, {"cache-control": "no-store"})
    assert reply.status == 200, reply.body
    sent = json.loads(upstream.calls[calls].body)
    assert {name: sent[name] for name in fields} == fields


@pytest.mark.parametrize("rows", [150, 1, 60_000])
def test_three_hundred_thousand_token_ids_are_embedded_in_one_call(
    gateway: Running, upstream: FaultProvider, rows: int
) -> None:
    ids = [index * 7 % 200_000 for index in range(300_000 if rows < 1_000 else rows)]
    size = len(ids) // rows
    given: Any = ids if rows == 1 else [ids[at : at + size] for at in range(0, len(ids), size)]
    reply = gateway.post("/v1/embeddings", {"model": "a/emb", "input": given}, timeout_s=60)
    assert reply.status == 200, reply.body[:300]
    assert len(reply.json["data"]) == rows
    assert json.loads(upstream.calls[-1].body)["input"] == given


def test_a_schema_as_deep_as_may_be_reaches_the_provider(gateway: Running, upstream: FaultProvider) -> None:
    for levels in (80, 120, 250):
        schema: dict[str, Any] = {"type": "string"}
        for _ in range((levels - 5) // 2):
            schema = {"type": "object", "properties": {"x": schema}}
        tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
        for endpoint in ("cheap", "farthing/similar", "farthing/bounded"):
            sent = passed_on(gateway, upstream, model=endpoint, tools=tools, stream=levels == 80)
            assert sent["tools"] == tools
        form = {"type": "json_schema", "json_schema": {"name": "f", "schema": schema}}
        assert passed_on(gateway, upstream, response_format=form)["response_format"] == form
