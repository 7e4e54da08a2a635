"""What every Verifier does. A new verifier is one more line in VERIFIERS."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

pytest.importorskip("onnxruntime")

from farthing.brain.cache.semantic.verify.rules import RulesVerifier
from farthing.brain.cache.semantic.verify.trained import TrainedVerifier
from farthing.models.embed.onnx import OnnxEmbedder
from farthing.models.pair.onnx import OnnxPairModel
from farthing.protocols import Verifier
from farthing.types import Verdict

VERIFIERS: dict[str, Callable[[Any], Verifier]] = {
    "rules": lambda _: RulesVerifier(),
    "trained": lambda pair_model: TrainedVerifier(pair_model),
    "trained, no pair model": lambda _: TrainedVerifier(None),
}
NEVER = [
    ("How do I send 20 dollars to Anna?", "How do I send 200 dollars to Anna?"),
    ("How do I enable cookies?", "How do I disable cookies?"),
    ("Is it safe to eat before the test?", "Is it not safe to eat before the test?"),
    ("Trains from Oslo to Bergen", "Trains from Bergen to Oslo"),
    ("What is the capital of Peru?", "How do I bake bread?"),
    ("When was the bridge built?", "Where was the bridge built?"),
    ("Translate 你好", "Translate 再见"),
    ("What does 👍 mean?", "What does 👎 mean?"),
    ("What does the symbol ∀ mean?", "What does the symbol ∃ mean?"),
    ("¿Cuántos años tienes?", "¿Cuántos anos tienes?"),
    ("What does == do in JavaScript?", "What does === do in JavaScript?"),
    ("Is 5<3 true?", "Is 5>3 true?"),
    ("How do I use && in bash?", "How do I use || in bash?"),
    ("Log in to paypal", "Log in to p\u0430ypal"),
    ("如何开启深色模式?", "如何关闭深色模式?"),
    ("เมืองหลวงของฝรั่งเศสคือที่ไหน", "วิธีทำข้าวผัด"),
]
ODD = ["", " ", "?", "\ud800", "a\x00b", "é" * 50, "word " * 2_000, "\U0001f600 \u200b", "ПРИВЕТ", "10" * 300]


Pairs = Sequence[tuple[str, str]]


@pytest.fixture(params=VERIFIERS)
def verify(request: pytest.FixtureRequest) -> Callable[[Pairs], list[Verdict]]:
    """Verdicts of pairs, one after the other; the models are loaded once for all of them."""

    def ask(pairs: Pairs) -> list[Verdict]:
        async def go() -> list[Verdict]:
            embedder, pair_model = OnnxEmbedder(), OnnxPairModel()
            try:
                verifier = VERIFIERS[request.param](pair_model)
                verdicts = []
                for asked, stored in pairs:
                    (u, v), _ = await embedder.embed([asked, stored])
                    verdicts.append(await verifier.verify(asked, stored, u, v))
                return verdicts
            finally:
                await embedder.aclose()
                await pair_model.aclose()

        return asyncio.run(go())

    return ask


def test_the_same_text_is_served(verify: Callable[[Pairs], list[Verdict]]) -> None:
    (verdict,) = verify([("How do I close my account?", "How do I close my account?")])
    assert verdict.outcome == "serve"


def test_another_question_is_not_served(verify: Callable[[Pairs], list[Verdict]]) -> None:
    for pair, verdict in zip(NEVER, verify(NEVER), strict=True):
        assert verdict.outcome == "miss", pair
        assert verdict.reason, pair


def test_any_text_gets_a_verdict_with_a_probability(verify: Callable[[Pairs], list[Verdict]]) -> None:
    verdicts = verify([("How do I close my account?", text) for text in ODD])
    for text, verdict in zip(ODD, verdicts, strict=True):
        assert verdict.outcome != "serve", ascii(text)[:20]
        assert 0 <= verdict.probability <= 1, ascii(text)[:20]


def test_the_order_of_the_two_does_not_matter(verify: Callable[[Pairs], list[Verdict]]) -> None:
    one, two = "How can I close my account?", "What is the way to close an account?"
    first, second = verify([(one, two), (two, one)])
    assert first.outcome == second.outcome
    assert first.probability == pytest.approx(second.probability, abs=1e-5)
