"""What the gateway does with every Retriever, by one that is kept behind the adaptor of plug-ins."""

import asyncio
from typing import Any

import pytest
from tests.asking import asked

from farthing.protocols import Retriever
from farthing.runtime.loop_batch import in_task
from farthing.types import Passage, Passages, Request, Traits
from farthing.wiring.foreign import Calls, ForeignRetriever

PASSAGE = Passage(text="Four to a penny.", source="coins@1", score=0.5, tokens=5)


class Kept:
    """Gives what it was made with."""

    def __init__(self, given: Any) -> None:
        self._given = given

    async def retrieve(self, request: Request, traits: Traits) -> Any:
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
        return self._given


RETRIEVERS: dict[str, Retriever] = {
    "kept": Kept(Passages(passages=(PASSAGE,))),
    "foreign": ForeignRetriever(Kept(Passages(passages=(PASSAGE,))), Calls("toy")),
}


@pytest.mark.parametrize("name", RETRIEVERS)
def test_it_gives_passages(name: str) -> None:
    async def run() -> Passages:
        await in_task()  # as `optional` has it
        return await RETRIEVERS[name].retrieve(asked(), Traits())

    assert asyncio.run(run()) == Passages(passages=(PASSAGE,))


def test_a_list_of_passages_is_taken_for_a_tuple() -> None:
    listed = Kept(Passages(passages=[PASSAGE]))  # type: ignore[arg-type]
    found = asyncio.run(ForeignRetriever(listed, Calls("toy")).retrieve(asked(), Traits()))
    assert found == Passages(passages=(PASSAGE,))


@pytest.mark.parametrize(
    "given",
    [None, [PASSAGE], Passages(passages={}), Passages(passages=("text",))],  # type: ignore[arg-type]
)
def test_what_are_no_passages_is_refused_by_name(given: Any) -> None:
    with pytest.raises(TypeError, match="plug-in toy: retrieve gave"):
        asyncio.run(ForeignRetriever(Kept(given), Calls("toy")).retrieve(asked(), Traits()))
