"""Options that have another name since the last release: the old one works for one release more."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from farthing.cli.screen import tell

if TYPE_CHECKING:
    from click.parser import _OptionParser


class RenamedOption(click.Option):
    """Answers to its `old` name too, which `--help` does not show, with a warning on standard error."""

    def __init__(self, *args: Any, old: str, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.old = old

    def add_to_parser(self, parser: "_OptionParser", ctx: click.Context) -> None:
        super().add_to_parser(parser, ctx)
        parser.add_option(obj=self, opts=[self.old], dest=self.old, action="store", nargs=self.nargs)

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        if self.old not in opts:
            return super().consume_value(ctx, opts)
        new = self.opts[0]
        if self.name in opts:
            raise click.UsageError(f"{self.old} is called {new} now, and both are given; leave it out", ctx)
        tell(f"warning: {self.old} is called {new} now; the next release knows only that name")
        return opts[self.old], ParameterSource.COMMANDLINE
