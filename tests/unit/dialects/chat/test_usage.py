"""Usage objects as providers send them, and what they cost to the last nano-dollar."""

import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pace import turns

from farthing import config
from farthing.config import OpenAIProviderConfig
from farthing.dialects.chat.answers.shown import answer_chars, fees_shown
from farthing.dialects.chat.streams.event_reader import EventReader
from farthing.dialects.chat.usage import UNSAID, UsageForm, read_usage, states_nought
from farthing.errors import ConfigError
from farthing.models.discovery.presets import usage_form
from farthing.models.pricing.catalogue import Catalogue
from farthing.models.pricing.cost import baseline_nusd, cost_nusd, unpriced, worst_case_nusd
from farthing.models.providers.openai.provider import OpenAIProvider
from farthing.models.transport.origin import HttpOrigin
from farthing.types import Price, Usage

ADDED = UsageForm(reasoning="added")
INSIDE = UsageForm(reasoning="inside")
NOWHERE = "127.0.0.1"
PROVIDER = OpenAIProvider(
    "p",
    HttpOrigin("p", NOWHERE, 1, False),
    OpenAIProviderConfig(base_url="http://127.0.0.1:1", auth="none"),
    path="",
)


def priced(provider: str, prices: str) -> Price:
    """The price that `prices`, keys of `[[prices]]`, come to."""
    text = (
        f'[providers.{provider}]\nbase_url = "http://127.0.0.1:1/v1"\n'
        f'[tiers.cheap]\ntargets = ["{provider}/m"]\n[tiers.expensive]\ntargets = ["{provider}/m"]\n'
        f'[[prices]]\ntarget = "{provider}/m"\n{prices}\n'
    )
    loaded = config.loads(text, {})
    price = Catalogue("test", {}).with_overrides(loaded.prices).price(provider, "m")
    assert price is not None
    return price


def booked(provider: str, prices: str, usage: Any, tier: str | None = None) -> Decimal | None:
    """US dollars that are booked for an answer of `provider` with this usage."""
    raw = usage if isinstance(usage, bytes) else json.dumps(usage).encode()
    read = read_usage(raw, usage_form(provider, NOWHERE), service_tier=tier)
    assert read is not None
    nusd = cost_nusd(priced(provider, prices), read) if read.told_nusd is None else read.told_nusd
    return None if nusd is None else Decimal(nusd) / 10**9


def counts(prompt: int, completion: int, total: int | None = None, **more: Any) -> dict[str, Any]:
    total = prompt + completion if total is None else total
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total, **more}


IN_OUT = "input = 1\noutput = 10"
WRITES = "input = 4\noutput = 20\ncached_input = 0.4\n"

COSTS = [
    # what was read from the provider's cache is inside the prompt, under any of its names
    ("openai", "input = 2\noutput = 8\ncached_input = 0.5",
     counts(2000, 300, prompt_tokens_details={"cached_tokens": 1800}), None, "0.0037"),
    ("deepseek", "input = 1\noutput = 2\ncached_input = 0.02",
     counts(10000, 100, prompt_cache_hit_tokens=8000, prompt_cache_miss_tokens=2000), None, "0.00236"),
    ("moonshot", "input = 1\noutput = 2\ncached_input = 0.1", counts(19, 13, cached_tokens=12), None,
     "0.0000342"),
    ("openai", "input = 2\noutput = 8", counts(1000, 1, prompt_tokens_details={"cached_tokens": 900}), None,
     "0.002008"),
    # what was written to it: by its life, and never as plain input
    ("openai", WRITES + "cache_write_30m = 5",
     counts(1000, 10, prompt_tokens_details={"cached_tokens": 200, "cache_write_tokens": 700}), None,
      "0.00418"),
    ("openai", WRITES + "cache_write_30m = 5\ncache_write_12h = 10",
     counts(3000, 100, prompt_tokens_details={
         "cached_tokens": 2000, "cache_write_tokens": 600,
         "cache_write_tokens_details": {"ttl_30m_tokens": 200, "ttl_12h_tokens": 400}}), None, "0.0094"),
    ("proxy", WRITES + "cache_write_5m = 5",
     counts(10032, 10, cache_creation_input_tokens=10017, cache_read_input_tokens=0), None, "0.050345"),
    ("proxy", WRITES + "cache_write_5m = 5\ncache_write_1h = 8",
     counts(2000, 100, prompt_tokens_details={"cached_tokens": 0, "cache_creation_tokens": 1000,
            "cache_creation_token_details": {"ephemeral_5m_input_tokens": 600,
                                             "ephemeral_1h_input_tokens": 400}}), None, "0.0122"),
    ("dashscope", WRITES + "cache_write_5m = 5",
     counts(2000, 100, prompt_tokens_details={
         "cached_tokens": 0, "cache_creation_input_tokens": 1000, "cache_type": "ephemeral",
         "cache_creation": {"ephemeral_5m_input_tokens": 1000}}), None, "0.011"),
    ("dashscope", WRITES + "cache_write_5m = 5",
     counts(2000, 100, prompt_tokens_details={"cached_tokens": 0, "cache_creation_input_tokens": 1000}), None,
     "0.011"),
    ("new-api", WRITES + "cache_write_5m = 5",
     counts(2000, 100, prompt_tokens_details={"cached_tokens": 0, "cached_creation_tokens": 1000}), None,
     "0.011"),
    ("new-api", WRITES + "cache_write_5m = 5\ncache_write_1h = 8",
     counts(2000, 100, prompt_tokens_details={"cached_tokens": 0, "cached_creation_tokens": 1000},
            claude_cache_creation_5_m_tokens=600, claude_cache_creation_1_h_tokens=400), None, "0.0122"),
    # what is beside the prompt in the total is not output
    ("proxy", WRITES, counts(10, 5, 1015, prompt_tokens_details={"cached_tokens": 1000}), None, "0.00054"),
    ("proxy", WRITES, counts(2000, 5, 3005, prompt_tokens_details={"cached_tokens": 1000}), None, "0.0085"),
    # a proxy that keeps Anthropic's counting, where the prompt leaves the cache out
    ("proxy", WRITES + "cache_write_5m = 5",
     counts(10, 100, cache_read_input_tokens=8000, cache_creation_input_tokens=2000), None, "0.01524"),
    ("proxy", WRITES + "cache_write_5m = 5",
     counts(9000, 100, 9300, cache_read_input_tokens=200, cache_creation_input_tokens=0), None, "0.03808"),
    ("openai", WRITES, counts(1000, 10, prompt_tokens_details={"cache_write_tokens": 700}), None, None),
    # reasoning: inside, or added
    ("openai", IN_OUT, counts(100, 500, completion_tokens_details={"reasoning_tokens": 400}), None, "0.0051"),
    ("openai", IN_OUT, counts(100, 500, 650, completion_tokens_details={"reasoning_tokens": 400}), None,
     "0.0051"),
    ("openai", IN_OUT, counts(100, 150, completion_tokens_details={
        "accepted_prediction_tokens": 60, "rejected_prediction_tokens": 50}), None, "0.0016"),
    ("xai", "input = 1\noutput = 5\ncached_input = 0.2",
     counts(1000, 100, 1300, prompt_tokens_details={"cached_tokens": 400},
            completion_tokens_details={"reasoning_tokens": 200}), None, "0.00218"),
    ("xai", IN_OUT, {"prompt_tokens": 32, "completion_tokens": 9,
                     "completion_tokens_details": {"reasoning_tokens": 94}}, None, "0.001062"),
    ("gemini", IN_OUT, counts(21, 0, 81), None, "0.000621"),
    ("gemini", IN_OUT, counts(21, 5, 81), None, "0.000621"),
    ("unheard-of", IN_OUT, counts(21, 5, 81), None, "0.000621"),
    ("unheard-of", IN_OUT, counts(32, 9, completion_tokens_details={"reasoning_tokens": 94}), None,
     "0.001062"),
    # audio and images have prices of their own, else that of text
    ("openai", "input = 2\ninput_audio = 30\noutput = 10\noutput_audio = 60",
     counts(1000, 500, prompt_tokens_details={"text_tokens": 400, "audio_tokens": 600, "cached_tokens": 0},
            completion_tokens_details={"text_tokens": 100, "audio_tokens": 400}), None, "0.0438"),
    ("openai", "input = 2\noutput = 10", counts(1000, 10, prompt_tokens_details={"audio_tokens": 600}), None,
     "0.0021"),
    ("openai", "input = 5\ninput_image = 8\noutput = 10\noutput_image = 30",
     counts(1000, 500, prompt_tokens_details={"image_tokens": 800},
            completion_tokens_details={"image_tokens": 500}), None, "0.0224"),
    # the tier that ran
    ("openai", IN_OUT + "\npriority = { input = 2, output = 20 }", counts(1000, 200), "default", "0.003"),
    ("openai", IN_OUT + "\ncached_input = 0.1\npriority = { input = 2, output = 20, cached_input = 0.2 }",
     counts(1000, 200, prompt_tokens_details={"cached_tokens": 500}), "priority", "0.0051"),
    ("openai", IN_OUT + "\ntiers.priority = { input = 2, output = 20 }", counts(1000, 200), "fast", "0.006"),
    ("openai", IN_OUT + "\nflex_factor = 0.5", counts(1000, 200), "flex", "0.0015"),
    ("openai", IN_OUT + "\nbatch_input = 0.5\nbatch_output = 5", counts(1000, 200), "batch", "0.0015"),
    ("openai", IN_OUT, counts(1000, 200), "priority", None),
    ("openai", IN_OUT, counts(1000, 200), "auto", "0.003"),
    ("proxy", IN_OUT + "\nfast_factor = 2", counts(1000, 200, speed="fast"), None, "0.006"),
    ("proxy", IN_OUT + "\nfast_factor = 2", counts(1000, 200, speed="standard"), None, "0.003"),
    ("proxy", IN_OUT + "\ninference_geo_us_factor = 1.1", counts(1000, 200, inference_geo="us"), None,
     "0.0033"),
    ("proxy", IN_OUT, counts(1000, 200, inference_geo="us"), None, None),
    ("proxy", IN_OUT, counts(1000, 200, inference_geo="global"), None, "0.003"),
    # long prompts, the cached part counted in; at the limit the normal price holds
    ("openai", "input = 2\noutput = 10\ncached_input = 0.2\n"
               "above_272000_input = { input = 4, output = 15, cached_input = 0.4 }",
     counts(300000, 1000, prompt_tokens_details={"cached_tokens": 100000}), None, "0.855"),
    ("openai", "input = 1\noutput = 10\nabove.200000 = { input = 2, output = 15 }", counts(200000, 100), None,
     "0.201"),
    ("openai", "input = 1\noutput = 10\nabove_200000_input = { input = 2, output = 15 }", counts(200001,
     100), None,
     "0.401502"),
    ("openai", "input = 1\noutput = 1\nabove_100_input = { input = 2, output = 2 }\n"
               "above_1000_input = { input = 3, output = 3 }", counts(1001, 1), None, "0.003006"),
    # fees by the use
    ("proxy", "input = 4\noutput = 20\nweb_search_per_1000 = 10",
     counts(100, 100, server_tool_use={"web_search_requests": 3, "web_fetch_requests": 5}), None, "0.0324"),
    ("proxy", "input = 4\noutput = 20\nweb_search_per_1000 = 10\nfast_factor = 2",
     counts(100, 100, speed="fast", server_tool_use={"web_search_requests": 3}), None, "0.0348"),
    ("proxy", "input = 4\noutput = 20", counts(100, 100, server_tool_use={"web_search_requests": 3}), None,
     None),
    ("proxy", "input = 4\noutput = 20", counts(100, 100, num_search_queries=2), None, None),
    # the provider's own word, where it is taken
    ("openrouter", IN_OUT, counts(1000, 100, cost=0.0123, is_byok=False,
                                  cost_details={"upstream_inference_cost": 0.011}), None, "0.0123"),
    ("openrouter", IN_OUT, counts(10, 5, cost=0.0042), None, "0.0042"),
    ("openrouter", IN_OUT, counts(10, 5, cost="0.0042"), None, "0.0042"),
    ("openrouter", IN_OUT, counts(1000, 100, cost=0.0005, is_byok=True,
                                  cost_details={"upstream_inference_cost": 0.01}), None, "0.0105"),
    ("openrouter", IN_OUT, counts(1000, 100, cost=0, cost_details={"upstream_inference_cost": 0.01}), None,
     "0.01"),
    ("openrouter", IN_OUT, counts(1000, 100, cost=0.0005, is_byok=True), None, "0.002"),
    ("openrouter", IN_OUT, counts(1000, 100, cost=-1), None, "0.002"),
    ("openrouter", IN_OUT, counts(1000, 100, cost=math.nan), None, "0.002"),
    ("openrouter", IN_OUT, counts(1000, 100, cost=1e300), None, "0.002"),
    ("openai", IN_OUT, counts(1000, 100, cost=0.0123), None, "0.002"),
    ("xai", IN_OUT, counts(1000, 100, cost_in_usd_ticks=123_456_789), None, "0.012345679"),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "prices", "usage", "tier", "usd"), COSTS)
def test_an_answer_costs_what_its_usage_says_to_the_last_digit(
    provider: str, prices: str, usage: Any, tier: str | None, usd: str | None
) -> None:
    assert booked(provider, prices, usage, tier) == (None if usd is None else Decimal(usd))


@pytest.mark.parametrize(
    ("raw", "tokens"),
    [
        (b'{"prompt_tokens":"10","completion_tokens":"5"}', (10, 5, False)),
        (b'{"prompt_tokens":10.0,"completion_tokens":5.0}', (10, 5, False)),
        (b'{"prompt_tokens":10.5,"completion_tokens":5}', (11, 5, False)),
        (b'{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":[]}', (10, 5, False)),
        (b'{"prompt_tokens":10,"completion_tokens":5,"completion_tokens_details":""}', (10, 5, False)),
        (b'{"prompt_tokens":10,"completion_tokens":5,"x":NaN,"y":"\\ud83d"}', (10, 5, False)),
        (b'{"input_tokens":10,"output_tokens":5}', (10, 5, False)),
        (b'{"prompt_tokens":null,"completion_tokens":5,"total_tokens":15}', (10, 5, False)),
        (b'{"prompt_tokens":10,"completion_tokens":null,"total_tokens":15}', (10, 5, False)),
        (b'{"prompt_tokens":10,"completion_tokens":0,"total_tokens":10}', (10, 0, False)),
        (b'{"prompt_tokens":10,"completion_tokens":null,"total_tokens":null}', (10, 0, True)),
        (b'{"prompt_tokens":10,"completion_tokens":0}', (10, 0, True)),
        (b'{"prompt_tokens":10}', (10, 0, True)),
        (b'{"prompt_tokens":0,"completion_tokens":5,"total_tokens":5}', (0, 5, True)),
        (b'{"prompt_tokens":-3,"completion_tokens":5}', (0, 5, True)),
        (b'{"prompt_tokens":true,"completion_tokens":5}', (0, 5, True)),
        (b'{"prompt_tokens":1e300,"completion_tokens":5}', (0, 5, True)),
    ],
)
def test_counts_are_read_whatever_their_type_and_what_is_missing_is_marked(
    raw: bytes, tokens: tuple[int, int, bool]
) -> None:
    read = read_usage(raw)
    assert read is not None
    assert (read.input_tokens, read.output_tokens, read.estimated) == tokens


@pytest.mark.parametrize(
    "raw",
    [
        b"null", b"[]", b'""', b'"x"', b"0", b"{}", b"", b"{", b"\xff", b"[" * 100_000,
        b'{"cost_details":' + b"[" * 100_000,
         b'{"prompt_tokens":null}',
        b'{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}', b'{"prompt_tokens":"many"}',
    ],
)  # fmt: skip
def test_what_counts_nothing_is_no_usage(raw: bytes) -> None:
    assert read_usage(raw) is None


def test_embeddings_have_no_output_and_nought_is_no_count_of_theirs() -> None:
    read = read_usage(b'{"prompt_tokens":7,"total_tokens":7}', operation="embeddings")
    assert read == Usage(input_tokens=7)
    assert read_usage(b'{"prompt_tokens":0,"total_tokens":0}', operation="embeddings") is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("10"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
DETAILS = ("cached_tokens", "audio_tokens", "image_tokens", "cache_write_tokens", "reasoning_tokens")
NAMES = (
    "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "cache_read_input_tokens",
    "cache_creation_input_tokens", "cost", "is_byok", "cost_in_usd_ticks", "service_tier", "speed",
    "inference_geo", "num_search_queries",
)  # fmt: skip
TABLES = (
    "prompt_tokens_details", "completion_tokens_details", "cost_details", "server_tool_use", "cache_creation",
)  # fmt: skip


@pytest.mark.slow
@given(
    st.fixed_dictionaries(
        {},
        optional={
            **{name: json_values | st.integers(0, 10_000) for name in NAMES},
            **{
                name: json_values
                | st.dictionaries(st.sampled_from(DETAILS), json_values | st.integers(0, 10_000))
                for name in TABLES
            },
        },
    ),
    st.sampled_from([UNSAID, INSIDE, ADDED, UsageForm(cost="usd"), UsageForm(cost="ticks")]),
    json_values,
)
def test_no_usage_raises_and_every_count_stays_possible(
    usage: dict[str, Any], form: UsageForm, tier: Any
) -> None:
    read = read_usage(json.dumps(usage).encode(), form, service_tier=json.dumps(tier).encode())
    if read is None:
        return
    for name in Usage.__struct_fields__:
        value = getattr(read, name)
        if name.endswith("_tokens") or name == "told_nusd":
            assert value is None or 0 <= value < 2**62
    assert read.reasoning_tokens <= read.output_tokens
    full = Price(since="0000-00-00", input_pusd=2, output_pusd=3, cached_input_pusd=1)
    cost = cost_nusd(full, read)
    assert cost is None or cost >= 0
    assert (cost is None) == bool(unpriced(full, read))


@pytest.mark.parametrize(
    ("name", "host", "reasoning", "cost"),
    [
        ("openai", "127.0.0.1", "inside", ""),
        ("mine", "api.openai.com", "inside", ""),
        ("mine", "eu.api.openai.com", "inside", ""),
        ("openai", "openrouter.ai", "inside", "usd"),
        ("mine", "API.X.AI", "added", "ticks"),
        ("mine", "acme.openai.azure.com", "inside", ""),
        ("mine", "us-central1-aiplatform.googleapis.com", "added", ""),
        ("mine", "api.x.ai.evil.example", "unsaid", ""),
        ("mine", "127.0.0.1", "unsaid", ""),
    ],
)
def test_a_provider_is_known_by_its_address_and_then_by_its_name(
    name: str, host: str, reasoning: str, cost: str
) -> None:
    form = usage_form(name, host)
    assert (form.reasoning, form.cost) == (reasoning, cost)


def test_what_has_no_price_is_named() -> None:
    usage = Usage(
        input_tokens=10, output_tokens=1, cache_write_1h_tokens=5, tier="flex", region="inference_geo_us",
        fees={"web_search": 1},
    )  # fmt: skip
    plain = priced("openai", IN_OUT)
    assert unpriced(plain, usage) == ("tier flex", "inference_geo_us", "cache_write_1h", "web_search")
    assert cost_nusd(plain, usage) is None
    assert unpriced(None, usage) == ("model",)


def test_a_baseline_that_knows_no_writes_and_no_tier_is_charged_as_plain_input_at_its_standard_tier() -> None:
    usage = Usage(input_tokens=1000, output_tokens=100, cache_write_5m_tokens=500, tier="priority")
    assert baseline_nusd(priced("openai", IN_OUT), usage) == 2_000_000
    searched = Usage(input_tokens=1000, output_tokens=100, fees={"web_search": 1})
    assert baseline_nusd(priced("openai", IN_OUT), searched) is None


def test_classes_that_come_to_more_than_there_is_never_lower_the_cost() -> None:
    price = priced("openai", WRITES + "cache_write_30m = 5")
    usage = Usage(input_tokens=100, cached_tokens=100, cache_write_30m_tokens=60)
    assert cost_nusd(price, usage) == 60 * 5_000 + 40 * 400


def test_the_worst_case_has_the_tier_the_writes_the_media_and_the_search_that_were_asked_for() -> None:
    price = priced(
        "openai",
        IN_OUT + "\ncache_write_30m = 1.25\ncache_write_12h = 2.5\ninput_audio = 30\noutput_audio = 60\n"
        "priority = { input = 2, output = 20 }\nfactors.fast = 3\nper_1000.web_search = 10",
    )
    worst = {
        names: worst_case_nusd(price, 1_000, 100, frozenset(names))
        for names in [
            (),
            ("cache_write_long",),
            ("media",),
            ("priority",),
            ("fast",),
            ("web_search",),
            ("flex",),
        ]
    }
    assert worst[()] == 1_250_000 + 1_000_000
    assert worst[("cache_write_long",)] == 2_500_000 + 1_000_000
    assert worst[("media",)] == 30_000_000 + 6_000_000
    assert worst[("priority",)] == 2_000_000 + 2_000_000
    assert worst[("fast",)] == 3 * (1_250_000 + 1_000_000)
    assert worst[("web_search",)] == 1_250_000 + 1_000_000 + 10_000_000
    assert worst[("flex",)] is None


def test_what_a_model_wrote_is_counted_where_its_usage_counts_nothing() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": '{"a":1}'}}
    message = {"role": "assistant", "content": None, "reasoning": "hmm", "tool_calls": [call]}
    body = json.dumps({"choices": [{"message": message}, {"message": {"content": [{"text": "four"}]}}]})
    assert answer_chars(body.encode()) == len('hmmnow{"a":1}four')
    assert answer_chars(b"{") == answer_chars(b"[]") == answer_chars(b'{"choices":{"a":1}}') == 0


@pytest.mark.parametrize(
    ("asked", "model", "cites", "found"),
    [
        ({"messages": [], "web_search_options": {}}, "gpt-x", False, True),
        ({"messages": []}, "gpt-4o-search-preview", False, True),
        ({"messages": []}, "gpt-4o-search-api-2026", False, True),
        ({"messages": []}, "deep-search-mini", False, False),
        ({"messages": []}, "gpt-x", True, True),
        ({"messages": [], "plugins": [{"id": "web"}]}, "gpt-x", False, True),
        ({"messages": [], "plugins": [{"id": "file-parser"}]}, "gpt-x", False, False),
        ({"input": []}, "embed", False, False),
    ],
)
def test_a_search_that_no_usage_tells_of_shows_in_the_request_the_model_or_the_answer(
    asked: dict[str, Any], model: str, cites: bool, found: bool
) -> None:
    assert fees_shown(asked, model, cites=cites) == ({"web_search": 1} if found else None)


CITED = [{"type": "url_citation", "url_citation": {"url": "https://page.example"}}]


@pytest.mark.parametrize("odd", [{}, {"index": "0"}], ids=["typed", "loose"])
@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize(
    ("said", "cites"),
    [
        ({"annotations": CITED}, True),
        ({"content": "so", "annotations": CITED}, True),
        ({"annotations": []}, False),
        ({"annotations": None}, False),
        ({"annotations": "none"}, False),
        ({"content": 'say "url_citation"'}, False),
    ],
)
def test_pages_that_an_answer_names_show_in_a_stream_as_in_a_whole_answer(
    said: dict[str, Any], cites: bool, begun: bool, odd: dict[str, Any]
) -> None:
    whole = {"choices": [{"message": {"content": "", **said}, "finish_reason": 5 if odd else "stop"}]}
    assert PROVIDER.whole({}, json.dumps(whole).encode()).cites is cites
    reader = EventReader(1_000)
    first = {"choices": [{"index": 0, "delta": {"content": "and"}}]}
    for chunk in [*([first] if begun else []), {"choices": [{"index": 0, "delta": said, **odd}]}]:
        reader.feed(f"data: {json.dumps(chunk)}\n\n".encode())
    assert reader.cites is cites


def test_the_ordinary_usage_is_read_in_a_microsecond() -> None:
    raw = json.dumps(counts(20, 50, prompt_tokens_details={"cached_tokens": 0, "audio_tokens": 0})).encode()
    assert turns(lambda: [read_usage(raw) for _ in range(100)], 20) / 100 < 1_000  # 40 were measured: 0.8 us


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("cache_write_5m = 1\ncache_write_30m = 2", "this or cache_write_5m"),
        ("above.many = { input = 1, output = 1 }", "number of tokens"),
        ("per_1000.web_serch = 1", "no provider reports such a fee"),
        ("fast_facter = 2", "unknown key"),
        ("factors.fast = 0", "more than 0"),
        ("priority = 2", "unknown key"),
    ],
)
def test_a_price_that_cannot_be_right_is_refused_by_name(key: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        priced("openai", f"{IN_OUT}\n{key}")


@pytest.mark.parametrize("name", ["completion_tokens_details", "output_tokens_details"])
def test_thoughts_beside_a_nought_are_no_nought(name: str) -> None:
    told = {"prompt_tokens": 9, "completion_tokens": 0}
    assert states_nought({**told, name: {"reasoning_tokens": 0}})
    assert not states_nought({**told, name: {"reasoning_tokens": 400}})


@pytest.mark.parametrize("amount", ["9e9999999", "1" + "0" * 60 + "e9", "1." + "0" * 70 + "e-9", 1e300])
def test_an_amount_that_is_none_is_not_booked_and_raises_nothing(amount: object) -> None:
    told = {
        "prompt_tokens": 1, "completion_tokens": 1, "cost": 0.1, "is_byok": True,
        "cost_details": {"upstream_inference_cost": amount},
    }  # fmt: skip
    usage = read_usage(json.dumps(told).encode(), usage_form("openrouter", NOWHERE))
    assert usage is not None and usage.told_nusd is None


@pytest.mark.parametrize(
    ("more", "untold"),
    [
        ({}, True),
        ({"prompt_tokens_details": None}, True),
        ({"prompt_tokens_details": {"audio_tokens": 0}}, True),
        ({"prompt_tokens_details": {"cached_tokens": 0}}, False),
        ({"prompt_cache_hit_tokens": 0, "prompt_cache_miss_tokens": 9}, False),
        ({"cache_read_input_tokens": 0}, False),
        ({"prompt_tokens_details": {"cached_tokens": 0}, "unheard_of": 1}, False),
        ({"unheard_of": 1}, True),
    ],
    ids=repr,
)
def test_what_was_read_from_a_cache_is_told_or_it_is_not(more: dict[str, Any], untold: bool) -> None:
    counts = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
    usage = read_usage(json.dumps({**counts, **more}).encode())
    assert usage is not None
    assert (usage.cached_tokens, usage.cache_untold) == (0, untold)
