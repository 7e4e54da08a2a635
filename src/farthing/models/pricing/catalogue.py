"""What models exist, how much text they take, and what they cost.

The list is a file in the package (`data/catalogue.jsonl`, built by `tools/build_catalogue.py`); nothing
is fetched. All prices are whole pico-dollars per token; `models/cost` makes money of them.
"""

import datetime
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from importlib import resources

import msgspec

from farthing.config import PriceConfig
from farthing.models.pricing.cost import scaled
from farthing.models.pricing.own_prices import overridden, target_of
from farthing.types import Model, Operation, Price

# Snapshots: `gpt-4o-mini-2024-07-18`, `claude-sonnet-4-5-20250929`, `claude-sonnet-4-5@20250929`. Shorter
# numbers (`-0613`, `-2407`) are left alone: some are dates, some are versions.
SNAPSHOT = re.compile(r"(?P<base>.+?)(?:-20\d\d-\d\d-\d\d|[-@]20\d{6})")


class _PriceRow(msgspec.Struct, frozen=True):
    """A price as the file writes it."""

    input: int = msgspec.field(name="in")
    output: int = msgspec.field(name="out")
    since: str = "0000-00-00"
    cached: int | None = None
    write: int | None = None
    batch_in: int | None = None
    batch_out: int | None = None
    long_over: int | None = None
    long: "_PriceRow | None" = None
    write_long: int | None = None
    audio_in: int | None = None
    audio_out: int | None = None
    image_in: int | None = None
    image_out: int | None = None
    cached_audio: int | None = None
    cached_image: int | None = None
    reasoning: int | None = None
    request: int = 0
    tiers: "dict[str, _PriceRow]" = {}
    factors: dict[str, str] = {}
    fees: dict[str, int] = {}

    def price(self, since: str | None = None) -> Price:
        since = self.since if since is None else since
        return Price(
            since=since,
            input_pusd=self.input,
            output_pusd=self.output,
            cached_input_pusd=self.cached,
            cache_write_pusd=self.write,
            batch_input_pusd=self.batch_in,
            batch_output_pusd=self.batch_out,
            long_over_tokens=self.long_over,
            long=None if self.long is None else self.long.price(since),
            cache_write_long_pusd=self.write_long,
            audio_input_pusd=self.audio_in,
            audio_output_pusd=self.audio_out,
            image_input_pusd=self.image_in,
            image_output_pusd=self.image_out,
            cached_audio_pusd=self.cached_audio,
            cached_image_pusd=self.cached_image,
            reasoning_pusd=self.reasoning,
            request_pusd=self.request,
            tiers={name: row.price(since) for name, row in self.tiers.items()},
            factors={name: Fraction(factor) for name, factor in self.factors.items()},
            fees_pusd=self.fees,
        )


class _Row(msgspec.Struct, frozen=True):
    """A model as the file writes it. Prices stay undecoded: of two thousand models, few are asked for."""

    provider: str
    model: str
    operation: Operation = "chat"
    context: int | None = None
    output: int | None = None
    prices: msgspec.Raw = msgspec.Raw(b"[]")

    def entry(self) -> Model:
        return Model(
            provider=self.provider,
            model=self.model,
            context_tokens_max=self.context,
            output_tokens_max=self.output,
            prices=tuple(row.price() for row in _PRICES.decode(self.prices)),
            operation=self.operation,
        )


class _Header(msgspec.Struct, frozen=True):
    version: str


_ROWS = msgspec.json.Decoder(_Row)
_PRICES = msgspec.json.Decoder(list[_PriceRow])
_HEADER = msgspec.json.Decoder(_Header)

_Names = dict[str, _Row | Model]


class Catalogue:
    """The price list. Immutable but for memory of decoded entries; safe to share between threads.

    `version` names the file it came from, and the operator's prices if there are any; equal versions
    mean equal prices.
    """

    def __init__(
        self, version: str, providers: dict[str, _Names], places: Mapping[str, str] | None = None
    ) -> None:
        """`places`: see `in_places`."""
        self.version = version
        self._providers = providers
        self._places = places or {}

    @classmethod
    def load(cls) -> "Catalogue":
        """Read the list that came with this version of Farthing. Opens one file of the package."""
        content = resources.files("farthing").joinpath("data/catalogue.jsonl").read_bytes()
        header, _, lines = content.partition(b"\n")
        providers: dict[str, _Names] = {}
        for row in _ROWS.decode_lines(lines):
            providers.setdefault(row.provider, {})[row.model] = row
        return cls(_HEADER.decode(header).version, providers)

    def find(self, provider: str, model: str) -> Model | None:
        """The entry for `model` at `provider`, under the catalogue's own name for it; None: not listed.

        Tried in this order: the name as it is; without `models/` or the provider's own name in front;
        ignoring letter case; a fine-tuned model (`ft:BASE:organisation::id`) as `ft:BASE`; a dated
        snapshot as the model without the date. The last only when no listed snapshot of that model is
        priced differently: what is guessed wrongly is worse than unknown. Nothing is ever looked up at
        another provider, and a suffix such as `:nitro` or `:free` is part of the name.
        """
        names = self._providers.get(provider)
        if names is None:
            return None
        for name in _spellings(provider, model):
            if name in names:
                return _entry(names, name)
        lowered = {name.lower(): name for name in _spellings(provider, model)}
        alike = [name for name in names if name.lower() in lowered]
        if alike:
            return _entry(names, alike[0]) if len(alike) == 1 else None
        return next(filter(None, (_snapshot(names, name) for name in lowered)), None)

    def price(self, provider: str, model: str, on: str | None = None) -> Price | None:
        """The price that held on the ISO date `on` (today, UTC, by default); None: unknown, never free."""
        entry = self.find(provider, model)
        price = None if entry is None else price_on(entry, on)
        factor = None if price is None else price.factors.get(self._places.get(provider, ""))
        return price if price is None or factor is None else scaled(price, factor)

    def models(self, provider: str) -> Iterator[Model]:
        """Every listed model of `provider` in order of name; nothing when the provider is not listed."""
        names = self._providers.get(provider, {})
        for name in sorted(names):
            yield _entry(names, name)

    def names(self, provider: str) -> list[str]:
        """The names of every listed model of `provider`, in no order."""
        return list(self._providers.get(provider, ()))

    def with_overrides(self, prices: Sequence[PriceConfig]) -> "Catalogue":
        """A catalogue in which the operator's prices win from their dates on.

        What the list says for days before the first of them still holds; its prices for later days are
        dropped, since the operator has taken over. Context and output sizes win where they are given.

        Raises:
            ConfigError: a target is not `provider/model`, a price is negative or a date is not one.
        """
        if not prices:
            return self
        providers = {provider: dict(names) for provider, names in self._providers.items()}
        own: dict[tuple[str, str], list[PriceConfig]] = {}
        for item in prices:
            own.setdefault(target_of(item), []).append(item)
        for (provider, model), items in own.items():
            listed = self.find(provider, model) or Model(provider=provider, model=model)
            providers.setdefault(provider, {})[model] = overridden(listed, model, items)
        digest = hashlib.sha256(repr(sorted(map(repr, prices))).encode()).hexdigest()[:8]
        return Catalogue(f"{self.version} own-{digest}", providers, self._places)

    def in_places(self, places: Mapping[str, str]) -> "Catalogue":
        """A catalogue for providers that work in one place: all their prices of tokens are multiplied by the
        factor of that name, where a price has it."""
        if not places:
            return self
        named = " ".join(f"{provider}-{place}" for provider, place in sorted(places.items()))
        return Catalogue(f"{self.version} {named}", self._providers, places)


def today() -> str:
    """The ISO date in UTC, by which prices begin and end."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def price_on(model: Model, on: str | None = None) -> Price | None:
    """The price of `model` that held on the ISO date `on` (today, UTC, by default), or None."""
    day = on or today()
    held = None
    for price in model.prices:
        if price.since > day:
            break
        held = price
    return held


# -- names ------------------------------------------------------------------------------------------


def _entry(names: _Names, name: str) -> Model:
    found = names[name]
    if isinstance(found, _Row):
        found = names[name] = (
            found.entry()
        )  # replacing a value is atomic, and both threads would write the same
    return found


def _spellings(provider: str, model: str) -> list[str]:
    """Other ways to write the name of the very same model."""
    bare = model.removeprefix("models/").removeprefix(f"{provider}/")
    found = [model] if bare == model else [model, bare]
    if bare.startswith("ft:") and bare.count(":") > 1:
        found.append(":".join(bare.split(":", 2)[:2]))
    return found


def _snapshot(names: _Names, lowered: str) -> Model | None:
    dated = SNAPSHOT.fullmatch(lowered)
    if dated is None:
        return None
    base = dated["base"]
    listed = [name for name in names if name.lower() == base]
    if len(listed) != 1:
        return None
    entry = _entry(names, listed[0])
    for name in names:
        other = SNAPSHOT.fullmatch(name.lower())
        if other is not None and other["base"] == base and _entry(names, name).prices != entry.prices:
            return None
    return entry
