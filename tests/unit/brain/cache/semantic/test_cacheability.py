"""What must never be answered twice with the same words."""

import pytest
from tests.pace import turns
from tests.semantic import ON

from farthing.brain.cache.semantic.cacheability import unfit_answer, unfit_question
from farthing.types import replace

PERSONAL = [
    "What is my balance?",
    "what's my current account balance",
    "Where is my order?",
    "where's my package",
    "What do I owe?",
    "how much is my electricity bill",
    "When is my bill due?",
    "Show me my last transactions",
    "how many vacation days do i have left",
    "what is on my calendar",
    "what's my credit score",
    "My name is Maria Lopez, can I return a lamp?",
    "My name's Bob",
    "Write to jo.smith@example.com",
    "Call me at +44 20 7946 0958",
    "My card 4111 1111 1111 1111 was declined",
    "Pay to DE89 3704 0044 0532 0130 00",
    "Track order ORD-2024-7781",
    "Where is parcel #48213?",
    "invoice number 20391 is wrong",
    "who am i",
    "My date of birth is 4 May 1980",
]
SECRET = [
    "My password is hunter22, why does it not work?",
    "password: correct horse",
    "use sk-abcdefghijklmnop1234 for it",
    "AKIAIOSFODNN7EXAMPLE does not work",
]
MOMENT = [
    "What is the weather in Paris?",
    "Who is the current president of France?",
    "What happened yesterday in parliament?",
    "What is the latest version of Python?",
    "stock price of ACME",
    "Are you open now?",
    "What time is it?",
    "tell me the date",
    "What is on TV tonight?",
    "Who won the match?",
    "What events are there this week?",
    "Wie ist das Wetter heute?",
    "what is the exchange rate today",
]
GENERAL = [
    "My card is not working",
    "How do I reset my password?",
    "I forgot my PIN",
    "My PIN is not working",
    "What is the return policy?",
    "When will my new card arrive?",
    "Why was I charged a fee?",
    "How do I change my address?",
    "What do I do now?",
    "My card was stolen yesterday, what should I do?",
    "How long does a transfer take?",
    "Which documents do I need to open an account?",
    "What is the capital of France?",
    "Can I get a refund within 30 days?",
    "Who wrote Faust?",
    "Explain the difference between TCP and UDP",
    "How many days do I have to return a lamp?",
    "What happened in 1789?",
    "Is it possible to top up by cheque?",
    "My phone is lost, can somebody else use the app?",
    "Which currencies do you support?",
    "Compare 2019-2020 with 2021-2022",
]


@pytest.mark.parametrize("text", PERSONAL)
def test_a_question_about_one_person_is_refused(text: str) -> None:
    assert unfit_question(text, ON) == "personal"


@pytest.mark.parametrize("text", MOMENT)
def test_a_question_about_one_moment_is_refused(text: str) -> None:
    assert unfit_question(text, ON) == "moment"


@pytest.mark.parametrize("text", SECRET)
def test_a_secret_is_refused_whatever_is_allowed(text: str) -> None:
    assert unfit_question(text, ON) == "secret"
    assert unfit_question(text, replace(ON, personal=True)) == "secret"


@pytest.mark.parametrize("text", GENERAL)
def test_a_question_anybody_may_ask_passes(text: str) -> None:
    assert unfit_question(text, ON) is None


@pytest.mark.parametrize("text", PERSONAL + MOMENT)
def test_persons_and_moments_can_be_allowed(text: str) -> None:
    assert unfit_question(text, replace(ON, personal=True)) is None


def test_a_phrase_of_the_endpoint_is_refused_as_whole_words() -> None:
    terms = replace(ON, never=("legal advice", "tax"), personal=True)
    assert unfit_question("Can you give me  LEGAL advice?", terms) == "never"
    assert unfit_question("How much tax is on it?", terms) == "never"
    assert unfit_question("Where is a taxi?", terms) is None


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "empty"),
        ("   \n", "empty"),
        ("I'm sorry, but I can't help with that.", "refusal"),
        ("I cannot assist with this request.", "refusal"),
        ("Sorry, I am unable to do that.", "refusal"),
        ("As an AI language model, I don't have access to that.", "refusal"),
        ("Unfortunately, I don't have enough information.", "refusal"),
        ("I\u2019m sorry, I won\u2019t do that.", "refusal"),
        ("Your balance is 40 euros.", "personal"),
        ("Your order is on its way.", "personal"),
        ("Your parcel will arrive soon.", "personal"),
        ("You currently owe $40.", "personal"),
        ("Hi Maria, it is done.", "personal"),
        ("Your new card is 4111 1111 1111 1111.", "personal"),
        ("Ticket number 88123 was opened.", "personal"),
        ("As of today the rate is 3 percent.", "moment"),
        ("It is currently raining.", "moment"),
        ("Right now we have no lamps.", "moment"),
        ("Your key is sk-abcdefghijklmnop1234", "secret"),
    ],
)
def test_an_answer_for_one_person_or_moment_is_refused(answer: str, why: str) -> None:
    assert unfit_answer(answer, "How does it work?", ON) == why


@pytest.mark.parametrize(
    "answer",
    [
        "Open the order page and choose Return. You have 30 days.",
        "Call us at +44 20 7946 0958 or write to help@example.com.",
        "You can return what you bought within 14 days.",
        "Sorry to hear that! Block the card in the app, then order a new one.",
        "The Battle of Hastings was in 1066.",
        "We cannot refund opened boxes, but we exchange them.",
        "Hello! Choose Settings, then Password.",
        "Your order number is in the message we sent you.",
    ],
)
def test_an_answer_for_everybody_passes(answer: str) -> None:
    assert unfit_answer(answer, "How does it work?", ON) is None


@pytest.mark.parametrize("length", [1_000, 20_000])
def test_long_texts_are_read_in_linear_time(length: int) -> None:
    for part in ("1", "a@", "my ", "A1-", "(", "order ", "how much "):
        text = part * (length // len(part))
        assert turns(lambda: unfit_question(text[:2_000], ON), 2) < 10_000_000, part  # noqa: B023
        assert turns(lambda: unfit_answer(text, "", ON), 2) < 15_000_000, part  # noqa: B023
