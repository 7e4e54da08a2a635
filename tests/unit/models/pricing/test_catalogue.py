"""What the price list knows, whom it believes, and how usage becomes money."""

import re
from decimal import Decimal
from fractions import Fraction
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pace import turns

from farthing.config import PriceConfig, loads
from farthing.errors import ConfigError
from farthing.models.price_list import price_list
from farthing.models.pricing.catalogue import Catalogue
from farthing.models.pricing.cost import cost_nusd, in_batch, worst_case_nusd
from farthing.models.pricing.rows import File
from farthing.types import FEATURES, Model, Price, Usage, replace

PRESETS = (
    "openai",
    "anthropic",
    "gemini",
    "groq",
    "mistral",
    "deepseek",
    "openrouter",
    "together",
    "xai",
    "azure",
)


NEW = ("bedrock", "vertex", "fireworks", "cerebras", "moonshot", "perplexity", "cohere", "deepinfra")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.load()


def price(**changes: int | Price | None) -> Price:
    fields = {"since": "0000-00-00", "input_pusd": 150_000, "output_pusd": 600_000, **changes}
    return Price(**fields)  # type: ignore[arg-type]


def mini(since: str = "0000-00-00", dollars: str = "1", target: str = "openai/gpt-4o-mini") -> PriceConfig:
    return PriceConfig(target=target, input=Decimal(dollars), output=Decimal(dollars) * 2, since=since)


# -- the list ---------------------------------------------------------------------------------------


def everything(catalogue: Catalogue) -> list[Model]:
    return [model for provider in catalogue.providers() for model in catalogue.models(provider)]


def test_it_prices_2000_models_and_knows_of_400_chat_models_what_they_can_and_their_dates(
    catalogue: Catalogue,
) -> None:
    listed = everything(catalogue)
    assert sum(bool(model.prices) for model in listed) >= 2_000
    chat = [model for model in listed if model.operation == "chat" and model.prices]
    known = [
        model
        for model in chat
        if model.context_tokens_max and model.output_tokens_max and model.features.can
        if model.released or model.retires
    ]
    assert len(known) >= 400
    assert {*PRESETS, *NEW} <= set(catalogue.providers())
    for provider in catalogue.providers():
        assert any(model.prices for model in catalogue.models(provider)), provider


def test_both_sources_are_compared_and_nine_of_ten_prices_that_both_have_agree(catalogue: Catalogue) -> None:
    checked = [model.checked for model in everything(catalogue) if model.checked]
    assert len(checked) >= 600 and set(checked) == {"agrees", "differs"}
    assert checked.count("agrees") >= len(checked) * 0.9


def test_what_is_said_of_models_is_of_known_words_and_no_contradiction(catalogue: Catalogue) -> None:
    for model in everything(catalogue):
        features = model.features
        assert features.can | features.cannot <= set(FEATURES), model
        assert not features.can & features.cannot, model
        assert set(features.efforts) <= {"none", "minimal", "low", "medium", "high", "xhigh", "max"}, model
        for day in (model.released, model.retires):
            assert re.fullmatch(r"(20\d\d-\d\d(-\d\d)?)?", day), model


def test_known_features_are_what_the_providers_publish(catalogue: Catalogue) -> None:
    mini, opus = catalogue.find("openai", "o3-mini"), catalogue.find("anthropic", "claude-opus-5-5")
    assert mini is not None and opus is not None
    assert {"reasoning", "tools", "max_completion_tokens"} <= mini.features.can
    assert {"vision", "sampling", "parallel_tools"} <= mini.features.cannot
    assert {"vision", "documents", "tools", "structured_output", "adaptive_thinking"} <= opus.features.can
    assert {"sampling", "forced_tools", "prefill"} <= opus.features.cannot
    assert opus.features.efforts == ("low", "medium", "high", "xhigh", "max")
    assert opus.features.cache_tokens_min == 512
    dated = catalogue.find("openai", "gpt-4o-mini")
    assert (
        dated is not None
        and dated.released == "2024-07-18"
        and dated.features.endpoints[:1] in ((), ("chat",))
    )


def test_a_model_of_bedrock_across_regions_has_the_price_of_its_region(catalogue: Catalogue) -> None:
    base = catalogue.price("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0")
    europe = catalogue.price("bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0")
    assert base is not None and europe is not None
    assert (base.input_pusd, europe.input_pusd) == (3_000_000, 3_300_000)
    unlisted = "in.anthropic.claude-sonnet-4-5-20250929-v1:0"
    assert unlisted not in catalogue.names("bedrock")
    india = catalogue.price("bedrock", unlisted)
    assert india is not None and (india.input_pusd, india.output_pusd) == (3_300_000, 16_500_000)
    profile = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
    arn = f"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/{profile}"
    assert catalogue.price("bedrock", arn) == europe
    assert catalogue.find("bedrock", "eu.no-such.model") is None
    assert catalogue.find("bedrock", "arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc") is None


def test_at_a_host_in_a_region_what_asks_for_no_place_costs_what_the_region_does() -> None:
    found = price_list(
        loads(
            '[providers.bedrock]\nbase_url = "https://bedrock-runtime.eu-west-1.amazonaws.com/v1"\n'
            '[providers.vertex]\nbase_url = "https://europe-west1-aiplatform.googleapis.com/v1"\n',
            {},
        )
    )
    for name, usd in (("", 3.3), ("eu.", 3.3), ("in.", 3.3), ("global.", 3)):
        price = found.price("bedrock", f"{name}anthropic.claude-sonnet-4-5-20250929-v1:0")
        assert price is not None and price.input_pusd == usd * 1e6, name
    price = found.price("vertex", "claude-sonnet-4-5")
    assert price is not None and price.input_pusd == 3_300_000
    everywhere = Catalogue.load().price("vertex", "claude-sonnet-4-5")
    assert everywhere is not None and everywhere.input_pusd == 3_000_000


@pytest.mark.parametrize(
    ("provider", "asked", "listed"),
    [
        ("vertex", "google/gemini-2.5-pro", "gemini-2.5-pro"),
        ("vertex", "publishers/anthropic/models/claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("fireworks", "gpt-oss-120b", "accounts/fireworks/models/gpt-oss-120b"),
    ],
)
def test_names_of_publishers_and_accounts_may_be_left_out(
    catalogue: Catalogue, provider: str, asked: str, listed: str
) -> None:
    found = catalogue.find(provider, asked)
    assert found is not None and found.model == listed


def test_a_file_that_cannot_be_read_lists_nothing_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    rows = (
        b'{"provider":"p","model":"m","prices":[{"in":1,"out":2}]}\n{"provider":"p","model":"n","prices":5}\n'
    )
    head = b'{"version":"v","providers":{"p":[0,%d],"q":[0,9]}}\n' % len(rows)
    found = Catalogue.of(File(head + rows))
    assert found.price("p", "m") is not None and found.find("q", "m") is None
    assert "what it has of q cannot be read" in caplog.text
    assert found.find("p", "n") == Model(provider="p", model="n")
    assert "what it has of p/n cannot be read" in caplog.text
    for broken in (b"", b"no json\n", b'{"version":1}\n', head.replace(b'"v",', b'"v","crc32":1,') + rows):
        with pytest.raises(ValueError, match=r"header|changed"):
            File(broken)


def test_every_entry_is_plausible(catalogue: Catalogue) -> None:
    for provider in catalogue.providers():
        names = [model.model for model in catalogue.models(provider)]
        assert names == sorted(set(names))
        for model in catalogue.models(provider):
            check_plausible(model)


def check_plausible(model: Model) -> None:
    dates = [held.since for held in model.prices]
    assert dates == sorted(set(dates)), model
    assert model.context_tokens_max is None or 100 <= model.context_tokens_max <= 20_000_000, model
    for held in model.prices:
        tier: Price | None = held
        while tier is not None:
            # $1,000 per million tokens is more than the dearest model there has been.
            assert max(tier.input_pusd, tier.output_pusd) <= 1_000_000_000, model
            assert (tier.cached_input_pusd or 0) <= tier.input_pusd, model
            assert tier.input_pusd > 0 or model.model.endswith(":free"), model
            assert (tier.output_pusd == 0) == (
                model.operation == "embeddings" or model.model.endswith(":free")
            ), model
            assert (tier.long is None) == (tier.long_over_tokens is None), model
            tier = tier.long


def test_known_prices_are_what_the_providers_publish(catalogue: Catalogue) -> None:
    mini = catalogue.price("openai", "gpt-4o-mini")
    assert mini is not None
    assert (mini.input_pusd, mini.cached_input_pusd, mini.output_pusd) == (150_000, 75_000, 600_000)
    assert (mini.batch_input_pusd, mini.batch_output_pusd) == (75_000, 300_000)
    embedding = catalogue.find("openai", "text-embedding-3-small")
    assert embedding is not None and embedding.operation == "embeddings"
    assert (embedding.prices[-1].input_pusd, embedding.prices[-1].output_pusd) == (20_000, 0)
    pro = catalogue.price("gemini", "gemini-2.5-pro")
    assert pro is not None and pro.long is not None
    assert (pro.input_pusd, pro.long_over_tokens, pro.long.input_pusd) == (1_250_000, 200_000, 2_500_000)
    window = catalogue.find("openai", "gpt-4o")
    assert window is not None and (window.context_tokens_max, window.output_tokens_max) == (128_000, 16_384)


def test_loading_takes_a_few_milliseconds_of_processor_time() -> None:
    assert turns(Catalogue.load) < 1_500_000  # 6,000 were measured: 0.1 ms


@pytest.mark.parametrize(
    "name", ["openai/gpt-5.5", "OpenAI/GPT-5.5", "openai/gpt-5.5-2031-01-01", "no-such-model-anywhere"]
)
def test_a_look_up_takes_microseconds_however_the_name_is_written(catalogue: Catalogue, name: str) -> None:
    assert turns(partial(catalogue.find, "openrouter", name)) < 5_000  # 300 were measured


# -- names ------------------------------------------------------------------------------------------


def test_an_exact_name_is_found_before_any_other_spelling(catalogue: Catalogue) -> None:
    dear = catalogue.price("openai", "gpt-4o-2024-05-13")
    assert dear is not None and dear.input_pusd == 5_000_000  # the undated name costs half


@pytest.mark.parametrize(
    ("provider", "asked", "listed"),
    [
        ("gemini", "models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("openai", "openai/gpt-4o-mini", "gpt-4o-mini"),
        ("openai", "GPT-4o-Mini", "gpt-4o-mini"),
        ("openai", "gpt-5-mini-2031-01-01", "gpt-5-mini"),
        ("anthropic", "claude-sonnet-4-6-20310101", "claude-sonnet-4-6"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc123", "ft:gpt-4o-mini-2024-07-18"),
    ],
)
def test_another_spelling_of_the_same_model_is_found(
    catalogue: Catalogue, provider: str, asked: str, listed: str
) -> None:
    found = catalogue.find(provider, asked)
    assert found is not None and found.model == listed


@pytest.mark.parametrize(
    ("provider", "asked"),
    [
        ("openai", "gpt-4o-2031-01-01"),  # snapshots of gpt-4o have had different prices
        ("openai", "gpt-4o-mini-turbo"),
        ("openai", "gpt-99"),
        ("openrouter", "openai/gpt-4o-mini:nitro"),
        ("groq", "gpt-4o-mini"),  # another provider's model
        ("nobody", "gpt-4o-mini"),
        ("openai", ""),
    ],
)
def test_what_could_cost_something_else_is_unknown(catalogue: Catalogue, provider: str, asked: str) -> None:
    assert catalogue.find(provider, asked) is None
    assert catalogue.price(provider, asked) is None


# -- dates and the operator's prices ----------------------------------------------------------------


def test_the_price_is_the_last_that_began_on_or_before_the_day(catalogue: Catalogue) -> None:
    own = catalogue.with_overrides([mini("2026-03-01", "3"), mini("2026-01-01", "2")])
    paid = {
        day: getattr(own.price("openai", "gpt-4o-mini", day), "input_pusd", None)
        for day in ("2025-12-31", "2026-01-01", "2026-02-28", "2026-03-01", "2099-01-01")
    }
    assert list(paid.values()) == [150_000, 2_000_000, 2_000_000, 3_000_000, 3_000_000]


def test_the_operator_wins_and_the_version_says_so(catalogue: Catalogue) -> None:
    own = catalogue.with_overrides([mini()])
    held = own.price("openai", "gpt-4o-mini")
    assert held is not None and (held.input_pusd, held.output_pusd) == (1_000_000, 2_000_000)
    assert own.version != catalogue.version and own.version.startswith(catalogue.version)
    assert own.version != catalogue.with_overrides([mini(dollars="2")]).version
    assert own.version == Catalogue.load().with_overrides([mini()]).version
    untouched = catalogue.price("openai", "gpt-4o-mini")
    assert untouched is not None and untouched.input_pusd == 150_000
    assert catalogue.with_overrides([]) is catalogue


def test_a_model_of_the_operators_own_is_added_and_known_sizes_are_kept(catalogue: Catalogue) -> None:
    own = catalogue.with_overrides([mini(target="local/qwen3/4b"), mini()])
    added = own.find("local", "qwen3/4b")
    assert added is not None and added.prices[0].input_pusd == 1_000_000
    assert [model.model for model in own.models("local")] == ["qwen3/4b"]
    kept = own.find("openai", "gpt-4o-mini")
    assert kept is not None and kept.context_tokens_max == 128_000


@pytest.mark.parametrize(
    "item", [mini(target="gpt-4o-mini"), mini("tomorrow"), mini(dollars="-1"), mini(dollars="NaN")]
)
def test_an_override_that_makes_no_sense_is_refused(catalogue: Catalogue, item: PriceConfig) -> None:
    with pytest.raises(ConfigError):
        catalogue.with_overrides([item])


# -- money ------------------------------------------------------------------------------------------


def test_cost_is_tokens_times_price() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    assert cost_nusd(price(), usage) == 750_000_000  # $0.15 + $0.60


def test_cached_tokens_are_a_part_of_the_input_and_reasoning_of_the_output() -> None:
    usage = Usage(input_tokens=1_000, output_tokens=100, cached_tokens=400, reasoning_tokens=90)
    assert cost_nusd(price(cached_input_pusd=75_000), usage) == 600 * 150 + 400 * 75 + 100 * 600


def test_cached_tokens_cost_the_full_price_when_the_cached_one_is_unknown() -> None:
    assert cost_nusd(price(), Usage(input_tokens=1_000, cached_tokens=400)) == 1_000 * 150


def test_unknown_price_or_usage_is_unknown_cost_never_zero() -> None:
    assert cost_nusd(None, Usage(input_tokens=1)) is None
    assert cost_nusd(price(), None) is None
    assert worst_case_nusd(None, 1, 1) is None
    assert worst_case_nusd(price(), 1, None) is None


def test_rounding_is_half_up_and_once() -> None:
    assert cost_nusd(price(input_pusd=499), Usage(input_tokens=1)) == 0
    assert cost_nusd(price(input_pusd=500), Usage(input_tokens=1)) == 1
    assert cost_nusd(price(input_pusd=250, output_pusd=250), Usage(input_tokens=1, output_tokens=1)) == 1


def test_a_prompt_longer_than_the_limit_is_charged_at_the_long_price_as_a_whole() -> None:
    long = price(input_pusd=300_000, output_pusd=900_000, cached_input_pusd=30_000)
    tiered = price(long_over_tokens=200_000, long=long)
    assert cost_nusd(tiered, Usage(input_tokens=200_000, output_tokens=1)) == 200_000 * 150 + 600
    assert cost_nusd(tiered, Usage(input_tokens=200_001, output_tokens=1)) == 200_001 * 300 + 900


def test_a_providers_mistake_never_lowers_the_cost() -> None:
    held = price(cached_input_pusd=75_000)
    assert cost_nusd(held, Usage(input_tokens=10, cached_tokens=1_000)) == 10 * 75
    assert cost_nusd(held, Usage(input_tokens=10, output_tokens=-5)) == 10 * 150
    assert cost_nusd(held, Usage(input_tokens=-10, output_tokens=5)) == 5 * 600


PUSD = st.integers(0, 10**8)
TOKENS = st.integers(0, 2_000_000)


@given(st.data())
def test_no_usage_within_the_bounds_costs_more_than_the_worst_case(data: st.DataObject) -> None:
    def drawn(**more: int | Price | None) -> Price:
        return price(
            input_pusd=data.draw(PUSD),
            output_pusd=data.draw(PUSD),
            cached_input_pusd=data.draw(st.none() | PUSD),
            cache_write_pusd=data.draw(st.none() | PUSD),
            **more,
        )

    held = drawn(long_over_tokens=data.draw(st.integers(1, 300_000)), long=drawn())
    bound, output_max = data.draw(TOKENS), data.draw(TOKENS)
    tokens = data.draw(st.integers(0, bound))
    usage = Usage(
        input_tokens=tokens,
        cached_tokens=data.draw(st.integers(0, tokens)),
        output_tokens=data.draw(st.integers(0, output_max)),
    )
    cost, worst = cost_nusd(held, usage), worst_case_nusd(held, bound, output_max)
    assert cost is not None and worst is not None and 0 <= cost <= worst


@pytest.mark.parametrize(
    ("base_url", "model", "factor"),
    [
        ("https://eu.api.openai.com/v1", "gpt-5.6", Fraction(11, 10)),
        ("https://us.api.openai.com/v1", "gpt-5.6", Fraction(11, 10)),
        ("https://EU.api.openai.com/v1", "gpt-5.6", Fraction(11, 10)),
        ("https://xx.api.openai.com/v1", "gpt-5.6", 1),
        ("https://api.openai.com/v1", "gpt-5.6", 1),
        ("https://eu.api.openai.com/v1", "gpt-4o-mini", 1),
        ("https://eu.api.openai.com/v1", "own", 1),
        ("https://eu.api.openai.com/v1", "own-dearer", Fraction(6, 5)),
        ("https://eu.api.openai.com.example/v1", "gpt-5.6", 1),
    ],
)
def test_a_provider_that_works_in_one_place_charges_the_factor_of_it(
    base_url: str, model: str, factor: Fraction | int
) -> None:
    prices = (
        '[[prices]]\ntarget = "openai/own"\ninput = 1\noutput = 2\n'
        '[[prices]]\ntarget = "openai/own-dearer"\ninput = 1\noutput = 2\nprocessing_eu_factor = 1.2\n'
    )
    config = loads(f'[providers.openai]\nbase_url = "{base_url}"\nauth = "none"\n{prices}', {})
    plain = Catalogue.load().with_overrides(config.prices).price("openai", model)
    price = price_list(config).price("openai", model)
    assert plain is not None and price is not None
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000, cached_tokens=700_000)
    for tier in ("", "flex", "batch", "priority"):
        at_tier = replace(usage, tier=tier)
        cost = cost_nusd(plain, at_tier)
        assert cost_nusd(price, at_tier) == (None if cost is None else cost * factor)
    whole = worst_case_nusd(plain, 300_000, 1_000)
    assert whole is not None and worst_case_nusd(price, 300_000, 1_000) == whole * factor


def test_a_list_for_other_places_has_another_version() -> None:
    home = '[providers.openai]\nauth = "none"\nbase_url = "https://{}api.openai.com/v1"\n'
    plain, europe = price_list(loads(home.format(""), {})), price_list(loads(home.format("eu."), {}))
    assert plain.version == Catalogue.load().version != europe.version


def test_audio_that_was_cached_has_the_price_that_is_listed() -> None:
    price = Catalogue.load().price("gemini", "gemini-2.5-flash")
    usage = Usage(input_tokens=1_000, cached_tokens=600, audio_input_tokens=300, cached_audio_tokens=500)
    assert cost_nusd(price, usage) == (100 * 300 + 300 * 1_000 + 500 * 100 + 100 * 30)


def test_a_batch_charges_for_cached_input_what_is_listed() -> None:
    price = Catalogue.load().price("anthropic", "claude-haiku-4-5")
    usage = Usage(input_tokens=1_000, cached_tokens=600, cache_write_5m_tokens=100, output_tokens=10)
    plain, batch = cost_nusd(price, usage), cost_nusd(in_batch(price), usage)
    assert plain is not None and batch == plain // 2 == cost_nusd(price, replace(usage, tier="batch"))
    assert batch == cost_nusd(in_batch(in_batch(price)), replace(usage, tier="batch"))


def test_a_batch_price_is_not_taken_twice_where_it_has_a_factor_too() -> None:
    tier = Price(since="0000-00-00", input_pusd=500_000, output_pusd=1_000_000)
    price = Price(
        since="0000-00-00",
        input_pusd=1_000_000,
        output_pusd=2_000_000,
        tiers={"batch": tier},
        factors={"batch": Fraction(1, 2)},
    )
    usage = Usage(input_tokens=1_000, output_tokens=10, tier="batch")
    assert cost_nusd(in_batch(price), usage) == cost_nusd(price, usage) == 510_000
