"""A client's own word that holds a key is written down by its digest, and still tells one from another."""

import pytest

from farthing.config import key_digest
from farthing.edge import openai
from farthing.edge.openai import Reader
from farthing.runtime.redact import Redactor
from farthing.types import DEFAULT_ENDPOINT

OURS = "sk-provider-4f9Kd72mQx8Lw3Zt"
CLIENT = "client-key-Gz7Ty3Wq9Xm"


def reader() -> Reader:
    redact = Redactor(digest=key_digest)
    redact.learn([OURS], [key_digest(CLIENT)])
    return Reader({}, DEFAULT_ENDPOINT, b"of this installation", redact=redact, own=("acme-corp",))


@pytest.mark.parametrize("said", [OURS, CLIENT, f"of {OURS}", f"{CLIENT}@2", OURS[4:20]])
def test_a_word_with_a_key_is_its_digest(said: str) -> None:
    found = reader()
    word = found.as_written(said)
    assert word == found.digest_user(said) and word == found.as_written(said)
    assert word != found.as_written(f"{said} other")
    assert found.documents([said, "plain@1"]) == tuple(sorted((word, "plain@1")))


@pytest.mark.parametrize("said", ["", "s", "session-1", "550e8400-e29b-41d4-a716-446655440000", "küche"])
def test_any_other_stays_as_it_is(said: str) -> None:
    assert reader().as_written(said) == said
    assert reader().as_written(None) is None


@pytest.mark.parametrize("said", ["acme-corp", "classify", "support-mail", "sk-provider", "farthing/support"])
def test_a_word_that_a_key_has_too_is_no_key(said: str) -> None:
    """People name keys by what they are for."""
    redact = Redactor(
        ["acme-corp", "sk-provider-classify-support-mail-4f9Kd72mQx8L", "sk-farthing-7d9fZQ2mQx8L"]
    )
    known = Reader({}, DEFAULT_ENDPOINT, b"of this installation", redact=redact, own=("acme-corp",))
    assert known.as_written(said) == said
    assert redact.text("farthing.toml, FARTHING__ADMIN__KEY") == "farthing.toml, FARTHING__ADMIN__KEY"


def test_words_that_are_known_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai, "WORDS_KNOWN_MAX", 3)
    found = reader()
    for number in range(20):
        assert found.as_written(f"session-{number}") == f"session-{number}"
        assert len(found._words) <= 4
