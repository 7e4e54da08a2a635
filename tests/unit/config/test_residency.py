"""Where targets answer, and endpoints whose requests must stay there."""

import pytest

from farthing.config import is_within, loads, regions_of, remaining
from farthing.config.settings.gateway import (
    AnthropicProviderConfig,
    BedrockProviderConfig,
    OpenAIProviderConfig,
)
from farthing.errors import ConfigError


@pytest.mark.parametrize(
    ("base_url", "model", "region"),
    [
        ("https://bedrock-runtime.eu-west-1.amazonaws.com", "anthropic.claude-3", "eu-west-1"),
        ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "m", "us-gov-west-1"),
        ("https://vpce-1.bedrock-runtime.eu-central-1.vpce.amazonaws.com", "m", "eu-central-1"),
        ("https://bedrock-runtime.eu-west-1.amazonaws.com", "eu.anthropic.claude-3", "eu"),
        ("https://bedrock-runtime.eu-west-1.amazonaws.com", "global.anthropic.claude-3", ""),
        ("https://bedrock-runtime.us-east-1.amazonaws.com", "us.anthropic.claude-3", "us"),
        ("https://bedrock-runtime.ap-south-1.amazonaws.com", "in.anthropic.claude-3", "in"),
        ("https://bedrock-runtime.eu-west-1.amazonaws.com", "later.anthropic.claude-3", ""),
        (
            "https://bedrock-runtime.eu-west-1.amazonaws.com",
            "arn:aws:bedrock:eu-west-1:1:application-inference-profile/x",
            "",
        ),
        ("https://europe-west4-aiplatform.googleapis.com/v1", "gemini", "europe-west4"),
        ("https://aiplatform.eu.rep.googleapis.com/v1", "gemini", "eu"),
        ("https://aiplatform.googleapis.com/v1", "gemini", ""),
        ("https://eu.api.openai.com/v1", "gpt-4o", "eu"),
        ("https://api.openai.com/v1", "gpt-4o", ""),
        ("https://westeurope.openai.azure.com/openai/v1", "gpt-4o", ""),
        ("https://bedrock-runtime.eu-west-1.amazonaws.com.evil.example", "m", ""),
        ("https://evil-eu.api.openai.com.example", "m", ""),
        ("http://127.0.0.1:11434/v1", "llama", "local"),
        ("http://[::1]:11434/v1", "llama", "local"),
        ("http://10.0.0.7:8000/v1", "llama", ""),
    ],
)
def test_the_address_tells_the_region_where_it_does(base_url: str, model: str, region: str) -> None:
    assert regions_of(OpenAIProviderConfig(base_url=base_url), model) == (region,)


def test_the_setting_wins_but_not_over_a_profile_that_answers_elsewhere() -> None:
    assert regions_of(AnthropicProviderConfig(region="EU-West-1"), "claude") == ("eu-west-1",)
    bedrock = OpenAIProviderConfig(
        base_url="https://bedrock-runtime.eu-west-1.amazonaws.com", region="eu-west-1"
    )
    assert regions_of(bedrock, "claude") == ("eu-west-1",)
    assert regions_of(bedrock, "global.claude") == ("",)


def test_a_profile_answers_where_it_does_by_any_address_of_bedrock() -> None:
    bedrock = BedrockProviderConfig(base_url="https://bedrock.example", region="eu-west-1")
    assert regions_of(bedrock, "anthropic.claude-3") == ("eu-west-1",)
    assert regions_of(bedrock, "us.anthropic.claude-3") == ("us",)
    assert regions_of(bedrock, "arn:aws:bedrock:eu-west-1:1:application-inference-profile/x") == ("",)


@pytest.mark.parametrize(
    ("region", "residency", "within"),
    [
        ("eu-west-1", ("eu",), True),
        ("europe-west4", ("eu",), True),
        ("westeurope", ("eu",), True),
        ("eu", ("eu",), True),
        ("eu-west-2", ("eu",), False),  # London
        ("eu-central-2", ("eu",), False),  # Zurich
        ("europe-west6", ("eu",), False),
        ("uksouth", ("eu", "uk"), True),
        ("norwayeast", ("eu",), False),
        ("norwayeast", ("eea",), True),
        ("swedencentral", ("eea",), True),
        ("us-east-1", ("eu",), False),
        ("eu-west-1", ("eu-west-1",), True),
        ("eu-west-3", ("eu-west-1",), False),
        ("eu", ("eu-west-1",), False),
        ("frankfurt", ("frankfurt",), True),
        ("frankfurt", ("eu",), False),
        ("", ("eu",), False),
        ("", ("",), False),
        ("local", ("eu",), False),
        ("local", ("eu", "local"), True),
    ],
)
def test_a_name_of_a_region_does_not_tell_its_area(
    region: str, residency: tuple[str, ...], within: bool
) -> None:
    assert is_within(region, residency) == within


CONFIG = """
[providers.here]
base_url = "https://eu.api.openai.com/v1"
[providers.there]
base_url = "https://api.openai.com/v1"
[providers.told]
base_url = "https://gpu.example/v1"
region = "frankfurt"
[tiers.cheap]
targets = ["there/small", "here/small"]
[tiers.expensive]
targets = [{expensive}]
[endpoints.eu]
residency = ["eu"]
{more}
"""


def config(expensive: str = '"here/large", "there/large"', more: str = "") -> str:
    return CONFIG.format(expensive=expensive, more=more)


def test_the_check_says_what_remains() -> None:
    found = remaining(loads(config(), {}))["eu"]
    assert found.targets == ("here/small", "here/large")
    assert found.left_out == {"there/small": "", "there/large": ""}
    assert found.story("eu") == (
        "endpoints.eu stays within eu: it asks here/small, here/large; never there/small (region unknown), "
        "there/large (region unknown)"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            config('"there/large"'),
            'endpoints.eu.residency: no target of the tier "expensive" is within eu: '
            "there/large (region unknown); set region",
        ),
        (
            config(more='quality.judge = "there/judge"'),
            'endpoints.eu.quality.judge: "there/judge" is in an unknown region',
        ),
        (
            config(more='cache.semantic = { judge = "told/judge" }'),
            '"told/judge" is in frankfurt, and texts of this endpoint must not leave eu',
        ),
        (
            config(
                more='cache.semantic = { mode = "observe" }\n[cache.semantic.embedder]\nkind = "remote"\n'
                'provider = "there"\nmodel = "e"\ndims = 8'
            ),
            "questions of this endpoint would go to the embedder there/e",
        ),
        (config().replace('["eu"]', '["EU"]'), "in lower case"),
        (config().replace('["eu"]', '["europe"]'), "; areas are eu, eea, no, uk, ch"),
        (config().replace('["eu"]', '["euu"]'), '; did you mean "eu"?'),
    ],
)
def test_what_would_leave_is_refused_at_the_start(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(text, {})
    assert words in str(caught.value)


def test_a_tier_that_is_never_chosen_need_not_remain() -> None:
    assert remaining(loads(config('"there/large"', more='tier = "cheap"'), {}))["eu"].targets == (
        "here/small",
    )
