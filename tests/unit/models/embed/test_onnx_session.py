"""Loading the small models, and reading a text into tokens."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farthing.errors import ConfigError, StoreError
from farthing.models.embed.onnx import OnnxEmbedder
from farthing.models.embed.session import CHARS_MAX, MODELS, open_session, open_tokenizer, read_tokens

TOKENIZER = open_tokenizer(MODELS / "minilm-l6.tokenizer.json")


def truncating(tokens_max: int) -> Any:
    tokenizer = open_tokenizer(MODELS / "minilm-l6.tokenizer.json")
    tokenizer.enable_truncation(tokens_max)
    return tokenizer


ITSELF = truncating(256)
WORDS = st.sampled_from(
    ["word", "unbelievably", "我", "a" * 101, "é", "\n", "don't", "x" * 99, "😀", "1234567"]
)


@given(words=st.lists(WORDS, max_size=1_500), glue=st.sampled_from([" ", "", ". "]))
@example(words=["a" * 101] * 60, glue=" ")  # the cut after 1,024 characters makes a short word of a long one
@example(words=["a" * 1_010, "我" * 300], glue=" ")
@example(words=["我" * 5_000], glue="")
@settings(max_examples=150, deadline=None)
def test_a_cut_text_has_the_tokens_that_the_tokenizer_itself_would_leave(words: list[str], glue: str) -> None:
    text = glue.join(words)
    ids, cut = read_tokens(TOKENIZER, text, 256)
    read = text[:CHARS_MAX]
    assert ids == ITSELF.encode(read).ids
    assert cut == (len(text) > CHARS_MAX or len(TOKENIZER.encode(read).ids) > 256)
    assert len(ids) <= 256 and (ids[0], ids[-1]) == (101, 102)


def test_a_model_that_is_absent_or_something_else_is_told_by_its_name(tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"something else")
    for path in (tmp_path / "absent.onnx", other):
        with pytest.raises(ConfigError, match=path.name):
            open_session(path)
        with pytest.raises(ConfigError, match=path.name):
            open_tokenizer(path)


def test_an_embedder_whose_model_is_broken_says_so_when_warmed_and_costs_a_miss_when_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "m.onnx").write_bytes((MODELS / "minilm-l6.int8.onnx").read_bytes()[:100_000])

    async def main() -> None:
        embedder = OnnxEmbedder(model=tmp_path / "m.onnx")
        with pytest.raises(ConfigError, match=r"m\.onnx"):
            await embedder.warm()
        with pytest.raises(StoreError):
            await embedder.embed(["x"])
        await embedder.aclose()

    asyncio.run(main())


def test_more_texts_than_may_wait_are_refused_and_the_others_answered() -> None:
    async def main() -> None:
        embedder = OnnxEmbedder(waiting_max=20)
        await embedder.warm()
        asked = [asyncio.create_task(embedder.embed([f"text {number}"])) for number in range(60)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        refused = [each for each in found if isinstance(each, StoreError)]
        assert 10 <= len(refused) <= 45
        assert all("waiting" in str(each) for each in refused)
        assert embedder.cpu_s > 0
        await embedder.aclose()

    asyncio.run(main())


def test_a_text_of_a_megabyte_does_not_hold_the_others_up() -> None:
    async def main() -> None:
        embedder = OnnxEmbedder()
        await embedder.warm()
        took_s = []
        for text in ("我 " * 2_500, "我 " * 500_000):
            began_s = embedder.cpu_s
            await embedder.embed([text])
            took_s.append(embedder.cpu_s - began_s)
        assert took_s[1] < 10 * took_s[0], "no more than one that is read to the same limit"
        await embedder.aclose()

    asyncio.run(main())
