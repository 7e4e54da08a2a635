"""A flag by its old name works, with one warning, and `--help` does not show it."""

import click
import pytest
from click.testing import CliRunner

from farthing.cli.main import cli
from farthing.cli.renamed import RenamedOption


@click.command()
@click.option("--risk-max", cls=RenamedOption, old="--loss", type=float, required=True)
def command(risk_max: float) -> None:
    click.echo(f"{risk_max:g}")


@pytest.mark.parametrize("words", [["--loss", "0.02"], ["--loss=0.02"]])
def test_the_old_flag_gives_the_same_value_and_one_warning(words: list[str]) -> None:
    done = CliRunner().invoke(command, words)
    assert (done.exit_code, done.stdout) == (0, "0.02\n")
    assert done.stderr == "warning: --loss is called --risk-max now; the next release knows only that name\n"


def test_the_new_flag_is_silent_and_the_only_one_that_help_shows() -> None:
    done = CliRunner().invoke(command, ["--risk-max", "0.02"])
    assert (done.exit_code, done.stdout, done.stderr) == (0, "0.02\n", "")
    help_text = CliRunner().invoke(command, ["--help"]).stdout
    assert "--risk-max" in help_text and "--loss" not in help_text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--loss", "1", "--risk-max", "2"], "--loss is called --risk-max now, and both are given"),
        ([], "Missing option '--risk-max'"),
        (["--loss", "x"], "'x' is not a valid float"),
    ],
)
def test_both_names_none_and_a_wrong_value_are_refused(words: list[str], said: str) -> None:
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 2 and said in done.stderr


@pytest.mark.parametrize(
    ("path", "old"),
    [
        (("calibrate", "cache"), {"--loss"}),
        (("calibrate", "route"), {"--loss", "--segment-loss"}),
        (("calibrate", "cascade"), {"--loss"}),
    ],
)
def test_the_commands_of_the_last_release_keep_their_flags(path: tuple[str, ...], old: set[str]) -> None:
    found: click.Command | None = cli
    for name in path:
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), name)
    assert found is not None
    assert {one.old for one in found.params if isinstance(one, RenamedOption)} == old
