"""Whether a fitted model finds what was planted, nothing where nothing is, and never looks at its test."""

from pathlib import Path

import numpy as np
import pytest
from benchmarks.routing_curve import apgr, random_band
from numpy.typing import NDArray
from tests.planted import MADE, examples_of, fitted, outcomes_of, questions

from farthing.brain.route.learned.features import NAMES, WORDS_DIMS, excerpt, read, read_all
from farthing.brain.route.learned.fit import (
    cross_predict,
    fit,
    fit_space,
    folds_of,
    groups_of,
    heads_for,
    join,
    outputs_of,
    weigh,
)
from farthing.brain.route.learned.heads import FITS
from farthing.brain.route.learned.model import load
from farthing.errors import ConfigError
from farthing.types import replace


def test_a_planted_signal_is_recovered() -> None:
    new, hard = questions(300, seed=9)
    found = fitted().model.probabilities(read_all(new), None)
    gap = found[:, 0] - found[:, 1]
    assert fitted().model.models == ("expensive", "cheap")
    assert gap[hard > 0].mean() == pytest.approx(0.5, abs=0.12)
    assert gap[hard == 0].mean() == pytest.approx(0.0, abs=0.08)
    assert apgr(gap, hard) > 0.95 * apgr(hard, hard)


def test_what_is_predicted_is_about_as_often_right_as_it_says() -> None:
    assert (fitted().model.calibration_error < 0.08).all()


def vectors_of(hard: NDArray[np.float32], seed: int = 3) -> NDArray[np.float32]:
    chance = np.random.default_rng(seed)
    raw = chance.normal(size=(len(hard), 16)).astype(np.float32)
    raw[:, 0] += 3 * hard
    return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize("head", FITS)
def test_every_head_finds_it_alone(head: str) -> None:
    texts, hard = questions(400)
    outcomes = outcomes_of(hard)
    vectors = vectors_of(hard)
    examples = examples_of(texts, outcomes, vectors)
    space = fit_space(examples.readings, vectors)
    outputs = outputs_of(outcomes, 1)
    known = FITS[head](space.rows(examples.readings, vectors), outputs, np.random.default_rng(0))
    new, new_hard = questions(200, seed=5)
    said = known.predict(space.rows(read_all(new), vectors_of(new_hard, seed=6)))
    assert said.shape == (200, 2) and np.isfinite(said).all()
    assert apgr(said[:, 1], new_hard) > 0.7 * apgr(new_hard, new_hard)


@pytest.mark.slow
def test_shuffled_outcomes_are_worth_no_more_than_a_lot() -> None:
    texts, hard = questions(400)
    outcomes = outcomes_of(hard)
    np.random.default_rng(4).shuffle(outcomes)
    found, _ = cross_predict(
        examples_of(texts, outcomes), folds_of(np.arange(400)), reference=1, heads=("structure", "words")
    )
    gain = outcomes[:, 1] - outcomes[:, 0]
    low, high = random_band(gain)
    assert low - 0.02 < apgr(found[:, 1], gain) < high + 0.02
    assert low < 0.5 < high


@pytest.mark.slow
def test_the_outcomes_of_a_fold_change_nothing_of_what_is_predicted_for_it() -> None:
    texts, hard = questions(200)
    outcomes = outcomes_of(hard)
    folds = folds_of(np.arange(200))
    heads = ("structure", "words")
    before, _ = cross_predict(examples_of(texts, outcomes), folds, reference=1, heads=heads)
    altered = outcomes.copy()
    altered[folds == 2] = 1 - altered[folds == 2]
    after, _ = cross_predict(examples_of(texts, altered), folds, reference=1, heads=heads)
    assert (before[folds == 2] == after[folds == 2]).all()
    assert (before[folds != 2] != after[folds != 2]).any()


def test_near_duplicates_are_never_in_two_folds() -> None:
    texts, _ = questions(300)
    copies = [text.replace("number", "number:") for text in texts[:150]]
    groups = groups_of(read_all([*texts, *copies]).words)
    assert (groups[:150] == groups[300:]).all()
    assert len(np.unique(groups)) > 250
    folds = folds_of(groups)
    assert all(len(np.unique(folds[groups == group])) == 1 for group in np.unique(groups))
    assert np.bincount(folds).min() > 0.8 * len(groups) / 5


def test_the_same_question_with_other_figures_is_a_near_duplicate() -> None:
    asked = "A shop sells {} pens for {} dollars each. How much do they cost together?"
    one, two, other = read_all([asked.format(12, 30), asked.format(47, 91), "Who wrote Faust?"]).words
    groups = groups_of([one, two, other])
    assert groups[0] == groups[1] != groups[2]


def test_examples_that_every_prompt_begins_with_make_no_near_duplicates() -> None:
    texts, _ = questions(100)
    shots = " ".join(f"Example {name} answer {name}s, as was shown above." for name in "abcdefghijklmnop")
    groups = groups_of(read_all([f"{shots} {text}" for text in [*texts, *texts[:10]]]).words)
    assert len(np.unique(groups)) > 80
    assert (groups[100:] == groups[:10]).all()
    with pytest.raises(ValueError, match="near-duplicates"):
        folds_of(np.zeros(100, np.int64))


def test_of_a_long_text_its_beginning_and_its_end_are_embedded() -> None:
    assert excerpt("short") == "short"
    cut = excerpt("B" + "x" * 5_000 + "E")
    assert len(cut) == 1_001 and cut[0] == "B" and cut[-1] == "E"


def test_texts_without_a_word_have_no_near_duplicates() -> None:
    assert len(np.unique(groups_of(read_all(["", " ", "word"]).words))) == 3


def test_a_head_that_says_nothing_gets_no_weight_beside_one_that_knows() -> None:
    chance = np.random.default_rng(0)
    truth = chance.normal(size=(2_000, 1)).astype(np.float32)
    against = (-truth + chance.normal(size=truth.shape)).astype(np.float32)
    weights, _ = weigh(np.stack([truth, against], axis=1), truth)
    assert weights[0, 0] > 0.6
    assert weights[1, 0] == 0


def test_a_new_model_joins_with_a_few_hundred_examples() -> None:
    texts, hard = questions(200, seed=21)
    outcomes = (np.random.default_rng(1).random(200) > np.where(hard > 0, 0.8, 0.2)).astype(np.float32)
    only = replace(examples_of(texts, outcomes[:, None]), models=("middle",))
    grown = join(fitted().model, "middle", only)
    new, new_hard = questions(200, seed=22)
    found = grown.probabilities(read_all(new), None)
    assert grown.models == ("expensive", "cheap", "middle")
    assert found[new_hard > 0, 2].mean() == pytest.approx(0.2, abs=0.1)
    assert found[new_hard == 0, 2].mean() == pytest.approx(0.8, abs=0.1)
    assert (found[:, :2] == fitted().model.probabilities(read_all(new), None)).all()
    with pytest.raises(ValueError, match="already"):
        join(grown, "middle", only)


@pytest.mark.slow
def test_a_model_is_the_same_when_it_is_fitted_again_and_when_it_was_saved(tmp_path: Path) -> None:
    texts, hard = questions(150)
    examples = examples_of(texts, outcomes_of(hard), vectors_of(hard))
    one, two = fit(examples, made=MADE), fit(examples, made=MADE)
    assert (one.held_out == two.held_out).all()
    path = tmp_path / "route.npz"
    one.model.save(path)
    again = load(path)
    new, new_hard = questions(40, seed=2)
    vectors = vectors_of(new_hard)
    assert (
        again.probabilities(read_all(new), vectors) == one.model.probabilities(read_all(new), vectors)
    ).all()
    assert again.about == one.model.about and again.models == one.model.models
    assert again.about.data == examples.digest and again.about.embedder == "planted/1"
    row = again.one(read(new[0]), vectors[0])
    assert row == pytest.approx(again.probabilities(read_all(new[:1]), vectors[:1])[0].tolist(), abs=1e-5)
    with pytest.raises(ValueError, match="embeddings of 16"):
        again.one(read("x"), None)


def test_a_file_that_is_no_model_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "route.npz"
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load(path)
    path.write_bytes(b"not a model")
    with pytest.raises(ConfigError, match=r"route\.npz"):
        load(path)
    fitted().model.save(path)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, "features": np.array("structure-0")})
    with pytest.raises(ConfigError, match="fit it again"):
        load(path)
    np.savez(path, **{**arrays, "weights": arrays["weights"][:, :1]})
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load(path)
    path.write_bytes(path.read_bytes()[:2_000])
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load(path)


def test_too_few_examples_and_bad_outcomes_are_refused() -> None:
    texts, hard = questions(99)
    with pytest.raises(ValueError, match="too few"):
        fit(examples_of(texts, outcomes_of(hard)))
    texts, hard = questions(120)
    with pytest.raises(ValueError, match="between 0 and 1"):
        fit(examples_of(texts, outcomes_of(hard) * 2))
    with pytest.raises(ValueError, match="unknown head"):
        heads_for(True, ("oracle",))


@pytest.mark.parametrize(
    "text",
    ["", " ", "1.2.3,4", "٣ ²² ½", "你好吗 今天天气怎么样", "\ud800", "_" * 50, "A) 1\nB) 2", "9" * 400],
)
def test_any_text_can_be_read(text: str) -> None:
    reading = read(text)
    assert reading.structure.shape == (len(NAMES),) and np.isfinite(reading.structure).all()
    assert all(0 <= word < WORDS_DIMS for word in reading.words.tolist())
    assert np.isfinite(fitted().model.one(reading, None)).all()


def test_a_long_text_is_read_at_both_ends_only() -> None:
    middle = "word " * 100_000
    start, end = "Prove " * 400, " dollars?" * 100
    assert (read(start + middle + end).words == read(start + middle * 2 + end).words).all()
