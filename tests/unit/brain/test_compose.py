"""What is sent upstream: the client's body, and the cap on the output that holds."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.asking import asked

from farthing.brain.compose import compose
from farthing.types import NO_TERMS, Request, Terms, Traits

CAP = Terms(output_tokens_max=100)


def test_without_a_cap_the_body_is_passed_on_as_it_is() -> None:
    request = asked()
    prompt = compose(request, Traits(input_tokens=7), NO_TERMS)
    assert prompt.body is request.body
    assert (prompt.input_tokens, prompt.output_tokens_max, prompt.stream) == (7, None, False)


def test_the_prompt_says_the_cap_that_holds() -> None:
    assert compose(asked(), Traits(), CAP).output_tokens_max == 100
    assert compose(asked(output_tokens_max=50), Traits(), CAP).output_tokens_max == 50
    assert compose(asked(output_tokens_max=500), Traits(), CAP).output_tokens_max == 100


def test_the_prompt_says_which_limit_capped_it() -> None:
    assert compose(asked(output_tokens_max=500), Traits(), CAP).capped_by == "output_tokens_max"
    assert compose(asked(output_tokens_max=50), Traits(), CAP).capped_by is None


def test_embeddings_have_no_output_to_cap() -> None:
    request = asked(operation="embeddings", body={"model": "e", "input": "Hi"})
    assert compose(request, Traits(), CAP).body is request.body
    assert compose(request, Traits(), CAP).capped_by is None


def bound_of(request: Request) -> int:
    bound = compose(request, Traits(), Terms(input_tokens_max=1)).input_tokens_bound
    assert bound is not None
    return bound


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_the_bound_is_never_below_the_bytes_of_the_text(texts: list[str]) -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": text} for text in texts]}
    request = asked(body=body, prompt_chars=sum(map(len, texts)))
    assert bound_of(request) > sum(len(text.encode()) for text in texts)


def test_pictures_and_files_raise_the_bound() -> None:
    def bound(part: dict[str, Any]) -> int:
        return bound_of(asked(body={"messages": [{"role": "user", "content": [part]}]}))

    text, picture, file = bound({"type": "text"}), bound({"type": "image_url"}), bound({"type": "file"})
    assert text < picture < file
