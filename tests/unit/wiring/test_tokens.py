"""For which of the targets of a configuration a prompt is counted, and what is kept of it all."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from farthing import config as configuration
from farthing.models.pricing.catalogue import Catalogue
from farthing.models.targets import Targets
from farthing.models.tokens.learned import SURELY
from farthing.stores import token_ratios
from farthing.types import DEFAULT_ENDPOINT, Prompt, Request, Target, Tenant, Usage
from farthing.wiring.tokens import TokenParts

TEXT = "What a provider counts for a text is its own affair, and shows in the usage. " * 60
CONFIG = """
[providers.openai]
base_url = "http://127.0.0.1:1/v1"
[providers.anthropic]
kind = "anthropic"
[tiers.exact]
targets = ["openai/gpt-5"]
[tiers.mixed]
targets = ["openai/gpt-5", "anthropic/claude-sonnet-4-5"]
[aliases]
mine = "mixed"
{more}
"""


def parts(more: str = "", state: Path | None = None) -> TokenParts:
    config = configuration.loads(CONFIG.format(more=more), {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"})
    found = TokenParts(state)
    found.counter.warm("gpt-4o")
    found.serve(config, Targets(config, Catalogue.load()))
    return found


def asked(model: str, **fields: Any) -> tuple[Request, Prompt]:
    body: Mapping[str, Any] = {"model": model, "messages": [{"role": "user", "content": TEXT}]}
    request = Request(
        id="r",
        tenant=Tenant(name="t"),
        endpoint=DEFAULT_ENDPOINT,
        operation="chat",
        model=model,
        body=dict(body),
        text=TEXT,
        prompt_chars=len(TEXT),
        **fields,
    )
    prompt = Prompt(
        body=request.body, input_tokens=1_100, input_tokens_bound=None, output_tokens_max=None, stream=False
    )
    return request, prompt


@pytest.mark.parametrize(
    ("model", "exact"),
    [
        ("openai/gpt-5", True),
        ("gpt-5", True),
        ("exact", True),
        ("gpt-4.1", True),
        ("openai/gpt-4.1-nano", True),
        ("anthropic/claude-sonnet-4-5", False),
        ("mixed", False),
        ("mine", False),
        ("auto", False),
        ("farthing/some", False),
        ("x/unheard-of", False),
        ("", False),
    ],
)
def test_a_prompt_is_counted_for_the_target_that_will_have_the_fewest(model: str, exact: bool) -> None:
    found = parts().count(*asked(model))
    true = parts().count(*asked("openai/gpt-5"))
    assert found.exact is exact
    assert found.least == true.tokens if exact else found.least <= SURELY * true.tokens + 1


def test_a_tier_that_is_asked_for_wins_over_the_model() -> None:
    assert parts().count(*asked("auto", tier="exact")).exact


def test_the_vocabulary_is_loaded_where_a_limit_may_need_it_and_only_there() -> None:
    def loaded(more: str) -> bool:
        config = configuration.loads(
            CONFIG.format(more=more), {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}
        )
        found = TokenParts()
        found.warm(config)
        found.serve(config, Targets(config, Catalogue.load()))
        return bool(found.counter._encodings or found.counter._begun)

    assert not loaded("")
    assert loaded("[endpoints.e]\ninput_tokens_max = 9")
    assert loaded("[endpoints.e]\nusd_max = 0.1")


def test_what_was_learned_is_saved_at_the_end_and_there_at_the_next_start(tmp_path: Path) -> None:
    target = Target(name="anthropic/claude-sonnet-4-5", provider="anthropic", model="claude-sonnet-4-5")
    first = parts(state=tmp_path)

    async def life() -> None:
        first.start()
        for _ in range(30):
            first.sizes.learn(target, asked("auto")[1], Usage(input_tokens=1_650))
        await first.aclose()
        await first.aclose()

    asyncio.run(life())
    assert [row.samples for row in token_ratios.load(tmp_path)] == [30]
    again = parts(state=tmp_path)
    kept, before = (one.sizes.expected(target, 1_000).tokens for one in (again, first))
    assert abs(kept - before) <= 1 and kept == pytest.approx(1_500, abs=5)
    never_started = parts(state=tmp_path)
    never_started.sizes.learn(target, asked("auto")[1], Usage(input_tokens=1_650))
    asyncio.run(never_started.aclose())
    assert [row.samples for row in token_ratios.load(tmp_path)] == [31]
