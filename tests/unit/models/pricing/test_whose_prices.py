"""Whose prices in the list are those of a provider of the configuration."""

from pathlib import Path

import pytest

from farthing.config import Config, loads
from farthing.models.price_list import price_list
from farthing.models.pricing.catalogue import Catalogue
from farthing.models.pricing.cost import scaled
from farthing.models.targets import Targets

OPUS = "anthropic.claude-opus-4-5-20251101-v1:0"


def of(text: str, tmp_path: Path, target: str = "") -> Config:
    tier = f'[tiers.cheap]\ntargets = ["{target}"]\n' if target else ""
    return loads(f'state_dir = "{tmp_path}"\n{text}\n{tier}', {"KEY": "k"})


@pytest.mark.parametrize(
    ("name", "table", "listed", "model"),
    [
        ("google-claude", 'kind = "vertex"\nproject = "p"\nlocation = "global"', "vertex", "claude-opus-4-5"),
        ("aws-2", 'kind = "bedrock"\nregion = "us-east-1"\napi_key = "${KEY}"', "bedrock", OPUS),
        ("one", 'base_url = "https://api.openai.com/v1"\napi_key = "${KEY}"', "openai", "gpt-5"),
        (
            "openai",
            'base_url = "https://api.groq.com/openai/v1"\napi_key = "${KEY}"',
            "groq",
            "llama-3.1-8b-instant",
        ),
        ("mine", 'kind = "anthropic"\napi_key = "${KEY}"', "anthropic", "claude-opus-4-5"),
        (
            "mistral",
            'base_url = "https://llm.example.com/v1"\napi_key = "${KEY}"',
            "mistral",
            "mistral-large-latest",
        ),
    ],
)
def test_kind_and_host_say_whose_prices_a_table_has_and_then_its_name(
    tmp_path: Path, name: str, table: str, listed: str, model: str
) -> None:
    config = of(f"[providers.{name}]\n{table}", tmp_path, f"{name}/{model}")
    shipped = Catalogue.load().price(listed, model)
    assert shipped is not None
    own = shipped.factors.get("regional") if listed == "bedrock" else None
    assert price_list(config).price(name, model) == (shipped if own is None else scaled(shipped, own))
    [target] = Targets(config, price_list(config)).tiers["cheap"]
    assert target.price is not None


@pytest.mark.parametrize("table", ["", 'kind = "anthropic"'])
def test_a_table_called_after_nobody_at_an_address_of_nobody_has_no_prices(
    tmp_path: Path, table: str
) -> None:
    config = of(
        f'[providers.corp]\n{table}\nbase_url = "https://llm.example.com"\napi_key = "${{KEY}}"', tmp_path
    )
    assert price_list(config).price("corp", "claude-opus-4-5") is None
    assert price_list(config).price("corp", "gpt-5") is None


def test_an_address_of_a_region_has_the_surcharge_of_its_region(tmp_path: Path) -> None:
    config = of(
        '[providers.openai-eu]\nbase_url = "https://eu.api.openai.com/v1"\napi_key = "${KEY}"', tmp_path
    )
    shipped = Catalogue.load().price("openai", "gpt-5.4")
    assert shipped is not None
    factor = shipped.factors["processing_eu"]
    assert price_list(config).price("openai-eu", "gpt-5.4") == scaled(shipped, factor)


def test_own_prices_win_for_their_table_alone(tmp_path: Path) -> None:
    config = of(
        '[providers.one]\nbase_url = "https://api.openai.com/v1"\napi_key = "${KEY}"\n'
        '[[prices]]\ntarget = "one/gpt-5"\ninput = 7\noutput = 9',
        tmp_path,
    )
    prices = price_list(config)
    own, other = prices.price("one", "gpt-5"), prices.price("openai", "gpt-5")
    assert own is not None
    assert own.input_pusd == 7_000_000
    assert other == Catalogue.load().price("openai", "gpt-5")
    assert prices.price("one", "gpt-5-mini") == Catalogue.load().price("openai", "gpt-5-mini")
    assert prices.version != Catalogue.load().version
    assert prices.providers() == Catalogue.load().providers()


def test_a_bare_name_leads_to_the_table_that_is_called_as_its_list(tmp_path: Path) -> None:
    config = of(
        '[providers.openai-eu]\nbase_url = "https://eu.api.openai.com/v1"\napi_key = "${KEY}"\n'
        '[providers.openai]\nbase_url = "https://api.openai.com/v1"\napi_key = "${KEY}"',
        tmp_path,
    )
    found = Targets(config, price_list(config)).open("gpt-5")
    assert found is not None
    assert found.name == "openai/gpt-5"
