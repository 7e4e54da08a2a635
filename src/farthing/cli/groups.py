"""Groups of commands whose help says of each what it does, uncut."""

import click

SENTENCE_CHARS_MAX = 10_000


class SubcommandGroup(click.Group):
    """Lists its commands with their whole first sentence, in rows that fit."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [
            (name, command.get_short_help_str(SENTENCE_CHARS_MAX))
            for name, command in commands
            if command is not None and not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
