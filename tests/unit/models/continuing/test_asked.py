"""What a provider is sent that is to go on with an answer."""

import json
from typing import Any

import pytest

from farthing.config import (
    AnthropicProviderConfig,
    AnyProviderConfig,
    BedrockProviderConfig,
    GeminiProviderConfig,
    OpenAIProviderConfig,
    Secret,
)
from farthing.models.providers.kinds import make
from farthing.models.transport.origin import HttpOrigin
from farthing.types import Dialect, Json, Prefill, PrefillForm, Prompt, Target, edited

KEY = Secret("K", "k")
BEGUN = "It was "
CHAT = OpenAIProviderConfig(base_url="http://x/v1", api_key=KEY)
TURN = {"role": "assistant", "content": BEGUN}


def sent(config: AnyProviderConfig, model: str, form: PrefillForm, dialect: Dialect = "chat") -> Json:
    provider = make("p", HttpOrigin(name="p", host="p", port=443, tls=True), config, path="/v1")
    body = {"model": "m", "messages": [{"role": "user", "content": "Tell"}]}
    prompt = Prompt(
        body=body,
        input_tokens=3,
        input_tokens_bound=None,
        output_tokens_max=None,
        stream=True,
        sent=None if dialect == "chat" else edited(dialect),
        prefill=Prefill(BEGUN.rstrip() if form == "last" else BEGUN, form),
    )
    target = Target(name=f"p/{model}", provider="p", model=model)
    read: Json = json.loads(provider.encode(prompt, target, "chat", "r")[1])
    assert body["messages"] == [{"role": "user", "content": "Tell"}]
    return read


@pytest.mark.parametrize(
    ("form", "last", "fields"),
    [
        ("last", {**TURN, "content": "It was"}, {}),
        ("prefix", {**TURN, "prefix": True}, {}),
        ("prefix_repeated", {**TURN, "prefix": True}, {}),
        ("continue_final_message", TURN, {"continue_final_message": True, "add_generation_prompt": False}),
    ],
)
@pytest.mark.parametrize("dialect", ["chat", "messages", "responses"])
def test_chat_completions(form: PrefillForm, last: Any, fields: Json, dialect: Dialect) -> None:
    body = sent(CHAT, "m", form, dialect)
    assert body["messages"][-1] == last
    assert fields.items() <= body.items()
    assert [one["role"] for one in body["messages"]] == ["user", "assistant"]


@pytest.mark.parametrize("dialect", ["chat", "messages", "responses"])
def test_the_other_dialects_have_a_last_turn_of_the_model(dialect: Dialect) -> None:
    text = [{"text": "It was"}]
    claude = sent(AnthropicProviderConfig(api_key=KEY), "claude-haiku-4-5", "last", dialect)
    assert claude["messages"][-1] == {"role": "assistant", "content": [{"type": "text", **text[0]}]}
    at_bedrock = BedrockProviderConfig(region="eu-west-1", api_key=KEY)
    bedrock = sent(at_bedrock, "us.anthropic.claude-haiku-4-5-20251001-v1:0", "last", dialect)
    assert bedrock["messages"][-1] == claude["messages"][-1]
    gemini = sent(GeminiProviderConfig(api_key=KEY), "gemini-2.0-flash", "last", dialect)
    assert gemini["contents"][-1] == {"role": "model", "parts": text}
    nova = sent(at_bedrock, "amazon.nova-lite-v1:0", "last", dialect)
    assert nova["messages"][-1] == {"role": "assistant", "content": text}
