"""Finds settings that are allowed but probably mistakes, with the place where each was set."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from farthing import config as configuration
from farthing.config import Config
from farthing.models.price_list import price_list
from farthing.models.pricing.priced import unpriced
from farthing.models.targets import Targets
from farthing.wiring.conditions import unknown_words
from farthing.wiring.continuing import never_continued
from farthing.wiring.credentials import unsigned


def advised(
    config: Config, source: Path | None, env: Mapping[str, str], more: Iterable[str] = ()
) -> list[str]:
    """One line for each such setting, and for each of `more`. If `config` comes from the file `source`, each
    line says where in the file, or by which variable, it was set. The conditions must have been accepted
    by `loads`. Takes some milliseconds."""
    targets = Targets(config, price_list(config))
    lines = [
        *configuration.advice(config),
        *unknown_words(config),
        *unsigned(config, env),
        *unpriced(config, targets, in_file=source is not None),
        *never_continued(config, targets),
        *more,
    ]
    return lines if source is None else configuration.placed(lines, source, env)
