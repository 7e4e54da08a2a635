"""The options `--since` and `--until`."""

import click

from farthing.insight.times import Moment, moment

SINCE_HELP = "24h, 7d, yesterday, monday, `last week`, `this month`, an ISO date or time, or `all`."
UNTIL_HELP = "As --since; a day, a week or a month is taken to its end.  [default: now]"


def since_of(since: str, now_unix_s: float) -> float | None:
    """The moment from which on, as `farthing.insight.times` reads it; None for `all`.

    Raises:
        click.BadParameter: it is no time; the message lists what is.
    """
    return None if since.strip().lower() == "all" else _read(since, now_unix_s, "--since").first_unix_s


def span_of(since: str, until: str | None, now_unix_s: float) -> tuple[float | None, float]:
    """From when, None for `all`, and until when, which is never later than now.

    Raises:
        click.BadParameter: one is no time, or nothing lies between them.
    """
    first = since_of(since, now_unix_s)
    end = now_unix_s
    if until is not None and until.strip().lower() != "all":
        end = min(_read(until, now_unix_s, "--until").end_unix_s, now_unix_s)
    if first is not None and first >= end:
        raise click.BadParameter(f"{since!r} is not before --until {until or 'now'!r}", param_hint="--since")
    return first, end


def _read(text: str, now_unix_s: float, option: str) -> Moment:
    try:
        return moment(text, now_unix_s)
    except ValueError as why:
        raise click.BadParameter(str(why), param_hint=option) from why
