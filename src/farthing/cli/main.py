"""`farthing`: the group of commands. A command's module is imported when it is called, not to print help."""

import importlib
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from farthing import __version__
from farthing.cli.screen import tell
from farthing.errors import ConfigError, FarthingError
from farthing.stores.private import UMASK

# Name -> module and what `farthing --help` says of it, so that help imports none of them.
COMMANDS = {
    "serve": ("farthing.cli.commands.serve", "Run the gateway."),
    "demo": (
        "farthing.cli.commands.demo",
        "See it work offline: real questions, simulated models, a savings report.",
    ),
    "init": ("farthing.cli.commands.init", "Write down what `serve` finds here, as a configuration to edit."),
    "models": (
        "farthing.cli.commands.models.group",
        "List models by price, window and what they can; fetch a newer list.",
    ),
    "check": ("farthing.cli.commands.check", "Validate a configuration and print what it comes to."),
    "report": ("farthing.cli.commands.report", "What requests cost and saved, per endpoint and tier."),
    "calibrate": (
        "farthing.cli.commands.calibrate.group",
        "Certify a promise from what was measured, or refuse to.",
    ),
    "precompute": (
        "farthing.cli.commands.precompute",
        "Answer questions before they are asked, within a budget.",
    ),
    "cache": ("farthing.cli.commands.cache", "Look at the semantic cache, and make it forget."),
    "quality": (
        "farthing.cli.commands.quality",
        "How good answers were, by judges, people, checks and repeats.",
    ),
    "drift": ("farthing.cli.commands.drift", "Tell whether the traffic is still that which was measured."),
    "train": ("farthing.cli.commands.train", "Fit a router to scored examples."),
    "policy": (
        "farthing.cli.commands.policy",
        "Versions of an endpoint's routing: try, serve, take back, compare.",
    ),
    "explain": ("farthing.cli.commands.explain", "Tell the story of one request from its receipt."),
    "plugins": ("farthing.cli.commands.plugins", "List the plug-ins that are installed, and which are used."),
    "keys": ("farthing.cli.commands.keys", "Make API keys, and digests of them."),
}

OK, FAILED, MISUSED = 0, 1, 2
"""Exit statuses: done; it did not work; the call or the configuration has to change."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command = module.command
        if not isinstance(command, click.Command):
            raise TypeError(f"{module.__name__}.command is no click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, about) for name, (_, about) in COMMANDS.items()]
        for name in super().list_commands(ctx):
            command = super().get_command(ctx, name)
            rows.append((name, command.get_short_help_str() if command else ""))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with `farthing demo`, or with `farthing serve` where a provider's key is set.",
)
@click.version_option(__version__, "-V", "--version", message="farthing %(version)s")
def cli() -> None:
    """An LLM gateway that makes every request cost less and answer sooner, and proves it."""


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def version(as_json: bool) -> None:
    """Print the version."""
    click.echo(f'{{"name":"farthing","version":"{__version__}"}}' if as_json else f"farthing {__version__}")


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit status; a deliberate failure is one line, not a trace.

    What is written, here and by processes that are started, is readable by this user alone.
    """
    os.umask(UMASK)
    try:
        status = cli.main(args=args, prog_name="farthing", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as why:
        why.show()
        sys.exit(why.exit_code)
    except click.ClickException as why:
        _tell_misuse(why)
        sys.exit(why.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)  # 128 + SIGINT, as shells have it
    except FarthingError as why:
        told = [line if line.startswith(" ") else f"error: {line}" for line in str(why).split("\n")]
        tell(*told)
        sys.exit(MISUSED if isinstance(why, ConfigError) else FAILED)
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # else the end of the process writes on
        sys.exit(FAILED)
    except OSError as why:
        tell(f"error: {_of_system(why)}")
        sys.exit(FAILED)
    sys.exit(status if isinstance(status, int) else OK)


def _tell_misuse(why: click.ClickException) -> None:
    """How the command is called, where that is known, and what is wrong with this call."""
    ctx = why.ctx if isinstance(why, click.UsageError) else None
    if ctx is not None:
        tell(ctx.get_usage(), f"Try `{ctx.command_path} --help`.", "")
    tell(f"error: {why.format_message()}")


def _of_system(why: OSError) -> str:
    """What the system refused, in a line; where another user owns it, what helps."""
    told = f"{why.filename or 'a file'}: {why.strerror or why}"
    if not isinstance(why, PermissionError) or why.filename is None:
        return told
    place = Path(os.fsdecode(why.filename)).absolute()
    for one in (place, *place.parents):
        try:
            owner, own = one.owner(), one.stat().st_uid == os.geteuid()
        except (OSError, KeyError):
            continue
        return told if own else f"{told}; {one} belongs to {owner}: run this as that user"
    return told
