"""What every PairModel does. A new one is one more line in MODELS."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")

from farthing.errors import StoreError
from farthing.models.pair.onnx import OnnxPairModel
from farthing.protocols import PairModel

MODELS: dict[str, Callable[[], PairModel]] = {"onnx": OnnxPairModel}
SAME = ("How can I learn to play chess?", "What is the best way to learn chess?")
OTHER = ("How can I learn to play chess?", "What is the population of Norway?")


@pytest.fixture(params=MODELS)
def make(request: pytest.FixtureRequest) -> Callable[[], PairModel]:
    return MODELS[request.param]


def using(make: Callable[[], PairModel], what: Callable[[PairModel], Awaitable[None]]) -> None:
    async def go() -> None:
        model = make()
        try:
            await what(model)
        finally:
            await model.aclose()

    asyncio.run(go())


def test_a_logit_for_each_pair_in_order_higher_where_both_ask_the_same(make: Callable[[], PairModel]) -> None:
    async def what(model: PairModel) -> None:
        same, other, again = await model.scores([SAME, OTHER, SAME])
        assert same > 0 > other
        assert same == again

    using(make, what)


def test_the_order_within_a_pair_does_not_matter(make: Callable[[], PairModel]) -> None:
    async def what(model: PairModel) -> None:
        for a, b in (SAME, OTHER, ("", "x"), ("b", "a")):
            assert await model.scores([(a, b)]) == await model.scores([(b, a)])

    using(make, what)


def test_a_pair_scores_the_same_whoever_is_asked_beside_it(make: Callable[[], PairModel]) -> None:
    async def what(model: PairModel) -> None:
        alone = await model.scores([SAME])
        together = await asyncio.gather(*(model.scores([SAME, OTHER]) for _ in range(8)))
        assert all(scores[0] == alone[0] for scores in together)

    using(make, what)


def test_any_text_has_a_score_and_nothing_has_none(make: Callable[[], PairModel]) -> None:
    async def what(model: PairModel) -> None:
        assert list(await model.scores([])) == []
        odd = ["", "\ud800", "\x00", "x" * 100_000, "word " * 5_000, "\U0001f600"]
        scores: Sequence[float] = await model.scores([(text, "What is it?") for text in odd])
        assert len(scores) == len(odd)
        assert all(-100 < score < 100 for score in scores)

    using(make, what)


def test_the_event_loop_goes_on_while_it_works(make: Callable[[], PairModel]) -> None:
    async def what(model: PairModel) -> None:
        await model.scores([SAME])
        turns = 0
        working = asyncio.ensure_future(model.scores([SAME] * 40))
        while not working.done():
            turns += 1
            await asyncio.sleep(0.001)
        assert turns > 5

    using(make, what)


def test_closed_twice_it_says_that_it_cannot_tell(make: Callable[[], PairModel]) -> None:
    async def what(model: PairModel) -> None:
        await model.aclose()
        await model.aclose()
        with pytest.raises(StoreError):
            await model.scores([SAME])

    using(make, what)


def test_a_model_that_is_not_there_cannot_tell(tmp_path: Path) -> None:
    async def what(model: PairModel) -> None:
        with pytest.raises(StoreError, match="not there"):
            await model.scores([SAME])

    using(lambda: OnnxPairModel(model=tmp_path / "none.onnx"), what)


def test_too_many_at_once_are_refused_and_the_rest_are_served() -> None:
    async def what(model: PairModel) -> None:
        found = await asyncio.gather(*(model.scores([SAME]) for _ in range(6)), return_exceptions=True)
        assert sum(isinstance(one, StoreError) for one in found) == 2
        assert len(await model.scores([SAME])) == 1

    using(lambda: OnnxPairModel(waiting_max=4), what)
