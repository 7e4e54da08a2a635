"""Nothing crosses a scope: neither an answer nor the work of finding it. And no history shares another's."""

import asyncio
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.asking import ACME
from tests.semantic import (
    ON,
    Cache,
    HashedWords,
    SharedWords,
    Tally,
    faq,
    in_english,
    question,
    said,
    with_cache,
)

from farthing.brain.cache.semantic.cache import Limits, SemanticAnswers
from farthing.brain.cache.semantic.scope import Scopes
from farthing.brain.cache.semantic.store.entries_file import EntryStore
from farthing.brain.cache.semantic.store.state import SemanticCacheState
from farthing.stores.vector.partitions import PartitionedIndex
from farthing.text.answer_text import text_of
from farthing.types import CacheLookup, Request, Tenant, replace

WORDS = ["refund", "lamp", "broken", "how", "where", "return", "table", "pay", "the", "a"]
TENANTS = [ACME, Tenant(name="other"), replace(ACME, plan="gold"), Tenant(name="acme ")]
SYSTEMS = [None, "Be brief.", "Be brief"]
EARLIER = [None, "Tell me of lamps", "Tell me of rents"]
ENDPOINTS = [faq(), replace(faq(), name="sales"), faq(replace(ON, documents="2"))]

texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
scopes = st.tuples(
    st.sampled_from(TENANTS),
    st.sampled_from(ENDPOINTS),
    st.sampled_from(SYSTEMS),
    st.sampled_from(EARLIER),
    st.sampled_from([None, 0.0, 0.5]),
)


def made(text: str, where: tuple[Any, ...]) -> Request:
    tenant, endpoint, system, earlier, temperature = where
    messages: list[dict[str, str]] = []
    if system is not None:
        messages.append({"role": "system", "content": system})
    if earlier is not None:
        messages += [{"role": "user", "content": earlier}, {"role": "assistant", "content": "Well."}]
    body: dict[str, Any] = {"model": "auto", "messages": [*messages, {"role": "user", "content": text}]}
    if temperature is not None:
        body["temperature"] = temperature
    return question(text, endpoint=endpoint, body=body, tenant=tenant)


def name_of(where: tuple[Any, ...]) -> str:
    """The scope in words, which stands in each of its answers."""
    tenant, endpoint, system, earlier, temperature = where
    terms = endpoint.semantic
    return repr((tenant.name, tenant.plan, endpoint.name, terms.documents, system, earlier, temperature))


class Isolation(RuleBasedStateMachine):
    """Every answer names the scope it was given in; whatever is proposed must name the asker's own."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.kept = 0

    @initialize()
    def open(self) -> None:
        self.runner.run(self._open())

    async def _open(self) -> None:
        embedder = HashedWords()
        entry_store = EntryStore(Path(self.folder.name) / "s.db", entries_max=40, bytes_max=10_000_000)
        cache_state = SemanticCacheState(
            entry_store, PartitionedIndex(embedder.dims, name=embedder.name), embedder
        )
        await cache_state.load()
        answers = SemanticAnswers(
            cache_state,
            scopes=Scopes(embedder=embedder.name, language_of=in_english),
            verifier=SharedWords(),
            bound=Tally(),
            limits=Limits(cosine_min=0.0),
            draw=lambda: 0.5,
        )
        self.cache = Cache(cache_state, answers, Tally())

    @rule(text=texts, where=scopes)
    def keep(self, text: str, where: tuple[Any, ...]) -> None:
        lookup = self.runner.run(self.cache.ask(made(text, where), said(f"answer of {name_of(where)}")))
        self.kept += 1
        self.own(lookup, where)

    @rule(text=texts, where=scopes)
    def lookup(self, text: str, where: tuple[Any, ...]) -> None:
        self.own(self.runner.run(self.cache.lookup(made(text, where))), where)

    @precondition(lambda self: self.kept > 3)
    @rule()
    def restart(self) -> None:
        self.runner.run(self.cache.cache_state.aclose())
        self.runner.run(self._open())

    def own(self, lookup: CacheLookup | None, where: tuple[Any, ...]) -> None:
        assert lookup is not None
        if lookup.candidate is not None:
            assert text_of(lookup.candidate.hit) == f"answer of {name_of(where)}"

    def teardown(self) -> None:
        self.runner.run(self.cache.cache_state.aclose())
        self.runner.close()
        self.folder.cleanup()


TestIsolation = pytest.mark.slow(Isolation.TestCase)
TestIsolation.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)


def probed(path: Path, probes: int, seed: int = 7) -> tuple[int, int]:
    """Ask the same few questions in scopes at random, and count hits of the own scope and of another."""
    draw = random.Random(seed)
    everywhere = [
        (tenant, endpoint, system, earlier, temperature)
        for tenant in (*TENANTS, *(Tenant(name=f"t{n}") for n in range(20)))
        for endpoint in ENDPOINTS
        for system in SYSTEMS
        for earlier in EARLIER
        for temperature in (None, 0.0)
    ]
    told = ["how do I return a lamp", "where do I pay", "how do I return the lamp"]

    async def work(cache: Cache) -> tuple[int, int]:
        own = crossed = 0
        stored = draw.sample(everywhere, len(everywhere) // 3)
        for where in stored:
            await cache.ask(made(told[0], where), said(f"answer of {name_of(where)}"))
        filled = {name_of(where) for where in stored}
        for _ in range(probes):
            where = draw.choice(everywhere)
            lookup = await cache.lookup(made(draw.choice(told), where))
            if lookup is not None and lookup.candidate is not None:
                name = name_of(where)
                right = name in filled and text_of(lookup.candidate.hit) == f"answer of {name}"
                own, crossed = own + right, crossed + (not right)
        return own, crossed

    return with_cache(path, work, limits=Limits(cosine_min=0.0), room=(10_000, 100_000_000))


@pytest.mark.slow
def test_probes_of_many_scopes_never_cross(tmp_path: Path) -> None:
    own, crossed = probed(tmp_path / "s.db", 3_000)
    assert crossed == 0
    assert own > 500, "the test would see nothing if nothing were found"


CONVERSATIONS = [
    (
        ["What is throat cancer?", "It is a tumour."],
        ["What is lung cancer?", "It is a tumour."],
        "Is it treatable?",
    ),
    (
        ["Tell me of the Neolithic", "It began in 10000 BC."],
        ["Tell me of Rome", "It fell."],
        "What came before?",
    ),
    (
        ["How do I sell a house?", "Find a broker."],
        ["How do I sell a car?", "Clean it."],
        "What does it cost?",
    ),
    (["Who wrote Faust?", "Goethe."], ["Who wrote Hamlet?", "Shakespeare."], "When did he die?"),
    (["Is a golden retriever calm?", "Yes."], ["Is a terrier calm?", "No."], "How long do they live?"),
    ([], ["Which lamps are there?", "Many."], "How much are they?"),
]


@pytest.mark.parametrize(("one", "other", "last"), CONVERSATIONS)
def test_the_same_words_after_another_conversation_are_never_answered_alike(
    tmp_path: Path, one: list[str], other: list[str], last: str
) -> None:
    def after(history: list[str]) -> Request:
        roles = ["user", "assistant"] * len(history)
        messages = [{"role": role, "content": text} for role, text in zip(roles, history, strict=False)]
        return question(
            last, body={"model": "auto", "messages": [*messages, {"role": "user", "content": last}]}
        )

    async def work(cache: Cache) -> None:
        await cache.ask(after(one), "An answer of the first conversation.")
        lookup = await cache.lookup(after(other))
        assert lookup is not None and lookup.candidate is None
        same = await cache.lookup(after(one))
        assert same is not None and same.serves

    with_cache(tmp_path / "s.db", work)


def test_what_other_tenants_keep_adds_no_work_to_a_look_up(tmp_path: Path) -> None:
    """Time itself is noise on a busy machine; what a look-up reads and asks is not."""

    class Counting:
        """Counts what the store and the verifier are asked during a look-up."""

        def __init__(self) -> None:
            self.verified = 0
            self.inner = SharedWords()

        async def verify(self, *pair: Any, language: str = "en") -> Any:
            self.verified += 1
            return await self.inner.verify(*pair, language=language)

    async def work(cache: Cache) -> None:
        counting = Counting()
        cache.answers._verifier = counting
        statements: list[str] = []

        def traced(db: Any) -> None:
            db.trace_v2(1, lambda event: statements.append(event["sql"]))

        await cache.cache_state.entry_store.run(traced)
        mine = question("how do I return a lamp", tenant=Tenant(name="mine"))
        statements.clear()
        assert (await cache.lookup(mine)) is not None
        before = (counting.verified, len(statements))
        for number in range(200):
            theirs = question("how do I return a lamp", tenant=Tenant(name=f"t{number}"))
            await cache.ask(theirs, "Choose Return.")
        counting.verified = 0
        statements.clear()
        lookup = await cache.lookup(mine)
        assert lookup is not None and lookup.candidate is None
        assert (counting.verified, len(statements)) == before == (0, 0)
        await cache.ask(mine, "Choose Return.")
        statements.clear()
        own = await cache.lookup(mine)
        assert own is not None and own.serves
        assert counting.verified == 1 and statements, "it would have been seen"

    with_cache(tmp_path / "s.db", work)
