"""The names of models at Bedrock: a place before them asks for the model across the regions of that place.

`eu.anthropic.claude-opus-5` is `anthropic.claude-opus-5` anywhere in Europe. Many such names are listed with
prices of their own; the others cost what the model costs, times its factor `regional`.
"""

from farthing.models.pricing.cost import scaled
from farthing.types import Model, Price, replace

REGIONAL_FACTOR = "regional"
PLACES = ("apac", "au", "ca", "eu", "in", "jp", "us")


def bare_id(model: str) -> str:
    """The id in the name of an inference profile or of a model (`arn:aws:bedrock:…:…/ID`)."""
    return model.rpartition("/")[2] if model.startswith("arn:") else model


def without_place(model: str) -> str:
    """The model that a name with a place in front is; empty: it has none."""
    place, _, rest = model.partition(".")
    return rest if place in PLACES and "." in rest else ""


def in_place(listed: Model) -> Model | None:
    """`listed` at the price that it has across the regions of a place; None: nobody knows it."""
    if not listed.prices or REGIONAL_FACTOR not in listed.prices[-1].factors:
        return None
    found: Model = replace(listed, prices=tuple(map(_regional, listed.prices)))
    return found


def _regional(price: Price) -> Price:
    """`price` at its factor, which is taken out, so that nobody takes it twice."""
    factor = price.factors.get(REGIONAL_FACTOR)
    if factor is None:
        return price
    factors = {name: other for name, other in price.factors.items() if name != REGIONAL_FACTOR}
    found: Price = replace(scaled(price, factor), factors=factors)
    return found
