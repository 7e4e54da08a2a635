"""`farthing models`: filters, what is shown in 80 columns, and what is said where nothing is left."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from farthing.cli.commands.models.group import command
from farthing.cli.commands.models.shown import LEGEND


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no configuration, and none is named."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FARTHING")]:
        monkeypatch.delenv(name)


def run(*args: str, folder: Path, **env: str) -> tuple[int, str, str]:
    own = {
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "COLUMNS": "80",
    }
    told = CliRunner(env={**own, **env}).invoke(command, list(args), standalone_mode=False)
    error = "" if told.exception is None else str(told.exception)
    return told.exit_code, told.stdout, told.stderr + error


def listed(*args: str, folder: Path) -> list[dict[str, Any]]:
    status, out, _ = run(*args, "--json", folder=folder)
    assert status == 0
    found = json.loads(out)
    assert found["version"][:2] == "20"
    models: list[dict[str, Any]] = found["models"]
    return models


def test_price_window_and_capability_filter_together(tmp_path: Path) -> None:
    asked = ("--input-max", "1", "--output-max", "4", "--window", "200k", "--can", "vision,tools")
    found = listed(*asked, folder=tmp_path)
    assert len(found) > 50
    for model in found:
        price = model["usd_per_million_tokens"]
        assert price["input"] <= 1 and price["output"] <= 4 and model["context_tokens_max"] >= 200_000
        assert {"vision", "tools"} <= set(model["can"]) and model["operation"] == "chat"
    prices = [
        round(3 * one["usd_per_million_tokens"]["input"] + one["usd_per_million_tokens"]["output"], 6)
        for one in found
    ]
    assert prices == sorted(prices)


def test_names_providers_and_sizes_filter_too(tmp_path: Path) -> None:
    names = [one["name"] for one in listed("--name", "GPT 5.2", "--provider", "openai", folder=tmp_path)]
    assert "openai/gpt-5.2" in names and all("gpt-5.2" in name for name in names)
    both = listed("--provider", "groq", "--provider", "xai", folder=tmp_path)
    assert {one["provider"] for one in both} == {"groq", "xai"}
    large = listed("--output-tokens", "100k", "--sort", "window", folder=tmp_path)
    assert all(one["output_tokens_max"] >= 100_000 for one in large)
    windows = [one["context_tokens_max"] or 0 for one in large]
    assert windows == sorted(windows, reverse=True)
    newest = listed("--provider", "openai", "--sort", "released", folder=tmp_path)
    days = [one["released"] or "" for one in newest]
    assert days == sorted(days, reverse=True)
    embeddings = listed("--embeddings", "--provider", "openai", folder=tmp_path)
    assert embeddings and all(one["operation"] == "embeddings" for one in embeddings)


def test_what_has_ended_is_shown_on_request(tmp_path: Path) -> None:
    ended = {one["name"] for one in listed("--retired", folder=tmp_path)}
    ended -= {one["name"] for one in listed(folder=tmp_path)}
    assert "openai/o3-mini" in ended  # on 2026-10-23


def test_a_table_fits_80_columns_and_says_how_many_there_are(tmp_path: Path) -> None:
    status, out, told = run("--can", "vision", "--limit", "0", folder=tmp_path)
    lines = out.splitlines()
    assert status == 0 and len(lines) > 500 and lines[-1] == LEGEND
    whole_names = [line for line in lines if "/" in line.split()[0] and len(line.split()) == 1]
    assert all(len(line) <= 80 for line in lines if line not in whole_names)
    assert " models; 20" in told
    status, out, told = run("--can", "vision", folder=tmp_path)
    assert len(out.splitlines()) < 90 and "not shown: --limit 0 shows all" in told


def test_nothing_left_is_said_with_the_filters_that_leave_something(tmp_path: Path) -> None:
    status, out, told = run("--can", "vision", "--input-max", "0", folder=tmp_path)
    assert (status, out) == (0, "") and told.startswith("no model fits, of 3")
    assert "without --input-max: " in told and "without --can: " in told
    assert listed("--name", "no such model", folder=tmp_path) == []


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--can", "fly"), "'fly' is none of vision, audio_in"),
        (("--window", "wide"), "'wide' is no number of tokens, such as 200000, 200k or 1m"),
        (("--window", "-5"), "is no number of tokens"),
        (("refresh",), "no catalogue_url is set and no --url given"),
        (
            ("refresh", "--url", "http://prices.example.com/list"),
            '--url: expected an URL that begins with "https',
        ),
        (("refresh", "--url", "https://me:pw@prices.example.com/"), "without user, password"),
    ],
)
def test_what_is_wrong_with_a_call_is_said(tmp_path: Path, args: tuple[str, ...], says: str) -> None:
    status, _, told = run(*args, folder=tmp_path)
    assert status != 0 and says in told


def test_a_list_that_cannot_be_fetched_changes_nothing_and_says_so(tmp_path: Path) -> None:
    status, _, told = run("refresh", "--url", "https://127.0.0.1:1/list.json", folder=tmp_path)
    told = " ".join(told.split())
    assert status == 1 and "cannot connect to https://127.0.0.1:1" in told
    assert "nothing is changed, the list in use is 20" in told


def test_forgetting_where_nothing_was_fetched_says_so(tmp_path: Path) -> None:
    status, out, _ = run("refresh", "--forget", folder=tmp_path)
    assert status == 0 and out.startswith("no price list had been fetched; the package's is used: 20")


def test_prices_of_ones_own_are_in_the_list(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(
        '[providers.mine]\nbase_url = "http://127.0.0.1:9/v1"\nauth = "none"\n'
        '[[prices]]\ntarget = "mine/small"\ninput = 0.5\noutput = 1.5\ncontext_tokens_max = 32000\n'
    )
    _, out, _ = run("--provider", "mine", "--config", str(file), "--json", folder=tmp_path)
    (model,) = json.loads(out)["models"]
    assert model["name"] == "mine/small" and model["usd_per_million_tokens"]["output"] == 1.5
    assert model["context_tokens_max"] == 32_000 and model["can"] == []
