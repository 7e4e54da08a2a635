"""Which questions the semantic cache takes for English, and which for nothing it knows."""

from pathlib import Path

import pytest

from farthing.brain.cache.semantic.language import Languages, load
from farthing.errors import ConfigError

ENGLISH = [
    "How do I reset my password?",
    "reset password",
    "passcode retrieval please",
    "WHERE IS MY CARD",
    "What's the U.S. capital?",
    "Is Kejriwal honest?",
    "card not working",
    "How many cards per person?",
    "What does 'como' mean in Spanish?",
    "opening hours",
]
OTHERS = [
    "Wie aktiviere ich den Dunkelmodus?", "Passwort vergessen", "Konto eroeffnen", "abrir cuenta bancaria",
    "cerrar cuenta", "Como puedo cancelar?", "ouvrir un compte", "mot de passe perdu", "Quanto custa o frete",
    "Come posso chiudere un conto", "wachtwoord vergeten", "Jak zamknac konto", "Hesap nasil acilir",
    "mera account kaise band kare", "Bagaimana cara menutup rekening", "Miten avaan tilin",
    "Jinsi ya kufunga akaunti", "如何开启深色模式?", "ปิดโหมดมืดอย่างไร", "Как закрыть счёт?", "كيف أغلق الحساب",
    "Translate 你好", "🎉🎉", "", "5 < 3", "xkq zzv wpl",
]  # fmt: skip


@pytest.fixture(scope="module")
def languages() -> Languages:
    return load()


@pytest.mark.parametrize("text", ENGLISH)
def test_short_questions_are_english_by_their_words(languages: Languages, text: str) -> None:
    assert languages.of(text, "unknown") == "en"


@pytest.mark.parametrize("text", OTHERS)
def test_what_is_not_plainly_english_is_unknown(languages: Languages, text: str) -> None:
    assert languages.of(text, "unknown") == "unknown"
    assert languages.of(text, "en") == "unknown", "whoever says that it is English"


def test_the_classifiers_word_for_another_language_holds(languages: Languages) -> None:
    assert languages.of("Wie geht das?", "de") == "de"
    assert languages.of("How do I reset my password?", "fr") == "fr"


def test_a_vocabulary_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load(tmp_path / "none.json")
