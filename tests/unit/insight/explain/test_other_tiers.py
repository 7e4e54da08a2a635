"""What the other tiers would have cost, and which one answered."""

import pytest

from farthing import config as configuration
from farthing.insight.explain.route import other_tiers
from farthing.types import Receipt, Usage, replace

CONFIG = configuration.loads(
    """
[providers.openai]
base_url = "http://127.0.0.1:9/v1"
[tiers.cheap]
targets = ["openai/gpt-5-mini"]
[tiers.expensive]
targets = ["openai/gpt-5.2"]
""",
    {},
)


@pytest.mark.parametrize("operation", ["embeddings", "images/generations", "audio/transcriptions", "rerank"])
def test_what_is_no_chat_is_compared_with_no_tier_of_chat_models(operation: str) -> None:
    usage = Usage(input_tokens=10, output_tokens=1_000)
    receipt = Receipt(request_id="x", at_unix_s=1.79e9, started_s=0.0, usage=usage, operation=operation)
    assert other_tiers(receipt, CONFIG) == []
    assert len(other_tiers(replace(receipt, operation="completions"), CONFIG)) == 2


@pytest.mark.parametrize(("target", "answered"), [("openai/gpt-5-mini", ["cheap"]), ("", [])])
def test_a_tier_that_gave_no_answer_is_not_said_to_have_answered(target: str, answered: list[str]) -> None:
    receipt = Receipt(request_id="x", at_unix_s=1.79e9, started_s=0.0, tier="cheap", target=target)
    assert [one.tier for one in other_tiers(receipt, CONFIG) if one.taken] == answered
