"""Each provider of OpenAI's form by its own documentation: what goes up to it, and what its answers, streams
and refusals mean. The shapes are files of `tests/golden/providers`; `source` in them says where they are
from."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from farthing.config import OpenAIProviderConfig, Secret
from farthing.dialects.chat.requests.fitting import NO_QUIRKS
from farthing.errors import ProviderRejected
from farthing.models.discovery.quirks import known_quirks, quirks_of
from farthing.models.providers.openai.provider import OpenAIProvider
from farthing.protocols import ALL_SAID
from farthing.types import Json, Prompt, Target, Usage
from farthing.wiring.providers import build_provider

FILES = sorted((Path(__file__).parents[3] / "golden" / "providers").glob("*.json"))
TEXT = "A farthing is a quarter of a penny."
TOOL = {
    "type": "function",
    "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}},
}
ASKED: Json = {
    "model": "auto",
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "name": "ada", "content": "What is a farthing?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_abcdefghijklmnop",
                    "type": "function",
                    "function": {"name": "look_up", "arguments": "{}"},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_abcdefghijklmnop", "content": "a coin"},
    ],
    "tools": [TOOL],
    "tool_choice": "auto",
    "max_completion_tokens": 500,
    "temperature": 1,
    "seed": 7,
    "user": "ada",
    "store": True,
    "n": 1,
    "logprobs": False,
    "parallel_tool_calls": True,
    "stream_options": {"include_usage": True},
}
"""What a client of OpenAI may send; the target is chosen for it."""
ESSENTIAL: Json = {
    "n": 2,
    "logprobs": True,
    "logit_bias": {"50": -100},
    "stop": ["\n\n"],
    "presence_penalty": 0.5,
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
}


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def shape(request: pytest.FixtureRequest) -> Json:
    found: Json = json.loads(request.param.read_text())
    return found


def provider_of(shape: Json) -> OpenAIProvider:
    config = OpenAIProviderConfig(
        base_url=shape["base_url"], api_key=Secret("KEY", "sk-0123456789"), **shape["config"]
    )
    built = build_provider(shape["provider"], config, {})
    assert isinstance(built, OpenAIProvider)
    return built


def target_of(shape: Json) -> Target:
    name = shape["provider"]
    return Target(name=f"{name}/{shape['model']}", provider=name, model=shape["model"])


def prompt_of(body: Json, stream: bool = False) -> Prompt:
    return Prompt(body=body, input_tokens=61, input_tokens_bound=None, output_tokens_max=500, stream=stream)


def sent(shape: Json, body: Json, stream: bool = False) -> tuple[str, Json]:
    head, raw = provider_of(shape).encode(prompt_of(body, stream), target_of(shape), "chat", "req_1")
    found: Json = json.loads(raw)
    return head.decode().partition("\r\n")[0], found


def test_a_request_whose_target_was_chosen_fits_its_provider(shape: Json) -> None:
    line, body = sent(shape, ASKED, stream=True)
    assert line.endswith(f"{shape['path']} HTTP/1.1")
    assert body == shape["sent"]
    unsaid = provider_of(shape).unsaid(prompt_of(ASKED), target_of(shape), "chat")
    assert not unsaid.names and list(unsaid.gave_way) == shape["left_out"]


def test_nothing_is_lost_on_the_way_that_is_not_named(shape: Json) -> None:
    body, told = shape["sent"], shape["left_out"]
    renamed = {"seed": "random_seed", "max_completion_tokens": "max_tokens"}
    for name, value in ASKED.items():
        kept = name in body or renamed.get(name) in body
        neutral = value in (1, False, True, "auto", {"include_usage": True}) and name not in ("store", "seed")
        assert kept or name in told or neutral, name


def test_a_request_for_a_model_that_its_client_named_goes_up_as_it_was_written(shape: Json) -> None:
    for named in (shape["model"], f"{shape['provider']}/{shape['model']}"):
        asked = {**ASKED, **ESSENTIAL, "model": named}
        assert sent(shape, asked)[1] == {**asked, "model": shape["model"]}
        assert provider_of(shape).unsaid(prompt_of(asked), target_of(shape), "chat") is ALL_SAID


def test_what_a_provider_lacks_is_known_by_name_before_the_call(shape: Json) -> None:
    lacked = [
        name
        for name, value in ESSENTIAL.items()
        if name
        in provider_of(shape).unsaid(prompt_of({**ASKED, name: value}), target_of(shape), "chat").names
    ]
    assert set(lacked) >= set(shape["refuses"])
    assert shape["refuses"] or not lacked


def test_its_answer_is_read(shape: Json) -> None:
    reply = provider_of(shape).whole({}, json.dumps(shape["answer"]).encode())
    assert reply.text == TEXT and reply.finish_reason == "stop"
    check(reply.usage, shape["usage"])


def test_its_stream_is_read_wherever_it_is_cut(shape: Json) -> None:
    wire = b"".join(b"data: %b\n\n" % event.encode() for event in shape["stream"])
    for size in (len(wire), 1, 7):
        decoder = provider_of(shape).decoder(65_536)
        out = b"".join(decoder.feed(wire[at : at + size]) for at in range(0, len(wire), size))
        assert decoder.done and decoder.finish_reason == "stop"
        assert b"A farthing is" in out and b"quarter of a penny." in out
        check(decoder.usage, shape["usage"])


def check(usage: Usage | None, told: dict[str, Any]) -> None:
    assert usage is not None and not usage.estimated
    assert (usage.input_tokens, usage.output_tokens) == (told["input"], told["output"])
    assert (usage.cached_tokens, usage.reasoning_tokens) == (told.get("cached", 0), told.get("reasoning", 0))
    if "told_usd" in told:
        assert usage.told_nusd == int(Decimal(told["told_usd"]) * 10**9)


def test_its_refusal_is_told_in_its_own_words_and_teaches_what_it_names(shape: Json) -> None:
    provider, target = provider_of(shape), target_of(shape)
    error = provider.failure(shape["error"]["status"], {}, json.dumps(shape["error"]["body"]).encode())
    assert isinstance(error, ProviderRejected) and error.upstream_status == shape["error"]["status"]
    body = {**{name: value for name, value in ASKED.items() if name != "max_completion_tokens"}}
    body |= {"max_tokens": 500, "temperature": 0.2}
    prompt = prompt_of(body)
    provider.learn(prompt, target, error)
    now = json.loads(provider.encode(prompt, target, "chat", "req_2")[1])
    if shape["teaches"] is None:
        assert now == sent(shape, body)[1]
        return
    field, instead = shape["teaches"]
    assert field not in now and (instead is None or now[instead] == 500)


def test_every_host_with_quirks_has_its_shapes() -> None:
    shapes = [json.loads(file.read_text()) for file in FILES]
    having = {id(quirks_of(one["provider"], host_of(one))) for one in shapes}
    assert {id(one) for one in known_quirks().values()} <= having
    assert len(shapes) == 17


def test_a_host_below_or_beside_a_known_one_has_its_quirks() -> None:
    assert quirks_of("mine", "eu.api.mistral.ai") is quirks_of("mistral", "api.mistral.ai")
    assert quirks_of("mistral", "proxy.example") is NO_QUIRKS
    assert quirks_of("ollama", "10.0.0.7") is known_quirks()["ollama"]


def host_of(shape: Json) -> str:
    return str(shape["base_url"].split("/")[2].partition(":")[0])
