"""Which providers are known to keep chat completions."""

import pytest

from farthing.config import AnthropicProviderConfig, OpenAIProviderConfig, ResponsesProviderConfig
from farthing.wiring.providers import build_provider


@pytest.mark.parametrize(
    ("base_url", "keeps"),
    [
        ("https://api.openai.com/v1", True),
        ("https://acme.openai.azure.com/openai/v1", True),
        ("https://acme.openai.azure.com/openai/deployments/{model}", False),
        ("https://acme.openai.azure.com/openai/deployments/mine", False),
        ("https://api.groq.com/openai/v1", False),
        ("http://127.0.0.1:8000/v1", False),
    ],
)
def test_it_is_known_by_the_host_unless_the_configuration_says_so(base_url: str, keeps: bool) -> None:
    for said, wanted in ((None, keeps), (True, True), (False, False)):
        config = OpenAIProviderConfig(base_url=base_url, stored_completions=said)
        assert build_provider("a", config).capabilities.stored_completions is wanted


def test_no_other_kind_keeps_any() -> None:
    for config in (AnthropicProviderConfig(), ResponsesProviderConfig()):
        assert not build_provider("a", config).capabilities.stored_completions


def test_it_is_asked_below_its_own_address_with_its_own_key_and_version() -> None:
    config = OpenAIProviderConfig(
        base_url="https://acme.openai.azure.com/openai/v1", api_version="preview", headers={"x-of": "mine"}
    )
    provider = build_provider("a", config)
    head = provider.stored_head("GET", "/chatcmpl-1/messages?limit=1").decode()
    assert head.startswith(
        "GET /openai/v1/chat/completions/chatcmpl-1/messages?limit=1&api-version=preview HTTP"
    )
    assert "x-of: mine" in head
    head = provider.stored_head("DELETE", "/chatcmpl-1").decode()
    assert head.startswith("DELETE /openai/v1/chat/completions/chatcmpl-1?api-version=preview HTTP")
