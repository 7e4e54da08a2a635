"""The prices that apply to a configuration: the shipped list, the operator's own prices, and surcharges for
providers that process requests in one place."""

import os
from urllib.parse import urlsplit

from farthing.config import Config, state_dir
from farthing.models.discovery.presets import processed_in
from farthing.models.pricing.catalogue import Catalogue
from farthing.models.pricing.kept_list import current


def price_list(config: Config) -> Catalogue:
    """Read the list of the package, or the newer one that was fetched, and apply the prices of `config`.

    Raises:
        ConfigError: a price of the operator is invalid.
    """
    places = {
        name: place
        for name, provider in config.providers.items()
        if (place := processed_in(urlsplit(str(provider.base_url)).hostname or ""))
    }
    fetched_in = state_dir(config, os.environ)
    return current(fetched_in).with_overrides(config.prices).in_places(places)
