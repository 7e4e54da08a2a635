"""The official OpenAI client, sync and async, cannot tell the gateway from its own server."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any, cast

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessage
from pydantic import BaseModel
from tests.conftest import StartGateway
from tests.e2e.gateway import Running, until
from tests.faults.provider import FaultProvider
from tests.pace import BUSY_S

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather at a place",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


class City(BaseModel):
    name: str
    people: int


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(f"""
[providers.a]
base_url = "{upstream.base_url}"
[tiers.cheap]
targets = ["a/good-cheap"]
[tiers.expensive]
targets = ["a/good-expensive"]
[[prices]]
target = "a/good-cheap"
input = 1
output = 2
[[prices]]
target = "a/good-expensive"
input = 10
output = 20
[cache]
exact = "off"
""")


@pytest.fixture(scope="module")
def client(gateway: Running) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.base_url, api_key="any", max_retries=0) as client:
        yield client


def test_a_whole_answer_with_its_headers_and_cost(client: OpenAI, gateway: Running) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": "what is it"}]
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == "echo: what is it"
    assert answer.usage is not None and answer.usage.completion_tokens == 4
    assert raw.headers["x-farthing-tier"] == "cheap"
    assert raw.headers["x-farthing-model"] == "a/good-cheap"
    assert raw.headers["x-farthing-cache"] == "off"
    assert raw.headers["x-farthing-cost-usd"] == "0.000011000"  # 3 tokens in at 1, 4 out at 2
    assert raw.headers["x-farthing-saved-usd"] == "0.000099000"
    assert raw.headers["x-request-id"] == raw.headers["request-id"]
    row = next(r for r in gateway.receipts() if r.request_id == raw.headers["x-request-id"])
    assert (row.status, row.stop_reason, row.calls) == (200, "stop", 1)
    assert (row.cost_nusd, row.baseline_nusd) == (11_000, 110_000)


def test_a_stream_says_the_same_and_counts_its_tokens_without_being_asked(
    client: OpenAI, gateway: Running
) -> None:
    before = len(gateway.receipts())
    stream = client.chat.completions.create(
        model="auto", messages=[{"role": "user", "content": "what is it"}], stream=True
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "echo: what is it"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks), "nobody asked for the usage chunk"
    row = gateway.next_receipt(before)
    assert row.usage is not None and row.usage.output_tokens == 4 and not row.usage.estimated
    assert row.cost_nusd == 11_000 and row.ttft_ms is not None and 0 < row.ttft_ms <= row.total_ms


def test_the_usage_chunk_of_a_stream_is_the_last_and_says_what_it_cost(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="auto",
            messages=[{"role": "user", "content": "what is it"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 4
    assert chunks[-1].model_extra is not None
    assert chunks[-1].model_extra["farthing"] == {"cost_usd": "0.000011000", "saved_usd": "0.000099000"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called_and_its_result_taken(client: OpenAI, upstream: FaultProvider, stream: bool) -> None:
    messages: list[Any] = [{"role": "user", "content": "use get_weather please"}]
    if stream:
        with client.chat.completions.stream(model="auto", messages=messages, tools=[WEATHER]) as events:
            message: ChatCompletionMessage = events.get_final_completion().choices[0].message
    else:
        answer = client.chat.completions.create(model="auto", messages=messages, tools=[WEATHER])
        assert answer.choices[0].finish_reason == "tool_calls"
        message = answer.choices[0].message
    assert message.tool_calls is not None
    call: Any = message.tool_calls[0]
    assert call.function.name == "get_weather" and json.loads(call.function.arguments) == {"city": "text"}
    messages += [
        message.model_dump(
            exclude_none=True, exclude={"tool_calls": {"__all__": {"function": {"parsed_arguments"}}}}
        ),
        {"role": "tool", "tool_call_id": call.id, "content": '{"celsius": 12}'},
        {"role": "user", "content": "so?"},
    ]
    final = client.chat.completions.create(model="auto", messages=messages, tools=[WEATHER])
    assert final.choices[0].message.content == "echo: so?"
    assert upstream.calls[-1].json["messages"] == messages


def test_a_structured_output_is_parsed(client: OpenAI) -> None:
    answer = client.chat.completions.parse(
        model="auto", messages=[{"role": "user", "content": "a city"}], response_format=City
    )
    assert answer.choices[0].message.parsed == City(name="text", people=1)
    with client.chat.completions.stream(
        model="auto", messages=[{"role": "user", "content": "a city"}], response_format=City
    ) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == City(name="text", people=1)


@pytest.mark.parametrize("stream", [False, True])
def test_several_choices_with_logprobs(client: OpenAI, stream: bool) -> None:
    fields: Any = {
        "model": "auto",
        "messages": [{"role": "user", "content": "x y"}],
        "n": 2,
        "logprobs": True,
    }
    if stream:
        with client.chat.completions.stream(**fields) as events:
            choices: Any = events.get_final_completion().choices
    else:
        choices = client.chat.completions.create(**fields).choices
    assert [choice.message.content for choice in choices] == ["echo: x y", "echo: x y #1"]
    assert [row.token for row in choices[1].logprobs.content] == ["echo:", " x", " y", " #1"]
    assert choices[0].logprobs.content[0].logprob == -0.25


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_reaches_the_client(client: OpenAI, stream: bool) -> None:
    fields: Any = {"model": "a/fault:reasoning=let me see", "messages": [{"role": "user", "content": "x"}]}
    if stream:
        deltas = [
            c.choices[0].delta.model_dump() for c in client.chat.completions.create(**fields, stream=True)
        ]
        assert "".join(d.get("reasoning_content") or "" for d in deltas) == "let me see"
    else:
        message = client.chat.completions.create(**fields).choices[0].message
        assert message.model_extra is not None
        assert message.model_extra["reasoning_content"] == "let me see"


EVERY_FIELD: Any = {
    "model": "auto",
    "messages": [
        {
            "role": "system",
            "content": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
        },
        {"role": "developer", "content": "and kind", "name": "dev"},
        {"role": "user", "content": 'é ∑ 🎈 \u2028 \\ " \u0000'},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "12"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                {"type": "brand_new_part", "x": [1, {"y": None}]},
            ],
        },
    ],
    "temperature": 0.1,
    "top_p": 1,
    "frequency_penalty": -2.0,
    "presence_penalty": 1e-7,
    "seed": 9007199254740993,
    "max_completion_tokens": 77,
    "stop": ["\n", "END"],
    "logit_bias": {"50256": -100},
    "top_logprobs": 0,
    "parallel_tool_calls": False,
    "reasoning_effort": "low",
    "service_tier": "flex",
    "store": True,
    "metadata": {"k": "v"},
    "user": "u-1",
    "prediction": {"type": "content", "content": "x"},
    "modalities": ["text"],
    "web_search_options": {},
    "brand_new_field": {"a": [1, 2.5, None, True, {"b": []}], "": "empty name", "big": 18446744073709551615},
    "n": None,
    "tools": [WEATHER],
    "tool_choice": "none",
}


@pytest.mark.parametrize("stream", [False, True])
def test_every_field_reaches_the_provider_as_it_was_sent(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    sent = EVERY_FIELD | ({"stream": True} if stream else {})
    before = len(upstream.calls)
    reply = gateway.post("/v1/chat/completions", sent)
    assert reply.status == 200, reply.body
    received = upstream.calls[before].json
    expected = sent | {"model": received["model"]}
    if stream:
        expected["stream_options"] = {"include_usage": True}
    assert received == expected
    ours = ("stream_options", "max_completion_tokens")  # the cap takes the name that the chosen model knows
    order = [name for name in received if name not in ours]
    assert order == [name for name in sent if name not in ours]
    assert received["model"] in ("good-cheap", "good-expensive")
    echoed = reply.events[0]["echoed_fields"] if stream else reply.json["echoed_fields"]
    assert echoed["brand_new_field"] == sent["brand_new_field"], "unknown fields of the answer come back"


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_reaches_the_client_byte_for_byte(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    """What the provider's own client would get is what ours gets, `model` and numbers included."""
    body = {
        "model": "a/good-direct",
        "messages": [{"role": "user", "content": "é 🎈"}],
        "stream": stream,
        "odd": 1.50,
    }
    asked_for_usage = {"stream_options": {"include_usage": True}} if stream else {}
    reply = gateway.post("/v1/chat/completions", body | asked_for_usage)
    served = reply.events if stream else reply.json
    direct = Running(gateway.process, upstream.port, gateway.state, gateway.config, gateway.log).post(
        "/v1/chat/completions", body | {"model": "good-direct"} | asked_for_usage
    )
    expected = direct.events if stream else direct.json
    if stream:
        assert served[-2].pop("farthing")
        for event in (*served[:-1], *expected[:-1]):
            event["id"] = event["created"] = None
    else:
        answers: Any = (served, expected)
        for answer in answers:
            answer["id"] = answer["created"] = None
    assert served == expected


def test_a_client_that_leaves_mid_stream_closes_the_upstream_call_at_once(
    client: OpenAI, gateway: Running, upstream: FaultProvider
) -> None:
    before, calls = len(gateway.receipts()), len(upstream.calls)
    stream = client.chat.completions.create(
        model="a/fault:gap=0.05,n=500", messages=[{"role": "user", "content": "long"}], stream=True
    )
    for number, _ in enumerate(stream):
        if number == 5:
            break
    left_s = time.monotonic()
    stream.close()
    row = gateway.next_receipt(before)
    assert (row.status, row.stop_reason, row.error) == (499, "client_gone", "client_gone")
    assert row.usage is not None and row.usage.estimated
    call = upstream.calls[calls]
    until(lambda: call.aborted)
    assert call.aborted_s is not None and call.aborted_s - left_s < BUSY_S
    assert 3 <= row.usage.output_tokens <= call.tokens_sent + 2


def test_embeddings_and_the_list_of_models(client: OpenAI, gateway: Running) -> None:
    vectors = client.embeddings.create(model="a/text-embedding-good", input=["one", "two"], dimensions=16)
    assert len(vectors.data) == 2 and len(vectors.data[0].embedding) == 16
    assert vectors.usage.prompt_tokens == 2
    floats = client.embeddings.create(model="a/text-embedding-good", input="one", encoding_format="float")
    assert len(floats.data[0].embedding) == 8
    row = gateway.receipts()[-1]
    assert (row.operation, row.status) == ("embeddings", 200)
    assert row.usage is not None and row.usage.input_tokens == 1
    names = [model.id for model in client.models.list()]
    assert {"auto", "cheap", "expensive", "a/good-cheap", "a/good-expensive"} <= set(names)


def test_errors_have_the_classes_that_the_client_expects(client: OpenAI) -> None:
    user: Any = [{"role": "user", "content": "x"}]
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model="auto", messages=user, max_tokens=cast(int, "many"))
    assert bad.value.param == "max_tokens" and bad.value.type == "invalid_request_error"
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="farthing/nowhere", messages=user)
    assert missing.value.code == "model_not_found" and "nowhere" in missing.value.message
    with pytest.raises(openai.NotFoundError):
        client.post("/no/such/path", cast_to=object, body={})
    with pytest.raises(openai.RateLimitError) as busy:
        client.chat.completions.create(model="a/fault:U8", messages=user)
    assert "x-should-retry" not in busy.value.response.headers, "the client waits as it is asked to"
    assert busy.value.response.headers["retry-after"] == "2"
    with pytest.raises(openai.InternalServerError) as down:
        client.chat.completions.create(model="a/fault:U10", messages=user)
    assert down.value.status_code == 500 and "asked for a 500" in down.value.message
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.chat.completions.create(model="a/fault:status=422,code=odd", messages=user)
    assert refused.value.code == "odd", "the provider's own words"


def test_an_error_in_the_middle_of_a_stream_is_raised_by_the_client(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="a/fault:U6-cut", messages=[{"role": "user", "content": "one two three"}], stream=True
    )
    with pytest.raises(openai.APIError) as broken:
        list(stream)
    assert broken.value.code == "stream_broken"


def test_the_async_client_whole_streamed_and_cancelled(gateway: Running, upstream: FaultProvider) -> None:
    async def journey() -> None:
        async with AsyncOpenAI(base_url=gateway.base_url, api_key="any", max_retries=0) as client:
            whole = [
                client.chat.completions.create(model="auto", messages=[{"role": "user", "content": f"q{i}"}])
                for i in range(30)
            ]
            answers = await asyncio.gather(*whole)
            assert [a.choices[0].message.content for a in answers] == [f"echo: q{i}" for i in range(30)]
            said = ""
            async for chunk in await client.chat.completions.create(
                model="auto", messages=[{"role": "user", "content": "a b"}], stream=True
            ):
                said += chunk.choices[0].delta.content or ""
            assert said == "echo: a b"
            before = len(upstream.calls)
            task = asyncio.create_task(
                client.chat.completions.create(
                    model="a/fault:hang", messages=[{"role": "user", "content": "never"}]
                )
            )
            while len(upstream.calls) == before:  # noqa: ASYNC110  # another thread's, and polled by design
                await asyncio.sleep(0.01)
            task.cancel()
            left_s = time.monotonic()
            with pytest.raises(asyncio.CancelledError):
                await task
            call = upstream.calls[before]
            while not call.aborted:
                await asyncio.sleep(0.01)
                assert time.monotonic() - left_s < BUSY_S
            assert call.aborted_s is not None and call.aborted_s - left_s < BUSY_S

    asyncio.run(journey())
