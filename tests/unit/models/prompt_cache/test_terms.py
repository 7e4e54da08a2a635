"""The terms on which a model's prompts are cached, by its name at any provider."""

import pytest

from farthing.models.prompt_cache.terms import UNKNOWN_TERMS, CacheTerms, terms_of
from farthing.types import Target


def of(model: str) -> CacheTerms:
    return terms_of(Target(name=f"any/{model}", provider="any", model=model))


@pytest.mark.parametrize(
    ("model", "tokens_min"),
    [
        ("claude-opus-5", 512),
        ("claude-fable-5-1", 512),
        ("anthropic/claude-opus-5.5", 512),
        ("claude-sonnet-5", 1_024),
        ("claude-sonnet-4-5-20250929", 1_024),
        ("claude-opus-4-8", 1_024),
        ("claude-opus-4-7", 2_048),
        ("anthropic.claude-opus-4-7-v1:0", 4_096),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", 4_096),
        ("claude-opus-4-6", 4_096),
        ("claude-opus-4-20250514", 1_024),
        ("claude-haiku-3", 2_048),
        ("claude-3-haiku-20240307", 2_048),
        ("claude-3-5-sonnet-20241022", 1_024),
        ("claude-something-new", 1_024),
    ],
)
def test_claude_is_cached_where_it_is_marked_from_a_minimum_of_its_own(model: str, tokens_min: int) -> None:
    terms = of(model)
    assert (terms.marked, terms.life_s, terms.life_long_s, terms.tells) == (True, 300.0, 3_600.0, True)
    assert terms.tokens_min == tokens_min


@pytest.mark.parametrize(
    ("model", "life_s", "block_tokens"),
    [
        ("gpt-4o", 300.0, 128), ("gpt-5.2", 300.0, 128), ("o3-mini", 300.0, 128),
        ("openai/gpt-4.1", 300.0, 128),
        ("gpt-5.6", 1_800.0, 1), ("gpt-6.1-mini", 1_800.0, 1), ("gpt-10", 1_800.0, 1),
    ],
)  # fmt: skip
def test_openai_finds_prefixes_by_itself(model: str, life_s: float, block_tokens: int) -> None:
    terms = of(model)
    assert (terms.tokens_min, terms.life_s, terms.block_tokens, terms.marked) == (
        1_024, life_s, block_tokens, False
    )  # fmt: skip


def test_others_by_their_names_and_nothing_of_whom_nothing_is_known() -> None:
    assert of("gemini-3-flash").tokens_min == 1_024
    assert of("google/gemini-3.1-pro-preview").tokens_min == 4_096
    assert of("grok-4.3").block_tokens == 128
    assert of("deepseek-chat").tells
    for model in ("qwen3", "gpt-oss-120b", "llama-4", ""):
        assert of(model) == UNKNOWN_TERMS
