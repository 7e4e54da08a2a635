# ruff: noqa: RUF001  (signs and letters of many scripts)
"""What a text says in signs, and which of them must agree."""

import string
import time
import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from farthing.brain.cache.semantic.verify.parse import parse
from farthing.brain.cache.semantic.verify.rules import disagreement, disagreement_of
from farthing.brain.cache.semantic.verify.signs import signs

DIFFERENT = [
    ("Translate 你好", "Translate 再见"),
    ("Translate 日 into English", "Translate 月 into English"),
    ("How do you say спасибо?", "How do you say пожалуйста?"),
    ("What does 👍 mean?", "What does 👎 mean?"),
    ("What does 👍 mean?", "What does 👍🏽 mean?"),
    ("What is 👩‍💻?", "What is 👨‍💻?"),
    ("Which flag is 🇫🇷?", "Which flag is 🇮🇹?"),
    ("What does ∀ mean?", "What does ∃ mean?"),
    ("What is the word años?", "What is the word anos?"),
    ("Is my résumé good?", "Is my resume good?"),
    ("si sí", "sí si"),
    ("What does == do?", "What does === do?"),
    ("What does != do?", "What does == do?"),
    ("Is 5<3?", "Is 5>3?"),
    ("Is 5 < 3?", "Is 5 > 3?"),
    ("What is a && b?", "What is a || b?"),
    ("What is a & b?", "What is a | b?"),
    ("What is 5 - 3?", "What is 5 + 3?"),
    ("What is 5-3?", "What is 5+3?"),
    ("What is -5 in words?", "What is 5 in words?"),
    ("What is 2+2?", "What is 2+2+2?"),
    ("What is (2+3)*4?", "What is 2+(3*4)?"),
    ("What does a?.b mean?", "What does a.b mean?"),
    ("What does a ? b : c do?", "What does a : b ? c do?"),
    ("What is std::sort?", "What is std.sort?"),
    ("Is C++ hard?", "Is C hard?"),
    ("Is C++ hard?", "Is C# hard?"),
    ("What is .NET?", "What is net?"),
    ("What does rm -r do?", "What does rm -f do?"),
    ("What does git log --all do?", "What does git log all do?"),
    ("What does the ? operator do?", "What does the ! operator do?"),
    ("What does a. match?", "What does a match?"),
    ("What does [a] match?", "What does (a) match?"),
    ("Is it 'a' or \"a\"?", "Is it \"a\" or 'a'?"),
    ("What does ; mean in C?", "What does , mean in C?"),
    ("What does 'abrir' mean?", "What does 'cerrar' mean?"),
    ("What is 5! in words?", "What is 5 in words?"),
    ("What is x² called?", "What is x2 called?"),
    ("What is H₂O?", "What is H2O?"),
    ("What is the angle α?", "What is the angle β?"),
    ("What is Δ in physics?", "What is δ in physics?"),
    ("What is ＡＢＣ?", "What is ABC?"),
    ("What is ½ of it?", "What is ⅓ of it?"),
    ("Is 20% a lot?", "Is 20‰ a lot?"),
    ("Is 20% a lot?", "Is 20 a lot?"),
    ("Is $20 a lot?", "Is €20 a lot?"),
    ("Is $20 a lot?", "Is 20 a lot?"),
    ("What is the € sign?", "What is the $ sign?"),
    ("Is 30°C warm?", "Is 30°F warm?"),
    ("Is 5' long?", 'Is 5" long?'),
    ("Is 5' long?", "Is 5 long?"),
    ("What does ← do?", "What does → do?"),
    ("Is it #1 in the list?", "Is it 1 in the list?"),
    ("Is 3.1 the version?", "Is 3.10 the version?"),
    ("Who is agent 007?", "Who is agent 7?"),
    ("Is 9007199254740993 prime?", "Is 9007199254740992 prime?"),
    ("Log in to paypal", "Log in to p\u0430ypal"),
    ("Log in to paypal", "Log in to pay\u200bpal"),
    ("Log in to paypal", "Log in to pay\u00adpal"),
    ("Log in to paypal", "Log in to \u202epaypal"),
    ("Open /etc/hosts", "Open etc hosts"),
    ("What is user_name?", "What is user name?"),
    ("Do polish people dance?", "Do Polish people dance?"),
    ("Is it for us?", "Is it for US?"),
    ("What work does it do?", "What work does IT do?"),
]
"""Written alike but for what the models do not read, or hardly."""

ALIKE = [
    ("What’s the “best” plan – or plans…", 'What\'s the "best" plan - or plans...'),
    ("How do I reset it?", "how do i reset it"),
    ("How do I reset it ?", "How do I reset it??"),
    ("How do I\u00a0reset\u2003it?", "How do I reset it?"),
    ("Is it a cafe\u0301?", "Is it a café?"),
    ("Is ❤️ a sign?", "Is ❤ a sign?"),
    ("Pay by card,now", "Pay by card, now"),
    ("Is it red and/or blue?", "Is it red and or blue?"),
    ("What is machine learning (ML)?", "What is machine learning ML?"),
    ("How do I change my e-mail?", "How do I change my e mail?"),
    ("How do I pay—by card?", "How do I pay - by card?"),
    ("How old is the U.S.?", "How old is the US?"),
    ("Is 20 % a lot?", "Is 20% a lot?"),
    ("Is 20 percent a lot?", "Is 20% a lot?"),
    ("How do I send 20€?", "How do I send 20 euros?"),
    ("How do I send €20?", "How do I send 20 euros?"),
    ("How do I send $1,500?", "How do I send 1500 dollars?"),
    ("salt & pepper mills", "salt and pepper mills"),
    ("Is C++ hard?", "is c++ hard?"),
    ("could you help? who do i call? thanks!", "Could you help, who do I call, thanks"),
    ("Who was John F. Kennedy?", "who was john f kennedy"),
    ("What does 'merci' mean?", "What does merci mean?"),
]
"""What is harmless: two ways to write one question."""


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_what_the_models_do_not_read_must_agree(a: str, b: str) -> None:
    assert disagreement(a, b) is not None
    assert disagreement(b, a) == disagreement(a, b)


@pytest.mark.parametrize(("a", "b"), ALIKE)
def test_what_is_harmless_passes(a: str, b: str) -> None:
    assert disagreement(a, b) is None


QUESTION = "How do I change the plan of my team before it ends?"
PLACES = st.integers(0, len(QUESTION))
HARMLESS = frozenset(
    "\u2018\u2019\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\u02bc\u00b4\u2026\ufe0e\ufe0f¿¡"
) | frozenset("\u2010\u2011\u2012\u2013\u2014\u2015？！，。、；：؟،।")


def with_char(char: str, at: int) -> str:
    return QUESTION[:at] + char + QUESTION[at:]


def is_harmless(char: str) -> bool:
    return char in HARMLESS or char.isspace() or unicodedata.normalize("NFC", char).isascii()


@given(st.characters(min_codepoint=128, exclude_categories=["Cs"]), PLACES)
def test_any_one_character_beyond_ascii_makes_another_question(char: str, at: int) -> None:
    assume(not is_harmless(char))
    assert disagreement(QUESTION, with_char(char, at)) is not None


@given(
    st.characters(min_codepoint=128, exclude_categories=["Cs"]),
    st.characters(min_codepoint=128, exclude_categories=["Cs"]),
    PLACES,
)
def test_two_characters_beyond_ascii_are_never_taken_for_each_other(one: str, two: str, at: int) -> None:
    assume(not is_harmless(one) and not is_harmless(two))
    a, b = (unicodedata.normalize("NFC", with_char(char, at)) for char in (one, two))
    assume(a.lower() != b.lower())
    assert disagreement(a, b) is not None


@given(st.sampled_from("+*^|~<>=@#\\{}_`$%"), PLACES)
def test_any_one_operator_makes_another_question(sign: str, at: int) -> None:
    assert disagreement(QUESTION, with_char(sign, at)) is not None
    assert disagreement(QUESTION, with_char(f" {sign} ", at)) is not None


@given(st.text("=<>!&|+-*/^~?:.", min_size=1, max_size=4), st.text("=<>!&|+-*/^~?:.", min_size=1, max_size=4))
def test_operators_between_numbers_agree_only_when_they_are_the_same(one: str, two: str) -> None:
    agree = disagreement(f"What is 5 {one} 3 then?", f"What is 5 {two} 3 then?") is None
    assert agree == (one == two)


@given(st.text(string.ascii_letters + " ", max_size=60))
def test_plain_words_have_no_signs(text: str) -> None:
    found = signs(text)
    assert (found.values, found.letters) == ((), ())


@given(st.text(max_size=120))
def test_signs_of_any_text_can_be_told(text: str) -> None:
    assert signs(text) == signs(text)


def test_in_other_languages_words_with_marks_are_words() -> None:
    german = "Wie kündige ich meinen Vertrag?", "Wie kann ich meinen Vertrag kündigen?"
    assert disagreement_of(*map(parse, german), english=False) is None
    assert disagreement_of(*map(parse, german), english=True) == "letters differ"
    chinese = "如何重置密码？", "怎样重置我的密码?"
    assert disagreement_of(*map(parse, chinese), english=False) is None


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("¿Cuántos años tienes?", "¿Cuántos anos tienes?"),
        ("Wie schwül ist es?", "Wie schwul ist es?"),
        ("schon fertig", "schön fertig"),
        ("если α > 5", "если β > 5"),
        ("你好 == 再见", "你好 != 再见"),
    ],
)
def test_in_other_languages_marks_alone_make_another_word(a: str, b: str) -> None:
    assert disagreement_of(parse(a), parse(b), english=False) is not None


@pytest.mark.parametrize(
    "piece", ["a", "1.", "é", "\u0301", "a,", "-", "a-", '"', ". ", "a/", "Z\u0300", "<"]
)
def test_time_grows_with_the_length_alone(piece: str) -> None:
    def seconds(times: int) -> float:
        text = piece * times
        began_s = time.thread_time()
        signs(text)
        return time.thread_time() - began_s

    short, long = (min(seconds(times) for _ in range(3)) for times in (2_000, 32_000))
    assert long < 80 * max(short, 1e-5), "sixteen times the text, not 256 times the time"
