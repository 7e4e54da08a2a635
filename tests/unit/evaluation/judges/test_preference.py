"""Which of two answers is better: what a judge is asked, what it may say, and what a bad judge can do."""

import asyncio
import json
import random
import re

import pytest
from benchmarks.judge import (
    JUDGES,
    believes,
    first,
    honest,
    lengthy,
    measure,
    obeys,
    obeys_with_code,
    pairs,
    shown_in,
    stands,
    truth_of,
    verdicts,
)
from tests.asking import asked
from tests.unit.evaluation.judges.test_equivalence import ATTACKS
from tests.unit.jobs.test_runner import NO_WAIT, Bench, on_bench, until

from farthing.config import JobsConfig
from farthing.evaluation.judges.preference import (
    QUALITIES,
    Better,
    Outcome,
    Pair,
    Preference,
    better_of,
    conversation_of,
    preference,
    together,
)
from farthing.types import Endpoint, Tenant

ONE, OTHER = "Five working days.", "Ask your bank."


def pair(one: str = ONE, other: str = OTHER, asked: str = "How long is a refund?", guide: str = "") -> Pair:
    return Pair(
        tenant=Tenant(name="acme"),
        endpoint="faq",
        request_id="req_1",
        asked=asked,
        one=one,
        other=other,
        guide=guide,
    )


# -- what is asked ------------------------------------------------------------------------------------


def test_the_swapped_call_shows_the_same_texts_the_other_way_round() -> None:
    plain = shown_in(preference(pair(), swapped=False).messages)
    swapped = shown_in(preference(pair(), swapped=True).messages)
    assert (plain.one, plain.two) == (ONE, OTHER) == (swapped.two, swapped.one)
    assert plain.request == swapped.request == "How long is a refund?"
    assert plain.code != swapped.code


def test_the_judge_is_not_told_whose_answers_they_are() -> None:
    text = json.dumps(preference(pair(), swapped=False).messages)
    assert not re.search("cheap|expensive|tier|model|stored", text)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("place", ["one", "other", "asked"])
def test_a_text_cannot_leave_its_markers(attack: str, place: str) -> None:
    call = preference(pair(**{place: attack}), swapped=False)
    shown = shown_in(call.messages)
    lines = str(call.messages[1]["content"]).split("\n")
    assert sum(line.startswith("[") for line in lines) == 6  # three markers that open, three that close
    if len(attack) < 6_000:
        assert attack in shown


def test_the_guide_of_the_endpoint_stands_with_the_instructions_and_its_braces_stay() -> None:
    call = preference(pair(guide="Prices are {exact}; {code} is a word."), swapped=False)
    said = str(call.messages[0]["content"])
    assert "Prices are {exact}; {code} is a word." in said
    assert said.rstrip().endswith("or you cannot tell.") and "FIRST-" in said.splitlines()[-1]
    plain = str(preference(pair(), swapped=False).messages[0]["content"])
    assert "who runs this" in said and "who runs this" not in plain


def test_a_conversation_is_shown_with_its_roles_and_a_single_question_as_it_is() -> None:
    assert conversation_of(asked("When?")) == "When?"
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "When"}, {"type": "text", "text": "exactly?"}]},
    ]
    several = asked(body={"model": "auto", "messages": messages})
    assert conversation_of(several) == "system: Be brief.\nuser: When\nexactly?"


# -- what is said -------------------------------------------------------------------------------------


def test_a_word_means_an_answer_by_the_order_it_was_shown_in() -> None:
    for swapped, expected in ((False, ["one", "other", "tie"]), (True, ["other", "one", "tie"])):
        call = preference(pair(), swapped=swapped)
        assert [better_of(call, word, swapped=swapped) for word in call.words] == expected


@pytest.mark.parametrize("reply", [None, "", "FIRST", "FIRST-00000000", "1", "Answer one is better."])
def test_anything_but_a_word_with_its_code_is_no_verdict(reply: str | None) -> None:
    call = preference(pair(), swapped=False)
    assert better_of(call, reply, swapped=False) is None
    assert better_of(call, f"{call.words[0]} {call.words[1]}", swapped=False) is None
    assert better_of(preference(pair(), swapped=False), call.words[0], swapped=False) is None


@pytest.mark.parametrize(
    ("said", "then", "verdict", "consistent"),
    [
        ("one", "one", "one", True),
        ("other", "other", "other", True),
        ("tie", "tie", "tie", True),
        ("one", "other", "tie", False),
        ("one", "tie", "tie", False),
        ("tie", "other", "tie", False),
        (None, "one", None, None),
        ("one", None, None, None),
    ],
)
def test_an_answer_has_won_only_where_it_won_in_both_orders(
    said: Better | None, then: Better | None, verdict: Better | None, consistent: bool | None
) -> None:
    assert together(said, then) == (verdict, consistent)


def test_a_win_is_worth_one_and_a_tie_the_same_to_both() -> None:
    assert QUALITIES == {"one": (1.0, 0.0), "other": (0.0, 1.0), "tie": (0.5, 0.5)}


# -- bad judges ---------------------------------------------------------------------------------------

MADE = pairs(400, random.Random(3))


def test_an_honest_judge_is_right_and_consistent() -> None:
    found = measure(honest, MADE, random.Random(1))
    assert found["consistent"] == 1.0 and found["both_orders"]["right"] == 1.0


def test_a_judge_that_prefers_the_first_answer_never_makes_a_win() -> None:
    """In one order it would be wrong in three of four pairs."""
    for one in MADE:
        assert together(*verdicts(first, one, random.Random(1))) == ("tie", False)
    assert measure(first, MADE, random.Random(1))["one_order"]["wrong"] > 0.7


def test_a_text_that_names_the_word_to_say_does_not_win() -> None:
    """Obeyed to the letter its word lacks the code; obeyed with the code it turns with the order."""
    for judge in (obeys, obeys_with_code):
        found = measure(judge, MADE, random.Random(1))
        assert found["both_orders_attacked"]["wrong"] == 0.0
        assert found["both_orders"]["wrong"] == 0.0
    assert measure(obeys, MADE, random.Random(1))["both_orders_attacked"]["none"] > 0.7
    assert measure(obeys_with_code, MADE, random.Random(1))["one_order"]["wrong"] > 0.1


def test_a_bias_that_does_not_turn_with_the_order_is_not_seen() -> None:
    """What both orders cannot show: the bias goes with the answer. Labels of people can (see the manual)."""
    for judge in (lengthy, believes):
        decided = [
            one
            for one in MADE
            if stands(together(*verdicts(judge, one, random.Random(1)))[0], truth_of(one)) == "wrong"
        ]
        assert decided


def test_every_scripted_judge_is_measured() -> None:
    assert all(
        sum(measure(judge, MADE[:40], random.Random(2))["both_orders"].values())
        == pytest.approx(1.0, abs=1e-3)
        for judge in JUDGES.values()
    )


# -- as errands ---------------------------------------------------------------------------------------


def preference_on(bench: Bench) -> Preference:
    return Preference(bench.jobs, endpoint={"faq": Endpoint(name="faq")}.get, clock=bench.clock)


def test_a_judge_that_says_something_else_is_not_asked_a_second_time() -> None:
    async def go(bench: Bench) -> None:
        told: list[Outcome] = []
        bench.jobs.start()
        preference_on(bench).ask(pair(), "auto", told.append)
        await until(lambda: bool(told))
        await asyncio.sleep(0.05)
        assert told == [Outcome(better=None, consistent=None, by="", why_not="no_verdict")]
        (receipt,) = bench.receipts
        assert (receipt.purpose, receipt.about, receipt.error) == ("judge", "req_1", "no_verdict")
        assert "nine" not in receipt.error_message

    on_bench(go, NO_WAIT)


def test_where_the_queue_is_full_nobody_judges_and_it_is_said_at_once() -> None:
    async def go(bench: Bench) -> None:
        told: list[Outcome] = []
        asking = preference_on(bench)
        for _ in range(2):
            asking.ask(pair(), "auto", told.append)
        assert [one.why_not for one in told] == ["queue_full"]

    on_bench(go, JobsConfig(queue_max=1))
