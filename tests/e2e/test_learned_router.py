"""The learned router in the real gateway: what the model decides, and that nothing is lost when it cannot."""

from pathlib import Path

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Running
from tests.faults.provider import FaultProvider
from tests.planted import MADE, examples_of, fitted, outcomes_of, questions

from farthing.brain.route.learned.fit import fit
from farthing.models.embed.onnx import OnnxEmbedder
from farthing.types import replace

CONFIG = """
[providers.a]
base_url = "{url}"
[tiers.cheap]
targets = ["a/small"]
[tiers.expensive]
targets = ["a/large"]
[brain]
timeout_s = 2.0
[route]
kind = "learned"
model = "{model}"
threshold = 0.8
[endpoints.loose]
route_threshold = 0.1
"""
TEXTS, HARD = questions(60, seed=77)
EASY_TEXT = next(text for text, hard in zip(TEXTS, HARD, strict=True) if not hard)
HARD_TEXT = next(text for text, hard in zip(TEXTS, HARD, strict=True) if hard)


@pytest.fixture(scope="module")
def gateway(
    start_gateway: StartGateway, upstream: FaultProvider, tmp_path_factory: pytest.TempPathFactory
) -> Running:
    path: Path = tmp_path_factory.mktemp("route") / "route.npz"
    fitted().model.save(path)
    return start_gateway(CONFIG.format(url=upstream.base_url, model=path))


def test_the_receipt_says_who_was_asked_and_why(gateway: Running) -> None:
    easy = gateway.receipt_of(gateway.chat(EASY_TEXT, model="auto"))
    hard = gateway.receipt_of(gateway.chat(HARD_TEXT, model="auto"))
    assert (easy.tier, hard.tier) == ("cheap", "expensive")
    assert easy.route_reason.startswith("learned: cheap expected right")
    assert easy.route_score is not None and easy.route_score >= 0.8
    assert easy.propensity == hard.propensity == 1.0
    assert not easy.skipped and not hard.skipped


def test_a_named_model_and_an_endpoints_own_floor_are_kept_to(gateway: Running) -> None:
    assert gateway.receipt_of(gateway.chat(EASY_TEXT, model="a/large")).target == "a/large"
    loose = gateway.receipt_of(gateway.chat(HARD_TEXT, model="farthing/loose"))
    assert loose.tier == "cheap", loose.route_reason


def test_the_shipped_embedder_is_asked_when_the_model_reads_vectors(
    start_gateway: StartGateway, upstream: FaultProvider, tmp_path: Path
) -> None:
    import asyncio

    async def vectors_of(texts: list[str]) -> object:
        embedder = OnnxEmbedder()
        try:
            return (await embedder.embed(texts))[0]
        finally:
            await embedder.aclose()

    texts, hard = questions(200)
    vectors = asyncio.run(vectors_of(texts))
    examples = replace(
        examples_of(texts, outcomes_of(hard), vectors),  # type: ignore[arg-type]
        embedder=OnnxEmbedder.name,
    )
    path = tmp_path / "route.npz"
    fit(examples, heads=("structure", "landmarks", "embedding"), made=MADE).model.save(path)
    gateway = start_gateway(CONFIG.format(url=upstream.base_url, model=path))
    for text, tier in ((EASY_TEXT, "cheap"), (HARD_TEXT, "expensive")):
        receipt = gateway.receipt_of(gateway.chat(text, model="auto"))
        assert receipt.tier == tier and not receipt.skipped
        assert receipt.stage_ms["route"] > 0
