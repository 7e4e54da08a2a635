"""Refusals of a key that come as those of a wrong request, and who may teach them."""

import pytest

from farthing.errors import KeyRejected, ProviderRejected
from farthing.models.providers.accounts import meant
from farthing.types import Prompt

KELVIN = "\u212a"
"""Its small letter is that of K."""


def rejected(words: str) -> ProviderRejected:
    return ProviderRejected("refused", upstream_status=400, said={"message": words}, words=words)


def prompt(text: str) -> Prompt:
    return Prompt(
        body={"model": "m", "messages": [{"role": "user", "content": text}]},
        input_tokens=3,
        input_tokens_bound=None,
        output_tokens_max=None,
        stream=False,
    )


@pytest.mark.parametrize("letter", ["k", "K", KELVIN])
@pytest.mark.parametrize("begins", ["API {}ey not valid", "Incorrect API {}ey provided"])
def test_what_repeats_the_request_rests_no_key(begins: str, letter: str) -> None:
    words = begins.format(letter)
    assert isinstance(meant(rejected(f"{words}: no"), prompt("hello"), "p"), KeyRejected)
    echoed = meant(rejected(f"{words}: no such city"), prompt(words), "p")
    assert not isinstance(echoed, KeyRejected)
