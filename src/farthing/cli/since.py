"""The option `--since`."""

import click

from farthing.insight import report as reports


def since_of(since: str, now_unix_s: float) -> float | None:
    """The moment that `30m`, `7d` or an ISO time stands for; None for `all`.

    Raises:
        click.BadParameter: it is none of them.
    """
    if since == "all":
        return None
    try:
        return reports.parse_since(since, now_unix_s)
    except ValueError as why:
        raise click.BadParameter(str(why), param_hint="--since") from why
