"""The prices that hold for a configuration: the list that was shipped, the operator's own, and the places in
which its providers work, where that is dearer."""

from urllib.parse import urlsplit

from farthing.config import Config
from farthing.models.discovery.presets import processed_in
from farthing.models.pricing.catalogue import Catalogue


def price_list(config: Config) -> Catalogue:
    """Read the list and apply what `config` says.

    Raises:
        ConfigError: a price of the operator cannot be right.
    """
    places = {
        name: place
        for name, provider in config.providers.items()
        if (place := processed_in(urlsplit(str(provider.base_url)).hostname or ""))
    }
    return Catalogue.load().with_overrides(config.prices).in_places(places)
