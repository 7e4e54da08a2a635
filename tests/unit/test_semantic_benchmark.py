"""The benchmark of the semantic cache reads what it is given and never tests on what it was fitted to."""

import asyncio
import gzip
import json
import random
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("onnxruntime")

from benchmarks import semantic_languages
from benchmarks.pair_attacks import attacks
from benchmarks.pair_scores import at, auc, recall_at, wilson
from benchmarks.pairs import BadPairs, Pairs, read, split
from benchmarks.semantic_cache import SPREAD, spread


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=4, max_size=60), st.integers(0, 9)
)
def test_no_text_and_no_chain_of_texts_is_on_both_sides_of_the_split(
    links: list[tuple[int, int]], seed: int
) -> None:
    pairs = Pairs("made")
    for a, b in links:
        pairs.add(f"Text {a}", f" text  {b}" if a % 2 else f"TEXT {b}", a % 2)
    first, second = split(pairs, 0.7, seed)
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(len(links)))

    def texts(rows: np.ndarray) -> set[str]:
        return {" ".join(side[i].lower().split()) for i in rows.tolist() for side in (pairs.a, pairs.b)}

    assert texts(first).isdisjoint(texts(second))


def test_a_split_is_about_as_large_as_asked_and_the_same_again() -> None:
    rng = random.Random(1)
    pairs = Pairs("made")
    for _ in range(2_000):
        pairs.add(f"a{rng.randrange(3_000)}", f"b{rng.randrange(3_000)}", rng.randrange(2))
    first, second = split(pairs, 0.8, 1)
    assert 0.75 < len(first) / 2_000 < 0.85
    assert np.array_equal(first, split(pairs, 0.8, 1)[0])
    assert not np.array_equal(second, split(pairs, 0.8, 2)[1])


ROWS = [("What is it?", "What\u2028is it?", 1), ("Tab-free", "naïve “quotes”", 0)]


def test_json_lines_end_at_newlines_alone(tmp_path: Path) -> None:
    lines = "\n".join(
        json.dumps({"text_a": a, "text_b": b, "label": label}, ensure_ascii=False) for a, b, label in ROWS
    )
    plain, packed = tmp_path / "p.jsonl", tmp_path / "p.jsonl.gz"
    plain.write_bytes(("\ufeff" + lines + "\r\n\n").encode())
    packed.write_bytes(gzip.compress(lines.encode()))
    for path in (plain, packed):
        pairs = read(path)
        assert (pairs.a, pairs.b, pairs.labels) == tuple(map(list, zip(*ROWS, strict=True)))


@pytest.mark.parametrize("header", ["", "label\tsentence1\tsentence2\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_tables_are_read_with_and_without_a_header(tmp_path: Path, header: str, encoding: str) -> None:
    path = tmp_path / "p.tsv"
    rows = ["1\tone\ttwo“", "0\tthree\tfour"] if header else ["one\ttwo“\t1", "three\tfour\t0"]
    path.write_bytes((header + "\r\n".join(rows) + "\r\n").encode(encoding))
    pairs = read(path)
    assert (pairs.a, pairs.b, pairs.labels) == (["one", "three"], ["two“", "four"], [1, 0])


def test_scores_become_labels_where_a_bound_is_given(tmp_path: Path) -> None:
    path = tmp_path / "p.tsv"
    path.write_text("a\tb\t4.2\nc\td\t1.0\n")
    assert read(path, positive_over=4).labels == [1, 0]
    with pytest.raises(BadPairs, match="line 1: the label"):
        read(path)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("p.jsonl", '{"text_a": "x"}\n', "line 1 has no text_a"),
        ("p.jsonl", "{\n", "line 1 is not JSON"),
        ("p.jsonl", "[1]\n", "line 1 is not an object"),
        ("p.jsonl", "", "no pairs"),
        ("p.tsv", "a\tb\t1\nonly\n", "line 2 has 1 columns"),
        ("p.tsv", "a\tb\t1\nc\td\t1\n", "has the label 1"),
        ("p.tsv", "a\tb\tmaybe\n", "neither 0 nor 1"),
    ],
)
def test_a_bad_file_is_refused_with_the_line(tmp_path: Path, name: str, text: str, why: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(BadPairs, match=why):
        read(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPairs, match="cannot be read"):
        read(tmp_path / "none.jsonl")


def test_the_measures_are_what_they_say() -> None:
    scores = np.array([0.9, 0.8, 0.8, 0.7, 0.1], np.float32)
    labels = np.array([1, 1, 0, 1, 0], np.int8)
    assert auc(scores, labels) == pytest.approx((2 + 1.5 + 1) / 6)
    recall, threshold = recall_at(scores, labels, 0.75)
    assert (recall, threshold) == pytest.approx((1.0, 0.7))
    assert recall_at(scores, labels, 0.95) == pytest.approx((1 / 3, 0.9))
    assert recall_at(-scores, labels, 0.9) == (0.0, float("inf"))
    point = at(scores, labels, 0.8)
    assert (point["served"], point["wrong_hit_rate"], point["recall"]) == (3, 0.3333, 0.6667)
    low, high = wilson(0, 100)
    assert low == 0 and 0.03 < high < 0.04


def test_every_attack_has_two_different_texts_and_most_are_wrong_to_serve() -> None:
    made = attacks()
    assert all(a != b for a, b in zip(made.a, made.b, strict=True))
    assert made.labels.count(0) > 200 and made.labels.count(1) >= 20


def test_several_splits_are_told_by_mean_and_range_beside_the_cosine_on_the_same_rows() -> None:
    splits = [
        dict.fromkeys(SPREAD, value) | {"same_rows": {"cosine": dict.fromkeys(SPREAD, value / 2)}}
        for value in (0.2, 0.4, 0.9)
    ]
    told = spread(splits)
    assert told["n"] == 3
    assert told["trained"]["auc"] == {"mean": 0.5, "least": 0.2, "most": 0.9}
    assert told["cosine"]["recall_at_precision_95"] == {"mean": 0.25, "least": 0.1, "most": 0.45}


def test_of_what_the_models_cannot_read_nothing_is_served() -> None:
    """The pairs of `benchmarks.semantic_languages`, through the embedder and the verifier that ship."""
    unrelated = list(combinations(semantic_languages.THAI, 2))
    pairs = [*semantic_languages.SIGNS, *unrelated, *chain(*semantic_languages.OPPOSITES.values())]

    async def served() -> list[tuple[str, str]]:
        reader = semantic_languages.Reader()
        try:
            read = await reader.read([text for pair in pairs for text in pair])
            return [
                pair
                for pair in pairs
                if await reader.serves(pair, read) and {*map(reader.language, pair)} == {"en"}
            ]
        finally:
            await reader.aclose()

    assert asyncio.run(served()) == []
    assert len(set(semantic_languages.exam())) == 1_200
