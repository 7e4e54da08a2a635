"""What goes on after a break, and whom is asked."""

from typing import Any

import pytest
from tests.asking import asked

from farthing.brain.route.expression import Expression
from farthing.config import (
    AnthropicProviderConfig,
    AnyProviderConfig,
    BedrockProviderConfig,
    GeminiProviderConfig,
    OpenAIProviderConfig,
    PluginProviderConfig,
    ResponsesProviderConfig,
    Secret,
    loads,
)
from farthing.models.continuing.forms import form_at
from farthing.models.continuing.terms import REFUSED_S, Continuing, is_plain, may_go_on
from farthing.models.providers.translated import conversation_of
from farthing.types import (
    NOTHING_SAID,
    Attempt,
    Endpoint,
    Features,
    Prompt,
    Receipt,
    Request,
    Route,
    Target,
    replace,
)
from farthing.wiring.build import build_continuing

KEY = Secret("K", "k")
USER = {"role": "user", "content": "say"}


def target(name: str, **more: Any) -> Target:
    provider, _, model = name.partition("/")
    return Target(name=name, provider=provider, model=model, **more)


def receipt(*attempts: str, **more: Any) -> Receipt:
    made = [Attempt(target=one, tier="", started_ms=0.0) for one in attempts]
    return Receipt(request_id="r", at_unix_s=0.0, started_s=0.0, attempts=made, **more)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def terms(clock: Clock | None = None, **more: Any) -> Continuing:
    forms = {
        "vllm": form_at("vllm", "127.0.0.1", "/v1", OpenAIProviderConfig(base_url="http://x/v1")),
        "openai": form_at("openai", "api.openai.com", "/v1", OpenAIProviderConfig(base_url="http://x/v1")),
        "anthropic": form_at("anthropic", "api.anthropic.com", "", AnthropicProviderConfig(api_key=KEY)),
    }
    given = {"everywhere": True, "endpoints": {"never": False}, "times_max": 1, "attempts_max": 3}
    return Continuing(**{**given, **more}, forms=forms, clock=clock or Clock())


def prompt(**body: Any) -> Prompt:
    return Prompt(
        body={"model": "m", "messages": [USER], **body},
        input_tokens=10,
        input_tokens_bound=None,
        output_tokens_max=body.get("max_tokens"),
        stream=True,
    )


@pytest.mark.parametrize(
    ("request_", "watched"),
    [
        (asked(stream=True), True),
        (asked(stream=False), False),
        (asked(stream=True, endpoint=Endpoint(name="never")), False),
        (asked(stream=True, body={"model": "m", "n": 2}), False),
        (asked(stream=True, body={"model": "m", "store": True}), False),
        (asked(stream=True, body={"model": "m", "tools": [{"type": "web_search"}]}), False),
    ],
)
def test_an_answer_is_watched_where_it_may_have_to_go_on(request_: Request, watched: bool) -> None:
    assert terms().watches(request_, receipt()) is watched
    assert not terms().watches(request_, receipt(purpose="judge"))


def test_an_endpoint_may_want_it_alone() -> None:
    some = terms(everywhere=False, endpoints={"chat": True})
    assert some.watches(asked(stream=True, endpoint=Endpoint(name="chat")), receipt())
    assert not some.watches(asked(stream=True), receipt())


@pytest.mark.parametrize(
    ("body", "plain"),
    [
        ({}, True),
        ({"response_format": {"type": "text"}, "logprobs": False, "reasoning_effort": "none"}, True),
        ({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"}, True),
        ({"response_format": {"type": "json_object"}}, False),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}}, False),
        ({"logprobs": True}, False),
        ({"modalities": ["text", "audio"], "audio": {"voice": "a", "format": "wav"}}, False),
        ({"modalities": ["text"]}, True),
        ({"web_search_options": {}}, False),
        ({"reasoning_effort": "low"}, False),
        ({"thinking": {"type": "enabled", "budget_tokens": 2_000}}, False),
        ({"thinking": {"type": "adaptive"}}, False),
        ({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"}, False),
        ({"messages": [USER, {"role": "assistant", "content": "It"}]}, False),
    ],
)
def test_only_plain_text_goes_on(body: dict[str, Any], plain: bool) -> None:
    assert is_plain(conversation_of(prompt(**body))) is plain


@pytest.mark.parametrize(
    ("text", "stops", "goes_on"),
    [
        ("so far", (), True),
        ("so far\n", ("\n\n",), False),
        ("so far ##", ("###",), False),
        ("so far #x", ("###",), True),
        (" \n", (), False),
        ("so \ud83d", (), False),
        ("so \ufffd", (), False),
    ],
)
def test_a_text_goes_on_where_it_is_known_to_be_whole(
    text: str, stops: tuple[str, ...], goes_on: bool
) -> None:
    assert may_go_on(text, stops) is goes_on


def test_those_are_asked_that_can_in_the_order_of_the_route_and_the_broken_one_last() -> None:
    names = ("vllm/a", "openai/gpt", "vllm/b", "anthropic/claude-opus-4-8", "anthropic/claude-haiku-4-5")
    targets = tuple(map(target, names))
    route = Route(tier="t", targets=targets, reason="")
    found = terms(attempts_max=9).asked(route, targets[2], receipt(names[2]), "t")
    assert [one.name for one in found] == ["anthropic/claude-haiku-4-5", "vllm/a", "vllm/b"]
    assert len(terms(attempts_max=3).asked(route, targets[2], receipt(*names[:2]), "t")) == 1
    without = receipt(names[2], skipped={"vllm/a": "cannot_say"})
    assert [one.name for one in terms().asked(route, targets[2], without, "t")] == [
        "anthropic/claude-haiku-4-5",
        "vllm/b",
    ]


def test_who_refused_is_not_asked_for_that_tenant_for_a_while() -> None:
    clock = Clock()
    some, one = terms(clock), target("vllm/a")
    route = Route(tier="t", targets=(one,), reason="")
    some.refused("acme", one)
    assert some.asked(route, one, receipt(), "acme") == []
    assert some.asked(route, one, receipt(), "other") == [one]
    clock.now_s = REFUSED_S
    assert some.asked(route, one, receipt(), "acme") == [one]


def test_the_limit_of_output_is_what_is_left_of_it() -> None:
    some, one = terms(), target("anthropic/claude-haiku-4-5")
    made = some.prompt(prompt(max_tokens=20), one, "so far\n", 15)
    assert made is not None
    going_on, blank = made
    assert (going_on.output_tokens_max, going_on.body["max_tokens"]) == (5, 5)
    assert going_on.prefill is not None
    assert (going_on.prefill.text, blank) == ("so far", "\n")
    assert some.prompt(prompt(max_tokens=20), one, "so far", 20) is None
    whole = some.prompt(prompt(), target("vllm/a"), "so far\n", 20)
    assert whole is not None
    assert whole[0].prefill is not None
    assert (whole[0].prefill.text, whole[1], whole[0].output_tokens_max) == ("so far\n", "", None)
    small = replace(one, context_tokens_max=30)
    assert some.prompt(prompt(), small, "so far", 20) is None


CAN, CANNOT = Features(can=frozenset({"prefill"})), Features(cannot=frozenset({"prefill"}))
CLAUDE, GEMINI = AnthropicProviderConfig(api_key=KEY), GeminiProviderConfig(api_key=KEY)
BEDROCK = BedrockProviderConfig(region="eu-west-1")
CHAT = OpenAIProviderConfig(base_url="http://x/v1")


@pytest.mark.parametrize(
    ("name", "host", "path", "config", "model", "features", "form"),
    [
        ("openai", "api.openai.com", "/v1", CHAT, "gpt-5", CAN, None),
        ("own", "llm.corp", "/v1", CHAT, "llama", NOTHING_SAID, None),
        ("own", "llm.corp", "/v1", replace(CHAT, prefill="prefix"), "llama", NOTHING_SAID, "prefix"),
        ("own", "llm.corp", "/v1", replace(CHAT, prefill="last"), "claude-opus-5", NOTHING_SAID, None),
        ("mistral", "api.mistral.ai", "/v1", CHAT, "mistral-large", NOTHING_SAID, "prefix_repeated"),
        ("mistral", "api.mistral.ai", "/v1", CHAT, "mistral-large", CANNOT, None),
        ("mistral", "api.mistral.ai", "/v1", replace(CHAT, prefill="off"), "m", NOTHING_SAID, None),
        ("deepseek", "api.deepseek.com", "/beta", CHAT, "deepseek-chat", NOTHING_SAID, "prefix"),
        ("deepseek", "api.deepseek.com", "/v1", CHAT, "deepseek-chat", CAN, None),
        ("vllm", "127.0.0.1", "/v1", CHAT, "llama", NOTHING_SAID, "continue_final_message"),
        ("sglang", "127.0.0.1", "/v1", CHAT, "llama", NOTHING_SAID, "continue_final_message"),
        ("llama-server", "127.0.0.1", "/v1", CHAT, "llama", NOTHING_SAID, "last"),
        ("router", "openrouter.ai", "/api/v1", CHAT, "openai/gpt-5", NOTHING_SAID, None),
        ("router", "openrouter.ai", "/api/v1", CHAT, "anthropic/claude-sonnet-4.5", NOTHING_SAID, "last"),
        ("router", "openrouter.ai", "/api/v1", CHAT, "deepseek/deepseek-chat", CAN, "last"),
        ("a", "api.anthropic.com", "", CLAUDE, "claude-opus-4-5", NOTHING_SAID, "last"),
        ("a", "api.anthropic.com", "", CLAUDE, "claude-opus-4-6", NOTHING_SAID, None),
        ("a", "api.anthropic.com", "", CLAUDE, "claude-new", CAN, "last"),
        ("a", "glm.corp", "", CLAUDE, "glm-5", NOTHING_SAID, None),
        ("g", "g.corp", "/v1beta", GEMINI, "gemini-2.0-flash", NOTHING_SAID, "last"),
        ("g", "g.corp", "/v1beta", GEMINI, "gemini-2.0-flash", CANNOT, None),
        ("r", "api.openai.com", "/v1", ResponsesProviderConfig(base_url="http://x/v1"), "gpt-5", CAN, None),
        ("p", "x", "/", PluginProviderConfig(base_url="http://x", plugin="p"), "m", CAN, None),
        ("b", "b", "", BEDROCK, "eu.amazon.nova-lite-v1:0", NOTHING_SAID, "last"),
        ("b", "b", "", BEDROCK, "meta.llama3-70b", NOTHING_SAID, None),
        ("b", "b", "", BEDROCK, "us.anthropic.claude-opus-4-6-v1", NOTHING_SAID, None),
    ],
)  # fmt: skip
def test_who_goes_on_is_known(
    name: str,
    host: str,
    path: str,
    config: AnyProviderConfig,
    model: str,
    features: Features,
    form: str | None,
) -> None:
    asked_of = Target(name=f"{name}/{model}", provider=name, model=model, features=features)
    assert form_at(name, host, path, config)(asked_of) == form


@pytest.mark.parametrize(
    ("file", "on"),
    [
        ("", False),
        ("[call]\ncontinue_broken_streams = true", True),
        ("[endpoints.chat]\ncontinue_broken_streams = true", True),
        ("[endpoints.chat]\ncontinue_broken_streams = false", False),
    ],
)
def test_it_is_off_unless_the_file_wants_it(file: str, on: bool) -> None:
    read = loads(file, {}, condition=Expression, secrets=False)
    assert (build_continuing(read) is not None) is on
