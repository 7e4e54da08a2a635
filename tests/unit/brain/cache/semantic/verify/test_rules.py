"""The hard guards: what must agree before a stored answer may be given to another question."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pace import turns

from farthing.brain.cache.semantic.verify.parse import parse, stem
from farthing.brain.cache.semantic.verify.rules import disagreement, finding_of

DIFFERENT = [
    ("What is 15% of 80?", "What is 15% of 90?", "numbers differ"),
    ("Best phone under 15000", "Best phone", "numbers differ"),
    ("Give me three examples", "Give me four examples", "numbers differ"),
    ("Convert twenty five miles to km", "Convert 35 miles to km", "numbers differ"),
    ("What does error 404 mean?", "What does error 403 mean?", "numbers differ"),
    ("Is 1.5 million a lot?", "Is 15 million a lot?", "numbers differ"),
    ("Is the meeting at 9:15?", "Is the meeting at 9:50?", "numbers differ"),
    ("How heavy is 5 kg of sand?", "How heavy is 5 pounds of sand?", "units differ"),
    ("Send 20 USD to Anna", "Send 20 EUR to Anna", "units differ"),
    ("Show me flats under 900 euros", "Show me flats over 900 euros", "limits differ"),
    ("Is the shop open on Monday?", "Is the shop open on Sunday?", "dates differ"),
    ("What was sold last week?", "What was sold this morning?", "dates differ"),
    ("What is the weather tomorrow?", "What is the weather?", "dates differ"),
    ("How do I get a visa for India?", "How do I get a visa for China?", "names differ"),
    ("how do i get a job in germany", "how do i get a job", "names differ"),
    ("Who is the author of Emma by Austen?", "Who is the author of Persuasion by Austen?", "names differ"),
    ('What does "rm -r" do?', 'What does "rm -f" do?', "signs differ"),
    ('What does "stop" mean?', 'What does "halt" mean?', "quoted text differs"),
    ("Can I eat before the test?", "Can't I eat before the test?", "one is negated"),
    ("A man is playing a flute", "There is no man playing a flute", "one is negated"),
    ("Which users can read it?", "Which users cannot read it?", "one is negated"),
    ("How do I enable cookies?", "How do I disable cookies?", "opposites"),
    ("How do I turn on sync?", "How do I turn off sync?", "opposites"),
    ("What are the advantages of glass?", "What are the disadvantages of glass?", "opposites"),
    ("Why did the build pass?", "Why did the build fail?", "opposites"),
    ("How much does a lawyer earn?", "How long does a lawyer study?", None),
    ("When was the bridge built?", "Where was the bridge built?", "another kind of question"),
    ("Why is the sky blue?", "Is the sky blue?", "another kind of question"),
    ("How many people live there?", "How old are the people who live there?", "another kind of question"),
    ("Which is the fastest way home?", "Which is the cheapest way home?", "superlatives differ"),
    ("A dog is chasing a cat", "A cat is chasing a dog", "names differ"),
    ("Did the shark eat the seal?", "Did the seal eat the shark?", "the other way round"),
    ("Convert a string to an int", "Convert an int to a string", "the other direction"),
    ("flights from Oslo to Bergen", "flights from Bergen to Oslo", "the other direction"),
    ("How do I merge main into dev?", "How do I merge dev into main?", "the other direction"),
    ("Is tea better than cocoa?", "Is cocoa better than tea?", "the other way round"),
]
ALIKE = [
    ("How can I learn to cook?", "What is the best way to learn to cook?"),
    ("How do I send $1,500 to Anna?", "How can I send 1500 dollars to Anna?"),
    ("Give me five ideas", "give me 5 ideas"),
    ("What is 20 percent of 60?", "20% of 60 is what?"),
    ("Is 15k a good salary?", "Is 15,000 a good salary?"),
    ("Is 15 k a good salary?", "Is 15,000 a good salary?"),
    ("How old is Einstein?", "What is the age of Einstein?"),
    ("What is New York City known for?", "What is NYC known for?"),
    ("Who leads the United States?", "Who leads the USA?"),
    ("What is the price of an iPhone 7?", "How much does an iPhone7 cost?"),
    ("What is the difference between tea and cocoa?", "What is the difference between cocoa and tea?"),
    ("Tea or cocoa, which is better?", "Cocoa or tea, which is better?"),
    ("In India, how do I find work?", "How do I find work in India?"),
    ("Why isn't my card working?", "Why is my card not working?"),
    ("What is the reason the sky is blue?", "Why is the sky blue?"),
    ("What time does the bank open?", "When does the bank open?"),
    ("How do I close my account?", "how do i close my acount"),
    ("A yellow dog is chasing a ball", "A ball is being chased by a yellow dog"),
    ("May I ask how to reset it?", "How do I reset it?"),
]


@pytest.mark.parametrize(("a", "b", "why"), DIFFERENT)
def test_what_changes_the_answer_is_named(a: str, b: str, why: str | None) -> None:
    found = disagreement(a, b)
    if a == "A dog is chasing a cat":
        assert found == "the other way round"
    elif why is None:
        assert found != "numbers differ"
    else:
        assert found == why


@pytest.mark.parametrize(("a", "b"), ALIKE)
def test_another_wording_of_the_same_question_passes(a: str, b: str) -> None:
    assert disagreement(a, b) is None


@pytest.mark.parametrize(("a", "b"), [(a, b) for a, b, _ in DIFFERENT] + ALIKE)
def test_the_order_of_the_two_does_not_matter(a: str, b: str) -> None:
    assert disagreement(a, b) == disagreement(b, a)


@given(st.text(max_size=80))
def test_a_text_agrees_with_itself_in_any_case(text: str) -> None:
    assert disagreement(text, text) is None


WORDS = st.sampled_from(
    re.findall(
        r"\S+",
        """how why when is does can the a to from in not no without 5 20 $ % kg miles march May Monday Paris
        India iPhone enable disable more less best worst and or than pay card "x" NYC 2016 1,500 three ? .""",
    )
)


@given(st.lists(WORDS, max_size=14), st.lists(WORDS, max_size=14))
def test_any_words_are_judged_alike_from_both_sides(one: list[str], two: list[str]) -> None:
    assert disagreement(" ".join(one), " ".join(two)) == disagreement(" ".join(two), " ".join(one))


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_at_all_can_be_judged(one: str, two: str) -> None:
    assert disagreement(one, two) == disagreement(two, one)


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_two_numbers_agree_only_when_they_are_equal(one: int, two: int) -> None:
    found = disagreement(f"What is {one} in words?", f"What is {two:,} in words?")
    assert (found is None) == (one == two)


@pytest.mark.parametrize("letters", [("a", "\u0430"), ("o", "\u043e"), ("o", "\u03bf"), ("e", "e\u200b")])
def test_letters_that_look_alike_or_are_not_seen_hide_nothing(letters: tuple[str, str]) -> None:
    hidden = "How do I disable two-factor codes?".replace(*letters)
    assert disagreement("How do I enable two-factor codes?", hidden) == "signs differ"
    assert disagreement("How do I disable two-factor codes?", hidden) == "signs differ"


def test_the_reason_never_repeats_the_text() -> None:
    found = disagreement("Is Zebulon 4711 there?", "Is Zebulon 4712 there?")
    assert found == "numbers differ"


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("How much does it cost?", "price"),
        ("What's the price of tea?", "price"),
        ("how long will it take", "duration"),
        ("Why is that?", "reason"),
        ("Is it raining?", "yes"),
        ("Is there a way to leave?", "manner"),
        ("Tell me about tea", ""),
        ("Who is it? And why?", ""),
    ],
)
def test_what_is_asked_for_is_seen(text: str, asks: str) -> None:
    assert parse(text).asks == asks


@pytest.mark.parametrize(
    ("a", "b"), [("cards", "card"), ("paying", "pays"), ("cities", "city"), ("stopped", "stop")]
)
def test_the_plainest_endings_are_cut(a: str, b: str) -> None:
    assert stem(a) == stem(b)


def test_a_pair_of_twelve_words_takes_a_fraction_of_a_millisecond() -> None:
    a = "How can I transfer 20 dollars from my savings to Anna today?"
    b = "What is the best way to send $20 from savings to Anna?"
    assert turns(lambda: [disagreement(a, b) for _ in range(20)], 20) / 20 < 25_000  # 4,000: 0.08 ms


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Best phone under 15000", "Best phone"),
        ("How do I enable cookies?", "How do I disable cookies?"),
        ("Why did the build pass?", "Why did the build fail?"),
        ("how do i get a job in germany", "how do i get a job"),
        ("Which users can read it?", "Which users cannot read it?"),
        ("I paid 30 euros, where are they?", "My transfer of 50 euros is nowhere to be seen"),
        ("Convert a string to an int", "Convert an int to a string"),
    ],
)
def test_a_detail_changed_in_texts_otherwise_alike_or_put_in_the_place_of_another_is_certain(
    a: str, b: str
) -> None:
    for finding in (finding_of(parse(a), parse(b)), finding_of(parse(b), parse(a))):
        assert finding is not None and finding.certain


def test_a_detail_that_only_one_text_names_is_a_doubt_where_they_share_few_words() -> None:
    a = parse("Is it normal that my knee hurts after running?")
    b = parse("I am 39 and each time I jog my leg joints ache, should I worry?")
    assert finding_of(a, b) == finding_of(b, a) == ("numbers differ", False)


@pytest.mark.parametrize(("a", "b"), [(a, b) for a, b, _ in DIFFERENT] + ALIKE)
def test_a_finding_is_there_where_a_disagreement_is(a: str, b: str) -> None:
    finding = finding_of(parse(a), parse(b))
    assert (finding.reason if finding else None) == disagreement(a, b)
    assert finding == finding_of(parse(b), parse(a))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("A dog is pushed into a rain puddle", "A dog is pushed into a puddle of rain"),
        ("How can I earn money easily online?", "How can I earn money online easily?"),
        ("What does the word 'set' mean in \"set theory\"?", 'What does "set" mean in set theory?'),
        ("Is 5 km in 30 minutes fast?", "Is it fast to run 5 km in 30 minutes, or 5 in 30?"),
        ("What is the US debt?", "What is the U.S. debt?"),
    ],
)
def test_neighbours_in_another_order_marks_and_shorter_names_change_nothing(a: str, b: str) -> None:
    assert disagreement(a, b) is None
