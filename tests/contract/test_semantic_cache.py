"""What every `SemanticCache` guarantees, shown on the one there is."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.asking import ACME
from tests.semantic import (
    ON,
    UNREAD,
    Cache,
    HashedWords,
    SharedWords,
    counted,
    faq,
    question,
    receipt,
    said,
    streamed,
    with_cache,
)

from farthing.brain.cache.semantic.cache import Limits
from farthing.brain.cache.semantic.store.invalidate import Selection
from farthing.errors import StoreError
from farthing.runtime.loop_batch import in_task
from farthing.text.answer_text import text_of
from farthing.types import CertifiedLanguage, Comparison, Receipt, Semantics, Tenant, Verdict, replace

if TYPE_CHECKING:
    from farthing.protocols import Vectors

ASKED = "How do I get a refund for a broken lamp?"
ALIKE = "How do I get a refund for my broken lamp?"
ANSWER = "Open the order page and choose Return."


def changed(**terms: object) -> Semantics:
    made: Semantics = replace(ON, **terms)
    return made


def test_a_question_in_other_words_gets_the_stored_answer(tmp_path: Path) -> None:
    async def work(cache: Cache) -> None:
        first = await cache.ask(question(ASKED), ANSWER)
        assert first is not None and first.candidate is None and not first.serves
        lookup = await cache.lookup(question(ALIKE))
        assert lookup is not None and lookup.serves and lookup.candidate is not None
        assert lookup.candidate.question == ASKED
        assert text_of(lookup.candidate.hit) == ANSWER
        assert lookup.candidate.hit.kind == "semantic"
        assert 0.8 < lookup.candidate.hit.similarity < 1.0

    with_cache(tmp_path / "s.db", work)


def test_nothing_is_served_below_the_threshold_and_the_proposal_is_told(tmp_path: Path) -> None:
    strict = faq(changed(threshold=0.95))

    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED, endpoint=strict), ANSWER)
        lookup = await cache.lookup(question(ALIKE, endpoint=strict))
        assert (
            lookup is not None and lookup.candidate is not None and not lookup.serves and not lookup.audited
        )
        assert lookup.candidate.verdict.outcome == "miss"

    with_cache(tmp_path / "s.db", work)


def test_what_the_embedder_cannot_read_is_neither_looked_up_nor_kept(tmp_path: Path) -> None:
    async def work(cache: Cache) -> None:
        assert await cache.ask(question(f"{ASKED} {UNREAD}"), ANSWER) is None
        lookup = await cache.ask(question(ASKED), ANSWER)
        assert lookup is not None and lookup.candidate is None, "nothing was kept"
        assert await cache.lookup(question(f"{ALIKE} {UNREAD}")) is None

    with_cache(tmp_path / "s.db", work)


def heard(language: str) -> Receipt:
    """What is known of a request in which the classifier heard `language`."""
    told = receipt()
    told.language = language
    return told


def test_a_language_that_is_not_allowed_is_neither_looked_up_nor_kept(tmp_path: Path) -> None:
    async def work(cache: Cache) -> None:
        assert await cache.lookup(question(ASKED), heard("de")) is None
        assert await cache.lookup(question(ASKED), heard("unknown")) is not None

    with_cache(tmp_path / "s.db", work)


GERMAN = CertifiedLanguage(language="de", threshold=0.7, until_unix_s=2e12)


@pytest.mark.parametrize(
    ("certified", "serves", "outcomes"), [((GERMAN,), True, 0), ((), False, 0)], ids=["certified", "not"]
)
def test_another_language_is_served_only_under_a_certificate_of_its_own(
    tmp_path: Path, certified: tuple[CertifiedLanguage, ...], serves: bool, outcomes: int
) -> None:
    endpoint = faq(changed(languages=("en", "de"), certified=certified))

    async def work(cache: Cache) -> None:
        first = await cache.lookup(question(ASKED, endpoint=endpoint), heard("de"))
        assert first is not None and first.language == "de"
        await cache.answers.store(first, question(ASKED, endpoint=endpoint), said(ANSWER), heard("de"))
        await cache.cache_state.written()
        lookup = await cache.lookup(question(ALIKE, endpoint=endpoint), heard("de"))
        assert lookup is not None and lookup.candidate is not None
        assert lookup.serves is serves and lookup.candidate.verdict.outcome == "serve"
        if not serves:
            told = heard("de")
            await cache.answers.store(lookup, question(ALIKE, endpoint=endpoint), said("Other words."), told)
            assert told.audit == "differs", "it is audited, for a certificate of its language"
        assert len(cache.bound.outcomes) == outcomes, "which says nothing of English"
        english = await cache.lookup(question(ALIKE, endpoint=endpoint), heard("unknown"))
        assert english is not None and english.candidate is None, "languages share no partition"

    with_cache(tmp_path / "s.db", work)


def test_a_certificate_of_a_language_runs_out_by_itself(tmp_path: Path) -> None:
    endpoint = faq(changed(languages=("en", "de"), certified=(replace(GERMAN, until_unix_s=5.0),)))

    async def work(cache: Cache) -> None:
        first = await cache.lookup(question(ASKED, endpoint=endpoint), heard("de"))
        assert first is not None
        await cache.answers.store(first, question(ASKED, endpoint=endpoint), said(ANSWER), heard("de"))
        await cache.cache_state.written()
        lookup = await cache.lookup(question(ALIKE, endpoint=endpoint), heard("de"))
        assert lookup is not None and lookup.candidate is not None and not lookup.serves

    with_cache(tmp_path / "s.db", work)


def test_observing_serves_nothing_and_says_what_it_would_have(tmp_path: Path) -> None:
    endpoint = faq(changed(mode="observe"))

    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED, endpoint=endpoint), ANSWER)
        told = receipt()
        lookup = await cache.ask(question(ALIKE, endpoint=endpoint), ANSWER, told)
        assert lookup is not None and lookup.candidate is not None and not lookup.serves
        assert lookup.candidate.verdict.outcome == "serve"
        assert told.audit == "agrees"
        assert cache.bound.outcomes == [("faq", False, "")]

    with_cache(tmp_path / "s.db", work)


def test_on_without_a_threshold_serves_nothing(tmp_path: Path) -> None:
    endpoint = faq(changed(threshold=None))

    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED, endpoint=endpoint), ANSWER)
        lookup = await cache.lookup(question(ALIKE, endpoint=endpoint))
        assert lookup is not None and lookup.candidate is not None and not lookup.serves

    with_cache(tmp_path / "s.db", work)


def test_a_hit_drawn_for_an_audit_is_answered_anew_and_compared(tmp_path: Path) -> None:
    endpoint = faq(changed(audit_share=0.5))
    drawn = iter([0.7, 0.2])

    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED, endpoint=endpoint), ANSWER)
        served = await cache.lookup(question(ALIKE, endpoint=endpoint))
        assert served is not None and served.serves and not served.audited
        told = receipt()
        lookup = await cache.ask(question(ALIKE, endpoint=endpoint), "Something else.", told)
        assert lookup is not None and lookup.audited and not lookup.serves
        assert told.audit == "differs"
        assert cache.bound.outcomes == [("faq", True, "")]

    with_cache(tmp_path / "s.db", work, draw=lambda: next(drawn))


def test_an_answer_that_agrees_is_not_kept_twice(tmp_path: Path) -> None:
    endpoint = faq(changed(audit_share=1.0))

    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED, endpoint=endpoint), ANSWER)
        await cache.ask(question(ALIKE, endpoint=endpoint), "open the **order page**, and choose “Return”")
        shown = await cache.cache_state.invalidations.show()
        assert shown["entries"] == 1
        assert shown["endpoints"][0]["agreed"] == 1

    with_cache(tmp_path / "s.db", work)


def test_an_entry_that_differs_is_dropped_and_the_fresh_answer_kept(tmp_path: Path) -> None:
    endpoint = faq(changed(audit_share=1.0))

    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED, endpoint=endpoint), "Within 30 days.")
        await cache.ask(question(ASKED, endpoint=endpoint), "Within 14 days.")
        lookup = await cache.lookup(question(ASKED, endpoint=faq()))
        assert lookup is not None and lookup.candidate is not None
        assert text_of(lookup.candidate.hit) == "Within 14 days."
        assert (await cache.cache_state.invalidations.show())["entries"] == 1

    with_cache(tmp_path / "s.db", work)


def test_a_doubted_entry_is_not_served_until_a_fresh_answer_agrees(tmp_path: Path) -> None:
    limits = Limits(cosine_min=0.3, check=frozenset({"faq"}))

    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED), ANSWER)
        cache.cache_state.judge(1, agrees=False, keep_doubted=True)
        await cache.cache_state.written()
        doubted = await cache.ask(question(ALIKE), ANSWER)
        assert doubted is not None and doubted.doubted and not doubted.serves
        lookup = await cache.lookup(question(ALIKE))
        assert lookup is not None and lookup.serves
        assert cache.bound.outcomes == [], "it would not have been served, so it is no outcome"

    with_cache(tmp_path / "s.db", work, limits=limits)


class Later:
    """A judge whose word comes when the test says it."""

    def __init__(self, reply: str) -> None:
        self.reply = reply
        self.asked: list[Comparison] = []

    def ask(self, comparison: Comparison) -> str:
        self.asked.append(comparison)
        return self.reply


def test_a_judge_has_the_last_word_where_words_differ(tmp_path: Path) -> None:
    endpoint = faq(changed(audit_share=1.0))
    judge = Later("queued")

    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED, endpoint=endpoint), ANSWER)
        told = receipt("r-2")
        await cache.ask(
            question(ALIKE, endpoint=endpoint, id="r-2"), "Choose Return on the order page.", told
        )
        assert told.audit == "pending"
        assert cache.bound.outcomes == [("faq", None, "r-2")]
        (comparison,) = judge.asked
        assert (comparison.stored, comparison.fresh) == (ANSWER, "Choose Return on the order page.")
        cache.answers.judged(comparison, True)
        await cache.cache_state.written()
        assert cache.bound.outcomes[-1] == ("faq", False, "r-2")

    with_cache(tmp_path / "s.db", work, judge=judge)  # type: ignore[arg-type]


def test_a_comparison_that_nobody_has_room_for_is_lost_not_wrong(tmp_path: Path) -> None:
    endpoint = faq(changed(audit_share=1.0))

    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED, endpoint=endpoint), ANSWER)
        await cache.ask(question(ALIKE, endpoint=endpoint, id="r-2"), "Choose Return there.")
        assert cache.bound.outcomes == [("faq", None, "r-2"), ("faq", None, "r-2")]

    with_cache(tmp_path / "s.db", work, judge=Later("full"))  # type: ignore[arg-type]


def test_an_endpoint_without_a_judge_takes_other_words_for_another_answer(tmp_path: Path) -> None:
    endpoint = faq(changed(audit_share=1.0))

    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED, endpoint=endpoint), ANSWER)
        told = receipt()
        await cache.ask(question(ALIKE, endpoint=endpoint), "Choose Return there.", told)
        assert told.audit == "differs"

    with_cache(tmp_path / "s.db", work, judge=Later("none"))  # type: ignore[arg-type]


def test_where_the_bound_retreats_nothing_is_served_and_every_would_be_hit_is_noted(tmp_path: Path) -> None:
    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED), ANSWER)
        cache.bound.allowing = False
        lookup = await cache.ask(question(ALIKE), ANSWER)
        assert lookup is not None and not lookup.serves and not lookup.audited
        assert cache.bound.outcomes == [("faq", False, "")]

    with_cache(tmp_path / "s.db", work)


def test_a_client_that_wants_a_fresh_answer_gets_one_and_tells_nothing_to_the_bound(tmp_path: Path) -> None:
    fresh = faq(cache_exact="refresh")

    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED), ANSWER)
        lookup = await cache.ask(question(ASKED, endpoint=fresh), "Another answer.")
        assert lookup is not None and not lookup.serves
        assert cache.bound.outcomes == []
        again = await cache.lookup(question(ASKED))
        assert again is not None and again.candidate is not None
        assert text_of(again.candidate.hit) == "Another answer."

    with_cache(tmp_path / "s.db", work)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("What is my account balance?", "somebody's own state"),
        ("What is the weather today?", "now"),
        ("My email is jo@example.com, reset my password", "an address"),
        ("Where is order ORD-2024-7781?", "an order"),
    ],
)
def test_what_is_about_one_person_or_moment_is_not_looked_up(tmp_path: Path, asked: str, why: str) -> None:
    async def work(cache: Cache) -> None:
        assert await cache.lookup(question(asked)) is None, why

    with_cache(tmp_path / "s.db", work)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "I'm sorry, but I can't help with that.",
        "Your order is on its way.",
        "As of today the price is 5 euros.",
        "Dear Maria, it is done.",
    ],
)
def test_an_answer_for_one_person_or_moment_is_not_kept(tmp_path: Path, answer: str) -> None:
    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED), answer)
        assert (await cache.cache_state.invalidations.show())["entries"] == 0

    with_cache(tmp_path / "s.db", work)


def test_an_answer_cut_by_a_limit_is_not_kept(tmp_path: Path) -> None:
    async def work(cache: Cache) -> None:
        told = receipt()
        told.stop_reason = "limit:deadline_s"
        await cache.ask(question(ASKED), ANSWER, told)
        assert (await cache.cache_state.invalidations.show())["entries"] == 0

    with_cache(tmp_path / "s.db", work)


def test_a_question_too_long_to_be_read_whole_is_neither_looked_up_nor_kept(tmp_path: Path) -> None:
    long = " ".join(f"word{i}" for i in range(100))

    async def work(cache: Cache) -> None:
        assert await cache.lookup(question(long)) is None

    with_cache(tmp_path / "s.db", work)


def test_a_streamed_answer_is_kept_and_compared_by_its_text(tmp_path: Path) -> None:
    endpoint = faq(changed(audit_share=1.0))

    async def work(cache: Cache) -> None:
        await cache.ask(
            question(ASKED, endpoint=endpoint), streamed("Open the order page ", "and choose Return.")
        )
        told = receipt()
        await cache.ask(question(ALIKE, endpoint=endpoint), said(ANSWER), told)
        assert told.audit == "agrees"

    with_cache(tmp_path / "s.db", work)


def test_an_entry_deleted_in_the_file_by_another_process_is_a_miss_at_once(tmp_path: Path) -> None:
    path = tmp_path / "s.db"

    async def work(cache: Cache) -> None:
        import apsw

        await cache.ask(question(ASKED), ANSWER)
        other = apsw.Connection(str(path))
        other.execute("DELETE FROM entries")
        lookup = await cache.lookup(question(ASKED))
        assert lookup is not None and lookup.candidate is None
        await cache.cache_state.maintain()
        assert cache.cache_state.gauges()["semantic_entries"] == 0
        other.close()

    with_cache(path, work)


def test_an_entry_past_its_time_is_a_miss(tmp_path: Path) -> None:
    now = [1000.0]

    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED, endpoint=faq(changed(ttl_s=60.0))), ANSWER)
        now[0] += 59
        live = await cache.lookup(question(ASKED))
        assert live is not None and live.serves
        now[0] += 2
        lookup = await cache.lookup(question(ASKED))
        assert lookup is not None and lookup.candidate is None

    with_cache(tmp_path / "s.db", work, clock=lambda: now[0])


def test_entries_outlive_a_restart(tmp_path: Path) -> None:
    async def before(cache: Cache) -> None:
        await cache.ask(question(ASKED), ANSWER)

    async def after(cache: Cache) -> None:
        lookup = await cache.lookup(question(ALIKE))
        assert lookup is not None and lookup.serves

    with_cache(tmp_path / "s.db", before)
    with_cache(tmp_path / "s.db", after)


def test_a_damaged_file_is_set_aside_and_the_cache_starts_empty(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"not a database" * 1000)

    async def work(cache: Cache) -> None:
        lookup = await cache.ask(question(ASKED), ANSWER)
        assert lookup is not None and lookup.candidate is None
        again = await cache.lookup(question(ASKED))
        assert again is not None and again.serves

    with_cache(path, work)
    assert [p.name for p in tmp_path.iterdir() if "corrupt" in p.name]


def test_one_user_cannot_fill_the_cache(tmp_path: Path) -> None:
    limits = Limits(cosine_min=0.3, kept_per_user_hour_max=3)

    async def work(cache: Cache) -> None:
        for number in range(6):
            await cache.ask(question(f"Where do I find page {number}?", user="u1"), f"On shelf {number}.")
        await cache.ask(question("How tall is a giraffe?", user="u2"), "Five metres.")
        assert (await cache.cache_state.invalidations.show())["entries"] == 4

    with_cache(tmp_path / "s.db", work, limits=limits)


def test_a_document_indexed_anew_takes_its_answers_with_it(tmp_path: Path) -> None:
    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED, documents=("returns@1", "terms@4")), ANSWER)
        same = await cache.lookup(question(ALIKE, documents=("returns@1",)))
        assert same is not None and same.serves
        newer = await cache.lookup(question(ALIKE, documents=("returns@2",)))
        assert newer is not None and newer.candidate is None
        await cache.cache_state.written()
        assert (await cache.cache_state.invalidations.show())["entries"] == 0

    with_cache(tmp_path / "s.db", work)


def test_where_it_is_configured_a_document_indexed_anew_leaves_doubt_until_a_fresh_answer_agrees(
    tmp_path: Path,
) -> None:
    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED, documents=("returns@1", "terms@4")), ANSWER)
        newer = question(ALIKE, documents=("returns@2",))
        lookup = await cache.lookup(newer)
        assert lookup is not None and lookup.candidate is not None and lookup.doubted and not lookup.serves
        await cache.cache_state.written()
        (row,) = (await cache.cache_state.invalidations.show())["endpoints"]
        assert (row["entries"], row["doubted"]) == (1, 1)
        again = await cache.ask(newer, ANSWER)
        assert again is not None and not again.serves
        (row,) = (await cache.cache_state.invalidations.show())["endpoints"]
        assert (row["entries"], row["doubted"], row["wrong"]) == (1, 0, 0), "trusted again, never wrong"
        served = await cache.lookup(newer)
        assert served is not None and served.serves, "it is an answer of the new version now"
        older = await cache.lookup(question(ALIKE, documents=("returns@1",)))
        assert older is not None and not older.serves
        found = await cache.cache_state.invalidations.find(Selection(document="returns@2"))
        assert found.entries == 1, "and is found by it"

    with_cache(tmp_path / "s.db", work, limits=Limits(cosine_min=0.3, check=frozenset({"faq"})))


def test_what_a_look_costs_is_in_the_receipt_though_it_is_given_up_or_fails_later(tmp_path: Path) -> None:
    class Slow(HashedWords):
        """Works on, like a remote model whose caller has left."""

        async def embed(self, texts: Sequence[str]) -> "tuple[Vectors, Sequence[bool]]":
            await asyncio.sleep(60)
            return await super().embed(texts)

    class Down(HashedWords):
        async def embed(self, texts: Sequence[str]) -> "tuple[Vectors, Sequence[bool]]":
            raise StoreError("no vectors from it")

    async def work(cache: Cache) -> None:
        cache.answers._nusd_of = lambda chars: 10 * chars
        paid = receipt()
        assert await cache.lookup(question(ASKED), paid) is not None
        assert paid.embedding_nusd == 10 * len(ASKED)
        cut = receipt()
        assert await cache.lookup(question("word " * 100), cut) is None
        assert cut.embedding_nusd == 10 * len("word " * 100), "more than it reads, and paid all the same"
        cache.cache_state.embedder = Slow()
        late = receipt()
        await in_task()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await cache.lookup(question(ASKED), late)
        assert late.embedding_nusd == 10 * len(ASKED)
        cache.cache_state.embedder = Down()
        failed = receipt()
        with pytest.raises(StoreError):
            await cache.lookup(question(ASKED), failed)
        assert failed.embedding_nusd == 0, "nothing came, nothing is owed"
        cache.cache_state.embedder = HashedWords()
        await cache.ask(question(ASKED), ANSWER)
        await cache.cache_state.entry_store.aclose()
        broken = receipt()
        with pytest.raises(StoreError):
            await cache.lookup(question(ALIKE), broken)
        assert broken.embedding_nusd == 10 * len(ALIKE), "the store failed behind an embedding that was paid"

    with_cache(tmp_path / "s.db", work)


def test_a_new_version_of_the_endpoints_documents_drops_the_old_entries(tmp_path: Path) -> None:
    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED, endpoint=faq(changed(documents="2024-05"))), ANSWER)
        cache.cache_state.drop_versions({"faq": "2024-06"}, frozenset())
        await cache.cache_state.written()
        assert (await cache.cache_state.invalidations.show())["entries"] == 0
        (row,) = await cache.cache_state.invalidations.log(10)
        assert row["who"] == "the gateway" and row["dropped"] == 1

    with_cache(tmp_path / "s.db", work)


UNSURE = "How do I get back money for a broken lamp?"


class CannotTell(SharedWords):
    """Tells nothing of a pair that shares only some words."""

    async def verify(self, *pair: Any, language: str = "en") -> Verdict:
        verdict = await super().verify(*pair, language=language)
        told: Verdict = replace(verdict, outcome="abstain") if verdict.probability < 0.8 else verdict
        return told


def test_what_a_model_confirms_is_served_and_only_while_it_is_there(tmp_path: Path) -> None:
    async def work(cache: Cache) -> None:
        cache.answers._verifier = CannotTell()
        await cache.ask(question(ASKED), ANSWER)
        lookup = await cache.lookup(question(UNSURE))
        assert lookup is not None and lookup.unsure and not lookup.serves
        await cache.answers.confirmed(lookup, question(UNSURE))
        assert lookup.serves and lookup.confirmed and lookup.candidate is not None
        assert lookup.candidate.verdict.outcome == "serve"
        late = await cache.lookup(question(UNSURE))
        assert late is not None and late.unsure
        cache.cache_state.judge(1, agrees=False, keep_doubted=False)
        await cache.cache_state.written()
        await cache.answers.confirmed(late, question(UNSURE))
        assert not late.serves and not late.confirmed, "it was dropped while the model was asked"

    with_cache(tmp_path / "s.db", work)


def test_an_entry_asked_again_under_newer_documents_makes_room_for_the_fresh_answer(tmp_path: Path) -> None:
    from farthing.brain.cache.semantic.store.entries import request_of

    newer = faq(changed(documents="2024-06"))

    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED, endpoint=faq(changed(documents="2024-05"))), ANSWER)
        cache.cache_state.drop_versions({"faq": "2024-06"}, frozenset({"faq"}))
        await cache.cache_state.written()
        (doubted,) = await cache.cache_state.questions.doubted(5)
        again = request_of(doubted.recipe, doubted.question, request_id="r-9", endpoint=newer, received_s=0.0)
        told = receipt("r-9")
        told.purpose, told.about = "refresh", doubted.entry
        await cache.ask(again, "Choose Return in the app.", told)
        assert await cache.cache_state.questions.doubted(5) == []
        lookup = await cache.lookup(question(ALIKE, endpoint=newer))
        assert lookup is not None and lookup.serves and lookup.candidate is not None
        assert text_of(lookup.candidate.hit) == "Choose Return in the app."
        assert (await cache.cache_state.invalidations.show())["entries"] == 1

    with_cache(tmp_path / "s.db", work, limits=Limits(cosine_min=0.3, check=frozenset({"faq"})))


def test_the_amount_of_a_new_question_is_filled_into_a_template_answer(tmp_path: Path) -> None:
    endpoint = faq(changed(adapt=("amount",)))
    asked = "Write a polite reminder that the invoice of $40 is open"
    answer = "Kindly remember that our invoice of $40 is open. Thank you."

    async def work(cache: Cache) -> None:
        await cache.ask(question(asked, endpoint=endpoint), answer)
        lookup = await cache.lookup(question(asked.replace("$40", "$55.50"), endpoint=endpoint))
        assert lookup is not None and lookup.serves and lookup.candidate is not None
        assert text_of(lookup.candidate.hit) == answer.replace("$40", "$55.50")
        two = await cache.lookup(
            question("Write a polite reminder that invoices of $4 and $5 are open", endpoint=endpoint)
        )
        assert two is not None and not two.serves

    with_cache(tmp_path / "s.db", work)


def test_what_was_asked_is_counted_and_can_be_asked_again(tmp_path: Path) -> None:
    from farthing.brain.cache.semantic.store.entries import request_of

    async def work(cache: Cache) -> None:
        for _ in range(3):
            await cache.lookup(question(ASKED))
        await cache.lookup(question("How tall is a giraffe?"))
        await cache.cache_state.maintain()
        most, least = await counted(tmp_path / "s.db")
        assert (most.question, most.asks, most.expires_unix_s) == (ASKED, 3, None), "nothing answers it yet"
        assert least.asks == 1
        again = request_of(most.recipe, most.question, request_id="r-9", endpoint=faq(), received_s=0.0)
        await cache.ask(again, ANSWER)
        lookup = await cache.lookup(question(ASKED))
        assert lookup is not None and lookup.serves, "it lies in the same partition"

    with_cache(tmp_path / "s.db", work)


def test_tenants_and_histories_never_meet(tmp_path: Path) -> None:
    history = [
        {"role": "user", "content": "Tell me of lamps"},
        {"role": "assistant", "content": "They shine."},
    ]

    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED), ANSWER)
        body = {"model": "auto", "messages": [*history, {"role": "user", "content": ASKED}]}
        for other in (
            question(ASKED, tenant=Tenant(name="other")),
            question(ASKED, tenant=replace(ACME, plan="gold")),
            question(ASKED, body=body),
        ):
            lookup = await cache.lookup(other)
            assert lookup is not None and lookup.candidate is None

    with_cache(tmp_path / "s.db", work)
