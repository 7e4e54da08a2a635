"""`farthing train route`: from scored examples to a model that the gateway takes, and its samples."""

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from farthing.brain.route.learned.model import load
from farthing.cli.commands.train import command
from farthing.guarantees.calibrate import route_samples

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
PLAIN = ("--models", "cheap,expensive", "--no-embedding", "--out")


def examples(path: Path, count: int = 300) -> Path:
    chance = random.Random(7)
    rows = []
    for number in range(count):
        hard = chance.random() < 0.5
        words = " ".join(
            chance.sample(
                ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"], 4
            )
        )
        text = f"Prove the lemma about {words} {number}" if hard else f"Say hello to {words} {number}"
        rows.append({"prompt": text, "cheap": int(not hard or chance.random() < 0.1), "expensive": 1})
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", "utf-8")
    return path


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(command, ["route", *map(str, words)], catch_exceptions=True)
    return done.exit_code, done.output + (str(done.exception) if done.exception else "")


@pytest.mark.slow
def test_what_was_fitted_can_be_loaded_and_tells_hard_from_easy(tmp_path: Path) -> None:
    data, out, samples = examples(tmp_path / "data.jsonl"), tmp_path / "route.npz", tmp_path / "judged.jsonl"
    status, told = run(
        "--data", data, "--models", "cheap,expensive", "--out", out, "--samples", samples, "--no-embedding"
    )
    assert status == 0, told
    assert set(load(out).models) == {"cheap", "expensive"}
    judged = route_samples.read(samples).samples
    assert len(judged) == 300
    right = [one.score for one in judged if one.cheap == 1]
    wrong = [one.score for one in judged if one.cheap == 0]
    assert sum(right) / len(right) > sum(wrong) / len(wrong) + 0.3


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"cheap": 1, "expensive": 1}', "prompt"),
        ('{"prompt": "a", "cheap": 2, "expensive": 1}', "`cheap` must be a number from 0 to 1"),
        ('{"prompt": "a", "cheap": 1}', "`expensive` must be"),
        ("not json", "line 2"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, line: str, why: str) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"prompt": "a", "cheap": 1, "expensive": 1}\n' + line + "\n", "utf-8")
    status, told = run("--data", data, *PLAIN, tmp_path / "x")
    assert status != 0 and "line 2" in told and why in told
    assert not (tmp_path / "x").exists()


def test_too_few_examples_are_refused(tmp_path: Path) -> None:
    data = examples(tmp_path / "data.jsonl", 20)
    status, told = run("--data", data, *PLAIN, tmp_path / "x")
    assert status != 0 and "too few" in told


def test_two_models_are_needed(tmp_path: Path) -> None:
    status, told = run("--data", tmp_path / "none", "--models", "cheap", "--out", tmp_path / "x")
    assert status != 0 and "two different columns" in told
