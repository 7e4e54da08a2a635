"""What models exist, how much text they take, and what they cost. Turns usage into money.

The list is a file in the package (`data/catalogue.jsonl`, built by `tools/build_catalogue.py`); nothing
is fetched. All prices are whole pico-dollars per token, so that money is only ever rounded once per
request: at the end of `cost_nusd`.
"""

import datetime
import hashlib
import re
from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal
from importlib import resources

import msgspec

from farthing.config import PriceConfig
from farthing.errors import ConfigError
from farthing.types import Model, Operation, Price, Usage

PUSD_PER_NUSD = 1_000
_HALF_NUSD_PUSD = PUSD_PER_NUSD // 2
PUSD_PER_USD_PER_MILLION = 1_000_000

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

    def __init__(self, version: str, providers: dict[str, _Names]) -> None:
        self.version = version
        self._providers = providers

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
        return None if entry is None else price_on(entry, on)

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
            own.setdefault(_target(item), []).append(item)
        for (provider, model), items in own.items():
            listed = self.find(provider, model) or Model(provider=provider, model=model)
            providers.setdefault(provider, {})[model] = _overridden(listed, model, items)
        digest = hashlib.sha256(repr(sorted(map(repr, prices))).encode()).hexdigest()[:8]
        return Catalogue(f"{self.version} own-{digest}", providers)


def price_on(model: Model, on: str | None = None) -> Price | None:
    """The price of `model` that held on the ISO date `on` (today, UTC, by default), or None."""
    day = on or datetime.datetime.now(datetime.UTC).date().isoformat()
    held = None
    for price in model.prices:
        if price.since > day:
            break
        held = price
    return held


# -- money ------------------------------------------------------------------------------------------


def cost_nusd(price: Price | None, usage: Usage | None) -> int | None:
    """What a call with `usage` costs, rounded half up to the nano-dollar; None when either is None.

    Cached tokens are charged at the cached price, or in full when that is unknown. Reasoning tokens are
    output tokens already. A count below zero, or more cached than there was input, is a provider's
    mistake and never lowers the cost.
    """
    if price is None or usage is None:
        return None
    tokens = usage.input_tokens
    if tokens < 0:
        tokens = 0
    while price.long is not None and price.long_over_tokens is not None and tokens > price.long_over_tokens:
        price = price.long
    cost_pusd = tokens * price.input_pusd + _HALF_NUSD_PUSD
    cached_tokens = usage.cached_tokens
    if cached_tokens > 0 and price.cached_input_pusd is not None:
        cost_pusd -= min(cached_tokens, tokens) * (price.input_pusd - price.cached_input_pusd)
    output_tokens = usage.output_tokens
    if output_tokens > 0:
        cost_pusd += output_tokens * price.output_pusd
    return cost_pusd // PUSD_PER_NUSD


def in_batch(price: Price | None) -> Price | None:
    """`price` as a batch is charged: at the batch price where one is known, else as ever.

    What is read from a cache in a batch is charged in full: no list says that it is cheaper.
    """
    if price is None or (price.batch_input_pusd is None and price.batch_output_pusd is None):
        return price
    return msgspec.structs.replace(
        price,
        input_pusd=price.input_pusd if price.batch_input_pusd is None else price.batch_input_pusd,
        output_pusd=price.output_pusd if price.batch_output_pusd is None else price.batch_output_pusd,
        cached_input_pusd=None,
        cache_write_pusd=None,
        long=in_batch(price.long),
    )


def worst_case_nusd(
    price: Price | None, input_tokens_bound: int, output_tokens_max: int | None
) -> int | None:
    """The most that a call within these bounds can cost, rounded up; None when unpriced or unbounded.

    Nothing is assumed to be cached, and every input token may be written to the provider's cache where
    that costs extra.
    """
    if price is None or output_tokens_max is None:
        return None
    worst = 0
    while True:
        input_pusd = max(price.input_pusd, price.cache_write_pusd or 0, price.cached_input_pusd or 0)
        worst = max(worst, input_tokens_bound * input_pusd + output_tokens_max * price.output_pusd)
        if (
            price.long is None
            or price.long_over_tokens is None
            or input_tokens_bound <= price.long_over_tokens
        ):
            return -(-worst // PUSD_PER_NUSD)
        price = price.long


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


# -- the operator's prices --------------------------------------------------------------------------


def _target(item: PriceConfig) -> tuple[str, str]:
    provider, _, model = item.target.partition("/")
    if not provider or not model:
        raise ConfigError(f'prices: target "{item.target}" is not written "provider/model"')
    return provider, model


def _overridden(listed: Model, name: str, items: Sequence[PriceConfig]) -> Model:
    own = sorted((_own_price(item) for item in items), key=lambda price: price.since)
    before = tuple(price for price in listed.prices if price.since < own[0].since)
    context, output = listed.context_tokens_max, listed.output_tokens_max
    for item in items:
        context = item.context_tokens_max or context
        output = item.output_tokens_max or output
    return Model(
        provider=listed.provider,
        model=name,
        context_tokens_max=context,
        output_tokens_max=output,
        prices=(*before, *own),
        operation=listed.operation,
    )


def _own_price(item: PriceConfig) -> Price:
    if item.since != "0000-00-00":
        try:
            since = datetime.date.fromisoformat(item.since).isoformat()
        except ValueError:
            raise ConfigError(f'prices: since = "{item.since}" of {item.target} is not a date') from None
    else:
        since = item.since
    return Price(
        since=since,
        input_pusd=_pusd(item, "input", item.input),
        output_pusd=_pusd(item, "output", item.output),
        cached_input_pusd=None
        if item.cached_input is None
        else _pusd(item, "cached_input", item.cached_input),
        batch_input_pusd=None if item.batch_input is None else _pusd(item, "batch_input", item.batch_input),
        batch_output_pusd=None
        if item.batch_output is None
        else _pusd(item, "batch_output", item.batch_output),
    )


def _pusd(item: PriceConfig, key: str, usd_per_million: Decimal) -> int:
    if not usd_per_million.is_finite() or usd_per_million < 0:
        raise ConfigError(f"prices: {key} = {usd_per_million} of {item.target} must be 0 or more")
    return int((usd_per_million * PUSD_PER_USD_PER_MILLION).to_integral_value(ROUND_HALF_UP))
