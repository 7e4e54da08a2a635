"""How many tokens a prompt has for one model: what is chosen by, refused by and held for."""

import base64
import math
import random
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pace import turns

from farthing.brain.compose import compose
from farthing.brain.contract.memory import MemoryContract
from farthing.brain.route.rules import fitting
from farthing.errors import ContractExceeded
from farthing.models.pricing.afford import affordable
from farthing.models.tokens.bpe import ExactCounter
from farthing.models.tokens.chat import count_chat
from farthing.models.tokens.learned import TokenRatios
from farthing.models.tokens.sizes import KEPT_MAX, LearnedSizes
from farthing.text.media import Measure, measure
from farthing.text.media_rules import MediaRules, rules_of
from farthing.types import (
    DEFAULT_ENDPOINT,
    Endpoint,
    Json,
    Price,
    Prompt,
    Request,
    Route,
    Target,
    Tenant,
    Terms,
    Traits,
    Usage,
)

EXACT = ExactCounter()
EXACT.warm("gpt-4o")
PRICE = Price(since="0000-00-00", input_pusd=3_000_000, output_pusd=15_000_000)
TEXT = "What a provider counts for a text is its own affair, and shows in the usage. " * 60
PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 1_000, 1_000)


def target(name: str, window: int | None = None) -> Target:
    provider, _, model = name.partition("/")
    return Target(name=name, provider=provider, model=model, price=PRICE, context_tokens_max=window)


GPT, CLAUDE, OTHER = target("openai/gpt-5"), target("anthropic/claude-sonnet-4-5"), target("x/unheard-of")


def chat(content: Any, **fields: Any) -> Json:
    return {"model": "auto", "messages": [{"role": "user", "content": content}], **fields}


def asked(body: Json, tokens: int = 1_000, media_tokens: int = 0, terms: Terms | None = None) -> Prompt:
    request = Request(
        id="r",
        tenant=Tenant(name="t"),
        endpoint=DEFAULT_ENDPOINT,
        operation="chat",
        model="auto",
        body=body,
        text="",
        prompt_chars=0,
    )
    traits = Traits(input_tokens=tokens, media_tokens=media_tokens)
    return compose(request, traits, Terms(usd_max_nusd=1) if terms is None else terms)


def sizes() -> LearnedSizes:
    return LearnedSizes(TokenRatios(), EXACT)


def taught(by: Target, ratio: float, requests: int = 100) -> LearnedSizes:
    """After a provider has stated `ratio` times our estimates so often."""
    found = sizes()
    for _ in range(requests):
        found.learn(by, asked(chat(TEXT)), Usage(input_tokens=max(1, round(1_000 * ratio))))
    return found


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("openai/gpt-4o", 765),
        ("openai/gpt-4o-mini", 2_833 + 4 * 5_667),
        ("anthropic/claude-sonnet-4-5", 36 * 36),
        ("anthropic/claude-opus-4-7", 36 * 36),
        ("google/gemini-2.5-flash", 4 * 258),
        ("google/gemini-3-pro", 1_120),
    ],
)
def test_an_image_counts_as_its_family_documents_it(name: str, tokens: int) -> None:
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    body = chat([{"type": "image_url", "image_url": {"url": url}}])
    found = sizes().expected(target(name), 765, 765, body)
    assert found.tokens == tokens
    assert found.least <= found.low <= tokens <= found.high
    assert sizes().bound(target(name), asked(body, 765, 765)) < 1.2 * tokens + 500


def test_five_megabytes_of_base64_are_an_image_and_take_no_time() -> None:
    url = "data:image/png;base64," + base64.b64encode(PNG + bytes(4_000_000)).decode()
    body = chat([{"type": "image_url", "image_url": {"url": url}}] * 4)
    counted = sizes().counted(CLAUDE, body, 4 * 765, 4 * 765)
    assert counted.tokens < 4 * 1_400
    assert turns(lambda: sizes().counted(CLAUDE, body, 4 * 765, 4 * 765)) < 50_000


def test_openais_text_is_counted_exactly_and_others_with_an_error_that_shrinks() -> None:
    true = count_chat(EXACT, chat(TEXT), "gpt-5")
    found = sizes().counted(GPT, chat(TEXT), 1_000)
    assert (found.exact, found.tokens, found.least, found.error_share) == (True, true, true, 0.0)
    before = sizes().counted(CLAUDE, chat(TEXT), 1_000)
    learned, chance = sizes(), random.Random(1)
    for _ in range(100):
        prompt = asked(chat(TEXT))
        learned.counted(CLAUDE, prompt.body, 1_000)
        learned.learn(CLAUDE, prompt, Usage(input_tokens=round(true * 1.4 * math.exp(chance.gauss(0, 0.02)))))
    after = learned.counted(CLAUDE, chat(TEXT), 1_000)
    assert after.tokens == pytest.approx(1.4 * true, rel=0.02)
    assert after.error_share < 0.06 < before.error_share
    assert not after.exact and after.least <= before.low < after.low


@pytest.mark.parametrize("ratio", [0.001, 0.1, 10, 1_000, 10**9])
def test_a_provider_that_states_nonsense_makes_no_refusal_and_the_ratio_stays_in_bounds(ratio: float) -> None:
    learned = taught(CLAUDE, ratio, 1_000)
    found, before = learned.expected(CLAUDE, 10_000), sizes().expected(CLAUDE, 10_000)
    assert before.low / 4.1 < found.tokens < before.high * 4.1
    assert found.least <= before.low
    body = chat(TEXT)
    true = count_chat(EXACT, body, "gpt-5")
    assert learned.counted(CLAUDE, body, 1_000).least <= true
    contract = MemoryContract(
        count=lambda request, prompt: learned.counted(CLAUDE, prompt.body, prompt.input_tokens)
    )
    terms = Terms(input_tokens_max=true + 1)
    request = Request(
        id="r",
        tenant=Tenant(name="t"),
        endpoint=Endpoint(name="e", terms=terms),
        operation="chat",
        model="auto",
        body=body,
        text="",
        prompt_chars=len(TEXT),
    )
    contract.reserve(request, asked(body, 1_000, terms=terms))
    with pytest.raises(ContractExceeded, match="input_tokens_max = 20: shorten"):
        low = Terms(input_tokens_max=20)
        contract.reserve(
            Request(
                id="r",
                tenant=Tenant(name="t"),
                endpoint=Endpoint(name="e", terms=low),
                operation="chat",
                model="auto",
                body=body,
                text="",
                prompt_chars=len(TEXT),
            ),
            asked(body, 1_000, terms=low),
        )


@pytest.mark.parametrize("ratio", [0.01, 1, 100])
def test_what_a_provider_states_never_takes_a_target_out_of_a_route(ratio: float) -> None:
    small, large = target("anthropic/claude-sonnet-4-5", 20_000), target("openai/gpt-5", 400_000)
    route = Route(tier="t", targets=(small, large), reason="tier t")
    traits = Traits(input_tokens=10_000)
    found = fitting(route, traits, taught(small, ratio), chat(TEXT))
    assert found.targets == ((large, small) if ratio == 100 else (small, large))
    assert ("anthropic/claude-sonnet-4-5 last: context window below" in found.reason) is (ratio == 100)


def test_a_target_whose_window_is_surely_too_small_is_left_out_and_one_is_always_left() -> None:
    small, large = target("anthropic/claude-sonnet-4-5", 20_000), target("openai/gpt-5", 400_000)
    tight = target("google/gemini-2.5-flash", 29_000)
    route = Route(tier="t", targets=(small, tight, large), reason="tier t")
    found = fitting(route, Traits(input_tokens=30_000), sizes(), None)
    assert found.targets == (large, tight)
    without, last = found.reason.split("; ")[1:]
    assert without.startswith("without anthropic/claude-sonnet-4-5: context window below 2")
    assert last.startswith("google/gemini-2.5-flash last: context window below 3") and last.endswith("%")
    huge = Traits(input_tokens=10_000_000)
    assert fitting(route, huge, sizes(), None) is route
    assert fitting(Route(tier="t", targets=(small,), reason="r"), huge, sizes(), None).targets == (small,)


def test_images_weigh_in_a_window_as_the_family_counts_them() -> None:
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    body = chat([{"type": "image_url", "image_url": {"url": url}}] * 10)
    gemini, mini = target("google/gemini-2.5-flash", 20_000), target("openai/gpt-4o-mini", 128_000)
    route = Route(tier="t", targets=(mini, gemini), reason="tier t")
    found = fitting(route, Traits(input_tokens=7_650, media_tokens=7_650), sizes(), body)
    assert found.targets == (gemini,)


def test_money_is_held_for_what_may_be_counted_not_for_the_bytes_and_the_margin_shrinks() -> None:
    body = chat(TEXT)
    prompt, true = asked(body), count_chat(EXACT, body, "gpt-5")
    assert prompt.input_tokens_bound is not None and prompt.input_tokens_bound > 4 * true
    assert true < sizes().bound(GPT, prompt) < 1.1 * true + 100
    before = sizes().bound(CLAUDE, prompt)
    learned = sizes()
    for _ in range(100):
        again = asked(chat(TEXT))
        learned.counted(CLAUDE, again.body, 1_000)
        learned.learn(CLAUDE, again, Usage(input_tokens=round(1.3 * true)))
    after = learned.bound(CLAUDE, prompt)
    assert 1.3 * true < after < 1.45 * true + 100 < before < prompt.input_tokens_bound
    left_nusd = 3_000 * 2 * true + 15_000 * 100
    refused = affordable(prompt, CLAUDE, left_nusd)[1]
    assert refused is not None and refused > left_nusd
    paid, worst_case = affordable(prompt, CLAUDE, left_nusd, learned.bound)
    assert worst_case is not None and worst_case <= left_nusd
    assert paid.capped_by == "usd_max" and (paid.output_tokens_max or 0) >= 100


@pytest.mark.parametrize("ratio", [1e-9, 1e9])
def test_usage_that_is_nonsense_makes_no_hold_dearer_than_the_bytes_nor_cheaper_than_belief(
    ratio: float,
) -> None:
    body = chat(TEXT)
    prompt, true = asked(body), count_chat(EXACT, body, "gpt-5")
    learned = sizes()
    for _ in range(300):
        learned.counted(CLAUDE, body, 1_000)
        learned.learn(CLAUDE, prompt, Usage(input_tokens=max(1, round(ratio * true))))
    bound = prompt.input_tokens_bound
    assert bound is not None
    worst = affordable(prompt, CLAUDE, 10**6, learned.bound)[1]
    assert worst is not None and worst <= (affordable(prompt, CLAUDE, 10**6)[1] or 0)
    assert learned.bound(CLAUDE, prompt) >= 1.2 * true


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300), st.integers(1, 12), st.sampled_from([GPT, CLAUDE, OTHER]))
def test_the_bound_is_above_the_count_and_the_bound_by_bytes_above_it(
    text: str, times: int, of: Target
) -> None:
    prompt = asked(chat(text * times, tools=[{"type": "function", "function": {"name": "f"}}]))
    true = count_chat(EXACT, prompt.body, of.model)
    assert sizes().bound(of, prompt) >= true - 9


class NotYet(ExactCounter):
    """Its vocabulary is not loaded."""

    def ready(self, model: str) -> bool:
        return False

    def count(self, text: str, model: str) -> int:
        raise AssertionError("nothing waits for a vocabulary")


def test_nothing_waits_for_a_vocabulary() -> None:
    late = LearnedSizes(TokenRatios(), NotYet())
    assert late.counted(GPT, chat(TEXT), 1_000) == late.expected(GPT, 1_000, 0, chat(TEXT))
    prompt = asked(chat(TEXT))
    assert len(TEXT) <= late.bound(GPT, prompt) <= (prompt.input_tokens_bound or 0)


def test_a_long_prompt_is_not_counted() -> None:
    body = chat(TEXT * 20)
    long = LearnedSizes(TokenRatios(), EXACT)
    assert not long.counted(GPT, body, 20_000).exact
    assert turns(lambda: long.counted(GPT, body, 20_000)) < 20_000


def test_counts_are_kept_for_a_moment_and_no_media_with_them() -> None:
    held = sizes()
    for number in range(3 * KEPT_MAX):
        held.counted(CLAUDE, chat(f"{TEXT}{number}"), 1_000)
    held.counted(CLAUDE, chat([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]), 1_105, 1_105)
    assert len(held._kept) == KEPT_MAX


def test_what_nobody_stated_is_taken_from_the_ratio_of_the_target() -> None:
    learned = taught(CLAUDE, 1.5)
    assert learned.expected(CLAUDE, 2_000, 0, chat(TEXT)).tokens == pytest.approx(3_000, rel=0.01)
    assert learned.expected(CLAUDE, 2_000, 0, None, "ru").tokens != 3_000  # another script, another ratio
    assert learned.expected(CLAUDE, 0, 0, chat("")).tokens == 0


def test_an_expectation_costs_some_microseconds() -> None:
    learned, body = taught(CLAUDE, 1.5), chat(TEXT)
    assert turns(lambda: learned.expected(CLAUDE, 2_000, 0, body)) < 5_000


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": TEXT}},
        {"role": "assistant", "content": "so", "reasoning_content": TEXT},
        {"role": "assistant", "content": None, "tool_calls": [{"type": "custom", "custom": {"input": TEXT}}]},
    ],
    ids=["function_call", "reasoning", "custom"],
)
def test_money_is_held_for_every_field_of_a_message(message: Json) -> None:
    sizes = LearnedSizes(TokenRatios(), EXACT)
    plain = sizes.bound(GPT, asked(chat(TEXT)))
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}, message]}
    assert sizes.bound(GPT, asked(body)) > 0.9 * plain


@pytest.mark.parametrize("field", ["tools", "functions", "response_format"])
def test_no_count_is_exact_where_a_provider_renders_a_schema(field: str) -> None:
    sizes = LearnedSizes(TokenRatios(), EXACT)
    assert sizes.counted(GPT, chat("hi"), 10).exact
    assert not sizes.counted(GPT, chat("hi", **{field: [{"name": "f"}]}), 10).exact


def test_what_looks_like_data_where_text_stands_is_text_and_too_long_to_count() -> None:
    sizes = LearnedSizes(TokenRatios(), EXACT)
    body = chat("hi")
    body["messages"][0]["name"] = "data:x;base64," + "a" * 2_000_000
    assert sizes.least([GPT], body, 500_000).tokens > 100_000, "by the estimate, not by the vocabulary"


def test_the_least_is_that_of_the_target_that_counts_the_fewest() -> None:
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    for media, body in [
        (0, chat(TEXT)),
        (765, chat([{"type": "text", "text": TEXT}, {"type": "image_url", "image_url": {"url": url}}])),
    ]:
        targets = [CLAUDE, target("openai/gpt-4o-mini"), GPT, OTHER]
        alone = [sizes().counted(one, body, 1_100 + media, media) for one in targets]
        assert len({one.least for one in alone}) > 1
        found = sizes().least(targets, body, 1_100 + media, media)
        assert found == min(alone, key=lambda one: one.least)
        assert found == sizes().least(targets[::-1], body, 1_100 + media, media)


def test_the_body_is_measured_once_for_each_family(monkeypatch: pytest.MonkeyPatch) -> None:
    families: list[str] = []

    def measured(body: Json, rules: MediaRules) -> Measure:
        families.append(rules.family)
        return measure(body, rules)

    monkeypatch.setattr("farthing.models.tokens.sizes.measure", measured)
    targets = [CLAUDE, GPT, target("bedrock/claude-sonnet-4-5"), target("azure/gpt-5"), GPT, CLAUDE]
    sizes().least(targets, chat(TEXT), 1_100)
    assert sorted(families) == sorted({rules_of(CLAUDE.model).family, rules_of(GPT.model).family})
