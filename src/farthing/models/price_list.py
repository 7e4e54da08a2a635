"""The prices that apply to a configuration: the shipped list, the operator's own prices, and surcharges for
providers that process requests in one place."""

import os
from urllib.parse import urlsplit

from farthing.config import Config, state_dir
from farthing.models.discovery.presets import listed_as, processed_in
from farthing.models.pricing.catalogue import Catalogue
from farthing.models.pricing.kept_list import current


def price_list(config: Config) -> Catalogue:
    """Read the list of the package, or the newer one that was fetched, and apply the prices of `config`.

    Raises:
        ConfigError: a price of the operator is invalid.
    """
    hosts = {
        name: urlsplit(str(provider.base_url)).hostname or "" for name, provider in config.providers.items()
    }
    places = {name: place for name, host in hosts.items() if (place := processed_in(host))}
    listed = {
        name: listed_as(name, str(provider.__struct_config__.tag), hosts[name])
        for name, provider in config.providers.items()
    }
    known = current(state_dir(config, os.environ)).named(listed)
    return known.with_overrides(config.prices).in_places(places)
