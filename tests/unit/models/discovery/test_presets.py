"""Tiers are picked by price and version from whatever the catalogue lists."""

import re

import pytest
from tests.price_list import OPENAI, Listed

from farthing.models.discovery.presets import PRESETS, Preset, base_url, cheapest, flagship
from farthing.models.pricing.catalogue import Catalogue

BY_NAME = {preset.name: preset for preset in PRESETS}


def test_cheap_is_the_lowest_blended_price_among_general_chat_models() -> None:
    pick = cheapest(BY_NAME["openai"], Listed("openai", OPENAI))
    assert pick is not None and pick.target == "openai/gpt-5-nano"
    assert pick.blended_usd == pytest.approx((3 * 0.05 + 0.4) / 4)


def test_the_flagship_is_the_newest_general_model_and_not_the_dearest() -> None:
    pick = flagship(BY_NAME["openai"], Listed("openai", OPENAI))
    assert pick is not None and pick.target == "openai/gpt-5.2"


def test_only_the_newest_version_of_a_family_is_current() -> None:
    prices = {"claude-haiku-3-5": (0.1, 0.1), "claude-haiku-4-5": (1.0, 5.0), "claude-opus-4-5": (5.0, 25.0)}
    pick = cheapest(BY_NAME["anthropic"], Listed("anthropic", prices))
    assert pick is not None and pick.target == "anthropic/claude-haiku-4-5"


def test_a_price_of_nothing_and_a_short_context_are_passed_over() -> None:
    assert cheapest(BY_NAME["openai"], Listed("openai", {"gpt-5-nano": (0.0, 0.0)})) is None
    assert cheapest(BY_NAME["openai"], Listed("openai", OPENAI, context=8_000)) is None
    assert flagship(BY_NAME["openai"], Listed("openai", {})) is None


@pytest.mark.parametrize(
    "preset", [preset for preset in PRESETS if preset.families], ids=lambda one: one.name
)
def test_the_catalogue_we_ship_has_both_tiers_for_every_preset(preset: Preset) -> None:
    catalogue = Catalogue.load()
    low, high = cheapest(preset, catalogue), flagship(preset, catalogue)
    assert low is not None and high is not None
    assert low.blended_usd <= high.blended_usd
    assert not re.search(r"embed|audio|image|codex|search|guard", low.target + high.target)


@pytest.mark.parametrize(
    ("name", "env", "expected"),
    [
        ("openai", {}, "https://api.openai.com/v1"),
        ("openai", {"OPENAI_BASE_URL": "http://proxy/v1/"}, "http://proxy/v1"),
        ("openai", {"OPENAI_BASE_URL": " "}, "https://api.openai.com/v1"),
        ("anthropic", {"ANTHROPIC_BASE_URL": "https://proxy.example"}, "https://proxy.example"),
        ("anthropic", {"ANTHROPIC_BASE_URL": "https://proxy.example/v1"}, "https://proxy.example/v1"),
        ("gemini", {}, "https://generativelanguage.googleapis.com/v1beta/openai/"),
        ("azure", {}, ""),
        (
            "azure",
            {"AZURE_OPENAI_ENDPOINT": "https://a.openai.azure.com/"},
            "https://a.openai.azure.com/openai/v1",
        ),
    ],
)
def test_addresses_are_those_the_sdks_mean(name: str, env: dict[str, str], expected: str) -> None:
    assert base_url(BY_NAME[name], env) == expected
