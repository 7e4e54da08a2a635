"""Where the ledger lies, and what the configuration says about its endpoints."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from farthing import config as configuration
from farthing.config import Config
from farthing.config.knobs import EndpointSemanticConfig
from farthing.errors import ConfigError


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What a report is made from."""

    ledger: Path
    targets_s: dict[str, float]
    """Endpoint to the latency its contract holds it to."""
    state_dir: Path
    semantic: dict[str, EndpointSemanticConfig]
    """The semantic cache of every endpoint of the configuration."""


def locate(ledger: Path | None, config: Path | None, env: Mapping[str, str]) -> Source:
    """The ledger at `ledger`, else the one that the configuration file names, else that of the defaults.

    Without `config`, the `farthing.toml` of the working directory is not looked at.

    Raises:
        ConfigError: the configuration is refused, or there is no directory at that place.
    """
    settings = Config() if config is None else configuration.load(config, env)
    path = ledger or settings.ledger.path or configuration.state_dir(settings, env) / "ledger"
    if not path.is_dir():
        raise ConfigError(
            f"no ledger at {path}: name its directory with --ledger, or the gateway's file with --config"
        )
    targets_s = {
        name: endpoint.target_s
        for name, endpoint in settings.endpoints.items()
        if endpoint.target_s is not None
    }
    return Source(
        ledger=path,
        targets_s=targets_s,
        state_dir=configuration.state_dir(settings, env),
        semantic={name: endpoint.cache.semantic for name, endpoint in settings.endpoints.items()},
    )
