"""The prices that apply to a configuration: the shipped list, the operator's own prices, and surcharges for
providers that process requests in one place."""

from urllib.parse import urlsplit

from farthing.config import Config
from farthing.models.discovery.presets import processed_in
from farthing.models.pricing.catalogue import Catalogue


def price_list(config: Config) -> Catalogue:
    """Read the shipped list and apply the prices of `config`.

    Raises:
        ConfigError: a price of the operator is invalid.
    """
    places = {
        name: place
        for name, provider in config.providers.items()
        if (place := processed_in(urlsplit(str(provider.base_url)).hostname or ""))
    }
    return Catalogue.load().with_overrides(config.prices).in_places(places)
