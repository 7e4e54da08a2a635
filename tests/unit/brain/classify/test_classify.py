# ruff: noqa: RUF001  (prompts in many languages)
"""What the rules tell about a request, and how often they are right on prompts written by hand."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.asking import asked

from farthing.brain.classify.rules import HEAD_CHARS, RulesClassifier
from farthing.types import Endpoint, Traits

CLASSIFIER = RulesClassifier()

# (prompt, task, risk, domain, language). `unknown` domains are those nobody needs care for.
PROMPTS = [
    ("Summarize the following article in three sentences: The council met to discuss the new bridge.",
     "summarise", "low", "unknown", "en"),
    ("TL;DR of this thread please: we talked about moving the meeting to Friday and everybody agreed.",
     "summarise", "low", "unknown", "en"),
    ("Classify this support ticket into billing, technical or other: 'My screen stays black.'",
     "classify", "low", "unknown", "en"),
    ("Which category does this news headline belong to: sports, politics or science? 'Probe on the moon'",
     "classify", "low", "unknown", "en"),
    ("What is the sentiment of this review: 'The food was cold and the waiter was rude'?",
     "sentiment", "low", "unknown", "en"),
    ("Suggest five tags for this blog post about hiking in the Alps.", "tag", "low", "unknown", "en"),
    ("Extract all the names and dates from the text below and return them as JSON.",
     "extract", "low", "unknown", "en"),
    ("Translate this sentence into French: I would like a cup of tea.", "translate", "low", "unknown", "en"),
    ("Rewrite this paragraph in a more formal tone: hey guys, we messed up.",
     "rewrite", "low", "unknown", "en"),
    ("Please proofread my cover letter and correct the grammar.", "rewrite", "low", "unknown", "en"),
    ("Write a Python function that returns the n-th Fibonacci number.", "code", "low", "software", "en"),
    ("Why does this fail?\n```\ndef f(x):\n    return x +\n```", "code", "low", "unknown", "en"),
    ("Write a SQL query that lists all customers without orders.", "code", "low", "software", "en"),
    ("How do I reverse a list in Java?", "code", "low", "software", "en"),
    ("Write a short poem about autumn leaves.", "creative", "low", "unknown", "en"),
    ("Tell me a bedtime story about a dragon who is afraid of the dark.", "creative", "low", "unknown", "en"),
    ("Come up with a slogan for my bakery.", "creative", "low", "unknown", "en"),
    ("Natalia sold clips to 48 friends in April, and half as many in May. How many altogether? "
     "Solve it step by step.", "reason", "low", "unknown", "en"),
    ("Prove that the square root of two is irrational.", "reason", "low", "unknown", "en"),
    ("Calculate the probability of drawing two aces from a deck.", "reason", "low", "unknown", "en"),
    ("Who painted the Mona Lisa?", "qa", "low", "unknown", "en"),
    ("What is the capital of Australia?", "qa", "low", "unknown", "en"),
    ("Explain how photosynthesis works.", "qa", "low", "unknown", "en"),
    ("How do I reset my password?", "faq", "low", "support", "en"),
    ("When will my refund arrive?", "faq", "low", "support", "en"),
    ("How long does shipping to Norway take?", "faq", "low", "support", "en"),
    ("Hello there!", "chat", "low", "unknown", "en"),
    ("Thanks, that was very helpful.", "chat", "low", "unknown", "en"),
    ("Can my landlord keep my deposit? I need to know whether I could sue him in court.",
     "qa", "legal", "legal", "en"),
    ("Draft an indemnification clause for a software contract.", "other", "legal", "legal", "en"),
    ("What does GDPR say about the retention of customer emails?", "qa", "compliance", "compliance", "en"),
    ("Are we HIPAA compliant if we store patient records in this bucket?",
     "qa", "compliance", "compliance", "en"),
    ("How much ibuprofen can I take with a fever?", "qa", "medical", "medical", "en"),
    ("My chest pain gets worse at night, which doctor should I see?", "qa", "medical", "medical", "en"),
    ("Should I put my savings in an ETF or pay off my mortgage?", "qa", "financial", "financial", "en"),
    ("How should I invest ten thousand dollars?", "qa", "financial", "financial", "en"),
    ("What discount do you offer for annual plans?", "qa", "low", "pricing", "en"),
    ("What is the price of the enterprise plan?", "qa", "low", "pricing", "en"),
    ("Wie setze ich mein Passwort zurück?", "faq", "low", "support", "de"),
    ("Übersetze den folgenden Satz ins Englische: Ich habe heute keine Zeit.",
     "translate", "low", "unknown", "de"),
    ("Fasse den folgenden Text in zwei Sätzen zusammen.", "summarise", "low", "unknown", "de"),
    ("Kann mein Anwalt den Vertrag noch anfechten?", "qa", "legal", "legal", "de"),
    ("Was kostet das Abo und gibt es einen Rabatt?", "qa", "low", "pricing", "de"),
    ("Welche Symptome hat eine Grippe?", "qa", "medical", "medical", "de"),
    ("Résume ce texte en trois phrases.", "summarise", "low", "unknown", "fr"),
    ("Comment puis-je obtenir un remboursement ?", "faq", "low", "support", "fr"),
    ("Traduis cette phrase en anglais : il fait beau aujourd'hui.", "translate", "low", "unknown", "fr"),
    ("Quels sont les symptômes de la grippe et dois-je voir un médecin ?",
     "qa", "medical", "medical", "fr"),
    ("¿Cómo puedo cambiar mi contraseña?", "faq", "low", "support", "es"),
    ("Traduce este texto al inglés, por favor.", "translate", "low", "unknown", "es"),
    ("¿Cuál es el precio del plan anual?", "qa", "low", "pricing", "es"),
    ("Qual è la capitale della Francia?", "qa", "low", "unknown", "it"),
    ("Riassumi il seguente testo in due frasi.", "summarise", "low", "unknown", "it"),
    ("Como faço para cancelar a minha conta?", "faq", "low", "support", "pt"),
    ("Qual é a capital do Brasil e quando foi fundada?", "qa", "low", "unknown", "pt"),
    ("Hoe kan ik mijn wachtwoord wijzigen?", "faq", "low", "support", "nl"),
    ("Przetłumacz ten tekst na angielski, proszę.", "translate", "low", "unknown", "pl"),
    ("Vad är huvudstaden i Sverige och hur många bor där?", "qa", "low", "unknown", "sv"),
    ("Bu metni özetle lütfen, çok uzun.", "summarise", "low", "unknown", "tr"),
    ("Переведи этот текст на английский: сегодня хорошая погода.", "translate", "low", "unknown", "ru"),
    ("请把下面这段话翻译成英文：今天的天气很好。", "translate", "low", "unknown", "zh"),
    ("この文章を三行で要約してください。", "summarise", "low", "unknown", "ja"),
    ("이 문장을 영어로 번역해 주세요.", "translate", "low", "unknown", "ko"),
    ("ما هي عاصمة مصر؟", "qa", "low", "unknown", "ar"),
]  # fmt: skip


def traits_of(text: str, **changes: Any) -> Traits:
    return CLASSIFIER.describe(asked(text, **changes))


@pytest.mark.parametrize(("field", "column"), [("task", 1), ("risk", 2), ("domain", 3), ("language", 4)])
def test_the_rules_are_right_on_most_prompts_written_by_hand(field: str, column: int) -> None:
    wrong = [
        (row[0][:50], row[column], getattr(traits_of(row[0]), field))
        for row in PROMPTS
        if getattr(traits_of(row[0]), field) != row[column]
    ]
    assert len(wrong) <= 0.15 * len(PROMPTS), wrong


@pytest.mark.parametrize(
    ("said", "task"),
    [
        ("classification", "classify"),
        ("Tag Prediction", "tag"),
        ("tag_prediction", "tag"),
        ("summarization", "summarise"),
        ("sentiment-analysis", "sentiment"),
        ("FAQ", "faq"),
        ("something else entirely", "other"),
    ],
)
def test_the_clients_own_word_for_the_task_wins(said: str, task: str) -> None:
    assert traits_of("Translate this into French.", task_type=said).task == task


def test_the_endpoints_task_wins_over_the_words_and_the_clients_over_the_endpoints() -> None:
    endpoint = Endpoint(name="tickets", task="classification")
    assert traits_of("Translate this.", endpoint=endpoint).task == "classify"
    assert traits_of("Translate this.", endpoint=endpoint, task_type="faq").task == "faq"


def test_an_operators_own_word_for_a_task_stands_so_that_rules_can_use_it() -> None:
    assert traits_of("Hello", endpoint=Endpoint(name="e", task="triage")).task == "triage"


def test_the_result_of_a_tool_as_last_message_makes_an_agent_step() -> None:
    messages = [{"role": "user", "content": "Weather?"}, {"role": "tool", "content": "rain"}]
    body = {"model": "auto", "messages": messages, "tools": [{"type": "function"}]}
    assert traits_of("Weather?", body=body).task == "agent_step"
    messages.append({"role": "user", "content": "A reminder: be brief."})
    assert traits_of("A reminder: be brief.", body=body).task == "agent_step"
    messages += [{"role": "assistant", "content": "Rain."}, {"role": "user", "content": "Thanks"}]
    assert traits_of("Thanks", body=body).task == "chat"


def test_tools_that_change_something_are_a_risk_and_tools_that_read_are_not() -> None:
    def risk(name: str) -> str:
        tools = [{"type": "function", "function": {"name": name}}]
        messages = [{"role": "user", "content": "Go on"}]
        return traits_of("Go on", body={"model": "auto", "messages": messages, "tools": tools}).risk

    assert risk("send_email") == "side_effects"
    assert risk("get_weather") == "low"


def test_language_is_unknown_rather_than_a_guess() -> None:
    assert traits_of("ok 12345").language == "unknown"
    assert traits_of("").language == "unknown"
    assert traits_of("Zyxomma petiolatum 1917").language == "unknown"


def test_the_clients_language_is_taken_in_its_short_form() -> None:
    assert traits_of("ok", language="pt-BR").language == "pt"
    assert traits_of("What is the time now?", language="<script>").language == "en"


def test_languages_of_one_script_are_told_apart_by_their_letters() -> None:
    assert traits_of("Де знаходиться ця вулиця і як туди їхати?").language == "uk"
    assert traits_of("Где находится эта улица и как туда ехать?").language == "ru"
    assert traits_of("این کتاب را از کجا می‌توانم بخرم؟").language == "fa"
    assert traits_of("Πού βρίσκεται ο σταθμός;").language == "el"
    assert traits_of("איפה התחנה?").language == "he"


def test_what_is_known_of_retrieval_is_passed_on() -> None:
    traits = traits_of("When?", retrieval=True, context_tokens=300)
    assert (traits.retrieval, traits.context_tokens) == (True, 300)


def test_the_estimator_given_is_asked_with_the_text_and_the_characters_of_the_whole_prompt() -> None:
    classifier = RulesClassifier(lambda text, chars: len(text) * 1_000 + chars)
    assert classifier.describe(asked("abc", prompt_chars=7)).input_tokens == 3_007


def test_harder_work_is_more_complex() -> None:
    sentiment = traits_of("What is the sentiment of 'great'?").complexity
    question = traits_of("Who painted the Mona Lisa?").complexity
    proof = traits_of("Prove rigorously that there are infinitely many primes and explain why.").complexity
    assert sentiment < question < proof <= 1.0


def test_a_domain_word_in_the_middle_of_a_long_text_is_still_seen() -> None:
    text = "word " * 150 + "lawsuit attorney " + "word " * 150
    assert traits_of(text).domain == "legal"


def test_text_beyond_the_bounded_part_is_not_read() -> None:
    text = "word " * 1_000
    middle = HEAD_CHARS + 500
    assert traits_of(text[:middle] + " lawsuit attorney " + text[middle:]).domain == "unknown"
    assert traits_of(text + "Summarise the above.").task == "summarise"


@given(st.text(max_size=3_000))
def test_any_text_can_be_described(text: str) -> None:
    traits = traits_of(text)
    assert 0.0 <= traits.complexity <= 1.0
    assert traits.input_tokens >= 0
    assert traits == traits_of(text)
