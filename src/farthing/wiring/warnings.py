"""What is allowed and likely a mistake in a whole configuration, with the place where it was said."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from farthing import config as configuration
from farthing.config import Config
from farthing.models.price_list import price_list
from farthing.models.pricing.priced import unpriced
from farthing.models.targets import Targets
from farthing.wiring.conditions import unknown_words


def advised(
    config: Config, source: Path | None, env: Mapping[str, str], more: Iterable[str] = ()
) -> list[str]:
    """A line for each thing, and for each of `more`; where `config` is that of the file `source`, each says
    where in it, or by which variable. The conditions are those that `loads` has accepted. Takes some
    milliseconds."""
    lines = [
        *configuration.advice(config),
        *unknown_words(config),
        *unpriced(
            config,
            Targets(config, price_list(config)),
            in_file=source is not None,
        ),
        *more,
    ]
    return lines if source is None else configuration.placed(lines, source, env)
