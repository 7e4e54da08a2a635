"""What commands print fits the terminal, and what they advise helps where they say it."""

import json
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from farthing import config as configuration
from farthing.cli import found
from farthing.cli.calibration import REFUSED
from farthing.cli.commands import demo, init
from farthing.cli.commands.serve import _introduction
from farthing.cli.main import cli, main
from farthing.cli.screen import beside, commented
from farthing.config import Config, OpenAIProviderConfig, TierConfig
from farthing.errors import ConfigError
from farthing.guarantees.calibrate.explored import NothingExplored
from farthing.guarantees.policy.versions import PolicyRefused
from farthing.insight.drift import TooFew
from farthing.insight.render.rows import counted, wrapped
from farthing.ledger.segments import SegmentLedger
from farthing.types import Receipt

GATEWAY = """
state_dir = "state"
[providers.x]
base_url = "http://127.0.0.1:9/v1"
[tiers.cheap]
targets = ["x/small"]
[tiers.expensive]
targets = ["x/big"]
[endpoints.faq]
task = "faq"
"""

Run = Callable[..., object]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "FARTHING_CONFIG", "FARTHING__STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "farthing.toml").write_text(GATEWAY)
    (tmp_path / "state" / "ledger").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def run(here: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(*words: str, columns: int = 80) -> object:
        monkeypatch.setenv("COLUMNS", str(columns))
        return cli.main(list(words), standalone_mode=False)

    return run


# -- calibrate ----------------------------------------------------------------------------------------


def test_calibrating_a_route_under_rules_says_that_nothing_gives_a_score(run: Run) -> None:
    with pytest.raises(NothingExplored) as told:
        run("calibrate", "route", "--endpoint", "faq", "--risk-max", "0.02")
    assert 'kind = "rules"' in str(told.value) and "--samples" in str(told.value)


def test_with_a_router_that_gives_scores_the_advice_is_to_explore(here: Path, run: Run) -> None:
    router = '[route]\nkind = "llm"\n[route.llm]\ntarget = "x/small"\n'
    (here / "farthing.toml").write_text(f"{GATEWAY}{router}")
    with pytest.raises(NothingExplored) as told:
        run("calibrate", "route", "--endpoint", "faq", "--risk-max", "0.02")
    assert "rules" not in str(told.value) and "explore_share" in str(told.value)


@pytest.mark.parametrize("columns", [80, 120])
def test_calibrating_a_cache_that_is_off_says_how_it_is_turned_on(
    run: Run, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    assert run("calibrate", "cache", "--endpoint", "faq", columns=columns) == REFUSED
    text = capsys.readouterr().out
    assert 'set endpoints.faq.cache.semantic.mode = "observe"' in " ".join(text.split())
    assert "probability" not in text  # no head of a table without rows
    assert max(map(len, text.splitlines())) <= columns


def test_every_function_of_the_command_line_can_be_read_at_once() -> None:
    """Options stand in decorators; what is done with them stays under 60 lines."""
    import ast

    import farthing.cli

    (folder,) = farthing.cli.__path__
    long = {
        f"{path.name}:{node.name}": node.end_lineno - node.lineno + 1
        for path in Path(folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None
    }
    assert {name: lines for name, lines in long.items() if lines >= 60} == {}


# -- init and what is found ---------------------------------------------------------------------------


def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something is found: one provider, whose reason is long."""
    config = Config(
        providers={"x": OpenAIProviderConfig(base_url="http://127.0.0.1:9/v1")},
        tiers={"cheap": TierConfig(targets=("x/small",))},
    )
    monkeypatch.setattr(init, "found_here", lambda env: (config, ["found x " + "for a reason " * 12]))


def test_comments_of_init_fit_80_columns_and_their_rows_are_moved_in(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled(monkeypatch)
    run("init", "new.toml", columns=200)
    comments = [line for line in (here / "new.toml").read_text().splitlines() if line.startswith("#")]
    assert max(map(len, comments)) <= 80
    assert [line[:4] for line in comments[1:3]] == ["# fo", "#   "]


def test_init_says_so_where_another_file_is_the_one_that_is_served(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settled(monkeypatch)
    (here / "farthing.toml").unlink()
    run("init")
    said = capsys.readouterr()
    assert "check farthing.toml" in said.out and "serve --config" not in said.out and not said.err
    run("init", "other.toml")
    assert "serve --config other.toml" in " ".join(capsys.readouterr().out.split())
    monkeypatch.setenv("FARTHING_CONFIG", "elsewhere.toml")
    run("init", "third.toml")
    said = capsys.readouterr()
    assert "FARTHING_CONFIG names elsewhere.toml" in said.err and f"{here}/third.toml" in said.err


@pytest.mark.parametrize("columns", [80, 120])
def test_where_nothing_is_found_each_way_on_is_a_command_and_fits(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = found._ways_on("/opt/somewhere/long/bin/python -m farthing", []).splitlines()
    assert max(map(len, lines[1:])) <= columns
    at = next(index for index, line in enumerate(lines) if "farthing demo" in line)
    told = lines[at] + lines[at + 1]
    assert "everything offline" in told


def test_two_columns_become_two_rows_where_they_are_too_wide() -> None:
    rows = [("farthing demo", "everything offline"), ("ollama serve", "a model")]
    assert beside(rows, None) == beside(rows, 80)
    assert beside(rows, 80)[0] == "  farthing demo  everything offline"
    assert beside(rows, 25) == [
        "  farthing demo",
        "      everything offline",
        "  ollama serve",
        "      a model",
    ]


# -- lines --------------------------------------------------------------------------------------------


def test_what_is_wrapped_is_moved_in_behind_its_own_first_row() -> None:
    assert wrapped("    a line of words that is too long", 24).splitlines() == [
        "    a line of words that",
        "      is too long",
    ]
    assert commented("short", "x " * 60)[1].startswith("# x") and max(map(len, commented("x " * 60))) <= 80


def test_one_is_singular() -> None:
    assert (counted(1, "request"), counted(1_200, "request"), counted(0, "entry", "entries")) == (
        "1 request",
        "1,200 requests",
        "0 entries",
    )


def test_the_head_of_check_fits(here: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    place = here / ("a-folder-with-a-long-name-" * 3)
    place.mkdir()
    (place / "farthing.toml").write_text(GATEWAY)
    run("check", f"{place.name}/farthing.toml")
    head = [line for line in capsys.readouterr().out.splitlines() if line.startswith("#")]
    assert len(head) > 1 and all(len(line) <= 80 or line.count(" ") == 1 for line in head)


# -- where files lie ----------------------------------------------------------------------------------


@pytest.mark.parametrize("by_option", [True, False])
def test_a_tilde_that_no_shell_expanded_is_the_home_directory(
    here: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    by_option: bool,
) -> None:
    (here / "home").mkdir()
    (here / "home" / "mine.toml").write_text(GATEWAY)
    if by_option:
        assert run("check", "--config=~/mine.toml") == 0
    else:
        monkeypatch.setenv("FARTHING_CONFIG", "~/mine.toml")
        assert run("check") == 0
    assert capsys.readouterr().out.startswith(f"# {here}/home/mine.toml")
    monkeypatch.setenv("FARTHING_CONFIG", "~/gone.toml")
    with pytest.raises(ConfigError, match="FARTHING_CONFIG names it"):
        run("check")


def test_init_makes_the_directory_of_its_file(here: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    settled(monkeypatch)
    run("init", "etc/farthing/farthing.toml")
    assert (here / "etc" / "farthing" / "farthing.toml").is_file()


# -- names, usage and help ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("precompute", "--dry-run", "--endpoint", "nope"),
            "there is no endpoint 'nope'; there are default, faq",
        ),
        (("calibrate", "cascade", "--endpoint", "nope", "--risk-max", "0.1"), "there are default, faq"),
        (
            ("calibrate", "cascade", "--endpoint", "default", "--risk-max", "0.1"),
            "[endpoints.default.cascade]",
        ),
        (("calibrate", "route", "--endpoint", "fak", "--risk-max", "0.1"), "did you mean 'faq'?"),
        (("drift", "--endpoint", "nope"), "there is no endpoint 'nope'; there are default, faq"),
        (("drift", "--endpoint", "nope", "--set"), "there is no endpoint 'nope'"),
    ],
)
def test_an_endpoint_that_is_not_there_stops_the_command_and_those_that_are_are_named(
    run: Run, words: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ConfigError) as told:
        run(*words)
    assert said in str(told.value)


def test_without_endpoints_the_one_that_is_always_there_is_named(here: Path, run: Run) -> None:
    (here / "farthing.toml").write_text(GATEWAY.partition("[endpoints")[0])
    with pytest.raises(ConfigError, match="there is only 'default'"):
        run("precompute", "--dry-run", "--endpoint", "nope")


def test_an_endpoint_that_only_the_ledger_has_is_compared(here: Path, run: Run) -> None:
    ledger = SegmentLedger(here / "state" / "ledger")
    ledger.record(
        Receipt(request_id="r", at_unix_s=time.time(), started_s=0.0, endpoint="former", status=200)
    )
    ledger.close()
    with pytest.raises(TooFew, match=r"has 1 requests .* and a reference takes 1,000"):
        run("drift", "--endpoint", "former", "--set")


def test_where_nothing_served_before_there_is_nothing_to_roll_back(run: Run) -> None:
    with pytest.raises(PolicyRefused, match="nothing to roll back: no version of 'faq' serves"):
        run("policy", "rollback", "--endpoint", "faq")


@pytest.mark.parametrize("words", [("report", "--since", "yesterda"), ("serve", "--port", "x"), ("nope",)])
def test_a_call_that_is_wrong_is_told_as_any_error_in_rows_that_fit(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as left:
        main(list(words))
    lines = capsys.readouterr().err.splitlines()
    assert left.value.code == 2
    assert sum(line.startswith("error: ") for line in lines) == 1 and "Error:" not in "".join(lines)
    assert max(map(len, lines)) <= 80 and any("--help" in line for line in lines)


@pytest.mark.parametrize("group", ["calibrate", "policy", "cache", "keys", "train"])
def test_the_help_of_a_group_cuts_no_sentence(
    run: Run, capsys: pytest.CaptureFixture[str], group: str
) -> None:
    run(group, "--help")
    text = capsys.readouterr().out
    assert "..." not in text.partition("Commands:")[2] and max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("key", ["", '[[keys]]\ntenant = "t"\nkey = "${K}"\n'])
def test_what_serve_says_to_try_fits_and_can_be_pasted(here: Path, key: str) -> None:
    config = configuration.loads(f"{GATEWAY}{key}", {"K": "sk-0123456789"})
    lines = _introduction(config, 8960, {"HOME": "/home/me"})
    assert max(map(len, "\n".join(lines).splitlines())) <= 80
    at = next(i for i, line in enumerate(lines) if line.startswith("try "))
    end = next(i for i, line in enumerate(lines) if line.startswith("client "))
    words = shlex.split("\n".join(lines[at:end]).replace("\\\n", " "))
    assert words[1:3] == ["curl", "http://127.0.0.1:8960/v1/chat/completions"]
    assert json.loads(words[words.index("-d") + 1])["messages"][0]["role"] == "user"
    assert ("authorization: Bearer YOUR_KEY" in words) == bool(key)
    client = "\n".join(lines[end:])
    assert 'OpenAI(base_url="http://127.0.0.1:8960/v1"' in client
    assert 'Anthropic(base_url="http://127.0.0.1:8960"' in client


def test_the_demo_is_as_wide_as_columns_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    def left(coroutine: Any) -> None:
        coroutine.close()
        raise ConfigError("far enough")

    monkeypatch.setattr(demo, "_run", left)
    with pytest.raises(ConfigError, match="far enough"):
        cli.main(["demo", "--requests", "5"], standalone_mode=False)
    assert 60 < max(map(len, capsys.readouterr().out.splitlines())) <= 80
