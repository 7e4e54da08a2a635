"""What is Anthropic's own beside what every provider promises (tests/contract/test_provider.py)."""

import json
import sys
from decimal import Decimal
from typing import Any

import pytest
from tests.contract.test_provider import ANTHROPIC, KEY, encoded, message, messages_stream, prompt

from farthing.config import AnthropicProviderConfig, Secret
from farthing.dialects.chat.answers.completion import assemble
from farthing.models.pricing.catalogue import Catalogue, price_on
from farthing.models.pricing.cost import cost_nusd
from farthing.models.providers.kinds import make
from farthing.models.transport.origin import HttpOrigin
from farthing.protocols import Provider
from farthing.types import Json, Prompt, Target, replace

PROVIDER = ANTHROPIC.provider
THOUGHT = {"type": "thinking", "thinking": "A penny is four.", "signature": "c2lnbmVk+/=="}


def made(path: str = "", **settings: Any) -> Provider:
    config = AnthropicProviderConfig(
        base_url=f"https://api.example{path}", **{"api_key": Secret("KEY", KEY), **settings}
    )
    return make("a", HttpOrigin("a", "api.example", 443, True), config, path=path)


def up(asked: Prompt, model: str = "claude-haiku-4-5", provider: Provider = PROVIDER) -> Json:
    target = Target(name=f"a/{model}", provider="a", model=model)
    body: Json = json.loads(provider.encode(asked, target, "chat", "req-1")[1])
    return body


@pytest.mark.parametrize("path", ["", "/v1", "/proxy", "/proxy/v1"])
def test_the_base_url_may_end_in_the_version_or_not(path: str) -> None:
    head, _ = encoded(made(path), prompt())
    assert head.startswith(f"POST {path.removesuffix('/v1')}/v1/messages HTTP/1.1\r\n".encode())


def test_the_version_is_sent_once_and_is_the_configurations() -> None:
    passed = (("anthropic-version", "2020-01-01"),)
    for provider in (
        made(version="2030-01-01"),
        made(headers={"Anthropic-Version": "2030-01-01"}),
    ):
        head, _ = encoded(provider, prompt(), passed=passed)
        assert head.count(b"anthropic-version: ") == 1 and b"anthropic-version: 2030-01-01\r\n" in head


@pytest.mark.parametrize(
    ("auth", "line"),
    [("x-api-key", f"x-api-key: {KEY}"), ("bearer", f"authorization: Bearer {KEY}"), ("none", "")],
)
def test_the_key_goes_where_it_is_to_go(auth: str, line: str) -> None:
    settings: dict[str, Any] = {"auth": auth, **({"api_key": None} if auth == "none" else {})}
    head, _ = encoded(made(**settings), prompt())
    assert (line in head.decode().split("\r\n")) if line else (KEY.encode() not in head)


def test_a_cap_of_the_endpoint_is_the_cap_that_goes_up_and_thinking_fits_below_it() -> None:
    capped = replace(
        prompt(max_tokens=20_000, reasoning_effort="high"),
        output_tokens_max=3_000,
        capped_by="output_tokens_max",
    )
    body = up(capped)
    assert body["max_tokens"] == 3_000
    assert body.get("thinking", {}).get("budget_tokens", 0) < 3_000


def test_marks_of_the_prompt_cache_go_up_as_they_came() -> None:
    mark = {"type": "ephemeral", "ttl": "1h", "later": [1, {"b": 2}]}
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "Long.", "cache_control": mark}]},
        {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": mark}]},
    ]
    body = up(prompt(messages=messages))
    assert body["system"][0]["cache_control"] == mark
    assert body["messages"][0]["content"][0]["cache_control"] == mark


def test_thinking_with_its_signature_survives_a_turn() -> None:
    text = {"type": "text", "text": "Four farthings."}
    use = {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"year": 1860}}
    whole = PROVIDER.whole({}, json.dumps(message([THOUGHT, text, use], "tool_use")).encode())
    told = json.loads(whole.body)["choices"][0]["message"]
    assert told["reasoning_content"] == THOUGHT["thinking"]
    deltas: list[tuple[Json, list[Json]]] = [
        ({"type": "thinking", "thinking": "", "signature": ""}, [
            {"type": "thinking_delta", "thinking": THOUGHT["thinking"]},
            {"type": "signature_delta", "signature": THOUGHT["signature"]},
        ]),
        ({"type": "text", "text": ""}, [{"type": "text_delta", "text": text["text"]}]),
        ({**use, "input": {}}, [{"type": "input_json_delta", "partial_json": '{"year":1860}'}]),
    ]  # fmt: skip
    decoder = PROVIDER.decoder(65_536)
    events = decoder.feed(messages_stream(*deltas, stop="tool_use"))
    streamed = assemble([events], None)["choices"][0]["message"]
    for answer in (told, streamed):
        asked = prompt(
            messages=[
                {"role": "user", "content": "How many to a penny?"},
                answer,
                {"role": "tool", "tool_call_id": "toolu_1", "content": "4"},
            ],
            tools=[{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}],
            thinking={"type": "enabled", "budget_tokens": 2_000},
        )
        body = up(asked)
        assert body["messages"][1]["content"] == [THOUGHT, text, use]
        assert body["messages"][2]["content"][0]["tool_use_id"] == "toolu_1"


def test_a_client_of_legacy_functions_gets_a_function_call() -> None:
    asked = prompt(functions=[{"name": "look_up", "parameters": {"type": "object"}}])
    use = {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"year": 1860}}
    whole = PROVIDER.whole({}, json.dumps(message([use], "tool_use")).encode(), asked)
    choice = json.loads(whole.body)["choices"][0]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"]["name"] == "look_up"
    stream = messages_stream(
        ({**use, "input": {}}, [{"type": "input_json_delta", "partial_json": '{"year":1860}'}]),
        stop="tool_use",
    )
    decoder = PROVIDER.decoder(65_536, asked)
    told = assemble([decoder.feed(stream)], None)["choices"][0]["message"]
    assert json.loads(told["function_call"]["arguments"]) == {"year": 1860}


def test_reads_and_writes_of_the_prompt_cache_cost_what_the_price_list_says() -> None:
    model = Catalogue.load().find("anthropic", "claude-haiku-4-5")
    assert model is not None
    price = price_on(model)
    for usage in (PROVIDER.whole({}, ANTHROPIC.whole).usage, ANTHROPIC.usage):
        assert usage is not None
        per_million = {"fresh": "1", "read": "0.1", "write_5m": "1.25", "write_1h": "2", "output": "5"}
        tokens = {"fresh": 5, "read": 100, "write_5m": 10, "write_1h": 5, "output": 9}
        usd = sum(Decimal(per_million[name]) * tokens[name] for name in tokens) / 1_000_000
        assert cost_nusd(price, usage) == int(usd * 1_000_000_000) == 82_500


def test_what_it_may_leave_out_is_only_what_changes_no_answer_s_meaning() -> None:
    config = AnthropicProviderConfig()
    refused = {"n", "logprobs", "logit_bias", "response_format", "tools", "web_search_options", "stop"}
    assert refused.isdisjoint(config.drop)
    target = Target(name="a/claude-opus-5", provider="a", model="claude-opus-5")
    asked = prompt(n=2, seed=1, temperature=0.1, store=True)
    unsaid = PROVIDER.unsaid(asked, target, "chat").names
    assert set(unsaid) - set(config.drop) == {"n"}


def test_a_refused_request_in_the_middle_of_a_stream_is_told_by_its_kind() -> None:
    for kind, status in (("overloaded_error", 529), ("rate_limit_error", 429), ("api_error", 500)):
        payload = json.dumps({"type": "error", "error": {"type": kind, "message": "no"}}).encode()
        assert PROVIDER.in_answer(payload).upstream_status == status


def test_what_was_sent_is_not_kept() -> None:
    asked = prompt()
    target = Target(name="a/m", provider="a", model="m")
    PROVIDER.unsaid(asked, target, "chat")
    held = sys.getrefcount(asked)
    PROVIDER.encode(asked, target, "chat", "req-1")
    assert sys.getrefcount(asked) == held - 1
