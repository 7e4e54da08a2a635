"""What models exist, how much text they take, what they can, and what they cost.

The list is a file in the package (`data/catalogue.jsonl`, built by `tools/build_catalogue.py`), or a newer
one that `farthing models refresh` fetched; nothing is fetched unasked. All prices are whole pico-dollars per
token; `models/cost` makes money of them.
"""

import datetime
import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources

import msgspec

from farthing.config import PriceConfig
from farthing.models.pricing.bedrock import bare_id, in_place, without_place
from farthing.models.pricing.cost import scaled
from farthing.models.pricing.own_prices import overridden, target_of
from farthing.models.pricing.rows import File, Row, row_of
from farthing.types import Model, Price

log = logging.getLogger("farthing.catalogue")

# Snapshots: `gpt-4o-mini-2024-07-18`, `claude-sonnet-4-5-20250929`, `claude-sonnet-4-5@20250929`. Shorter
# numbers (`-0613`, `-2407`) are left alone: some are dates, some are versions.
SNAPSHOT = re.compile(r"(?P<base>.+?)(?:-20\d\d-\d\d-\d\d|[-@]20\d{6})")
VERTEX_PUBLISHERS = ("publishers/", "anthropic/", "google/", "models/")
"""What may stand before the name of a model at Vertex."""


class _Names:
    """The models of one provider by name, and by what their names come to for who writes them otherwise."""

    __slots__ = ("_found", "_other", "_provider")

    def __init__(self, provider: str, rows: Mapping[str, bytes | Model]) -> None:
        self._provider = provider
        self._found = dict(rows)
        self._other: tuple[dict[str, list[str]], dict[str, list[str]]] | None = None

    def _otherwise(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """The names by their lower case, and the dated ones by that without the date; made when a name is
        first not found as it is."""
        other = self._other
        if other is None:
            folded, snapshots = dict[str, list[str]](), dict[str, list[str]]()
            for name in self._found:
                lowered = name.lower()
                folded.setdefault(lowered, []).append(name)
                dated = SNAPSHOT.fullmatch(lowered) if "20" in lowered else None
                if dated is not None:
                    snapshots.setdefault(dated["base"], []).append(name)
            other = self._other = folded, snapshots
        return other

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def entry(self, name: str) -> Model:
        found = self._found[name]
        if isinstance(found, bytes):
            # Replacing a value is atomic, and both threads would write the same.
            found = self._found[name] = self._read(name, found)
        return found

    def _read(self, name: str, line: bytes) -> Model:
        """A line that cannot be read says nothing of its model."""
        try:
            return row_of(line).entry()
        except (msgspec.DecodeError, ValueError) as why:
            log.error("the price list: what it has of %s/%s cannot be read: %s", self._provider, name, why)
            return Model(provider=self._provider, model=name)

    def folded(self, lowered: str) -> list[str]:
        """The names that differ from it in letter case alone."""
        return self._otherwise()[0].get(lowered, [])

    def snapshot(self, lowered: str) -> Model | None:
        """The entry for a dated name that is not listed: the model without a date, if no listed snapshot of
        it is priced differently."""
        dated = SNAPSHOT.fullmatch(lowered)
        if dated is None:
            return None
        listed = self.folded(dated["base"])
        if len(listed) != 1:
            return None
        entry = self.entry(listed[0])
        others = self._otherwise()[1].get(dated["base"], ())
        return entry if all(self.entry(name).prices == entry.prices for name in others) else None

    def plus(self, entries: Mapping[str, Model]) -> "_Names":
        return _Names(self._provider, {**self._found, **entries})


class Catalogue:
    """The price list. Immutable but for memory of decoded entries; safe to share between threads.

    `version` names the file it came from, and the operator's prices if there are any; equal versions
    mean equal prices.
    """

    def __init__(
        self,
        version: str,
        providers: Mapping[str, Callable[[], _Names]],
        places: Mapping[str, str] | None = None,
        *,
        file: File | None = None,
        listed: Mapping[str, str] | None = None,
    ) -> None:
        """`providers` reads the models of each, and is called once; `places`: see `in_places`; `listed`: see
        `named`."""
        self.version = version
        self._unread = providers
        self._providers: dict[str, _Names] = {}
        self._places = places or {}
        self._file = file
        self._listed = listed or {}

    @classmethod
    def load(cls) -> "Catalogue":
        """Read the list that came with this version of Farthing. Opens one file of the package."""
        return cls.of(File(resources.files("farthing").joinpath("data/catalogue.jsonl").read_bytes()))

    @classmethod
    def of(cls, file: File) -> "Catalogue":
        def reading(provider: str) -> Callable[[], _Names]:
            return lambda: _Names(provider, _lines(file, provider))

        return cls(
            file.header.version, {provider: reading(provider) for provider in file.providers()}, file=file
        )

    def rows(self, provider: str) -> list[Row]:
        """What the file says of a provider, without the operator's own prices."""
        return [] if self._file is None else [row_of(line) for line in _lines(self._file, provider).values()]

    def _names(self, provider: str) -> _Names | None:
        names = self._providers.get(provider)
        if names is None:
            read = self._unread.get(provider)
            if read is None:
                return None
            names = self._providers[provider] = read()
        return names

    def find(self, provider: str, model: str) -> Model | None:
        """The entry for `model` at `provider`, under the catalogue's own name for it; None: not listed.

        Tried in this order: the name as it is; without `models/` or the provider's own name in front;
        ignoring letter case; a fine-tuned model (`ft:BASE:organisation::id`) as `ft:BASE`; a dated
        snapshot as the model without the date; a model of Bedrock with a place in front as that model, at
        its regional price. The last two only when that price is known: what is guessed wrongly is worse than
        unknown. Nothing is ever looked up at another provider, and a suffix such as `:nitro` or `:free` is
        part of the name.
        """
        names = self._names(provider)
        if names is None:
            return None
        if model in names:
            return names.entry(model)
        listed = self.listed_as(provider)
        spellings = _spellings(listed, model)
        for name in spellings:
            if name in names:
                return names.entry(name)
        lowered = dict.fromkeys(name.lower() for name in spellings)
        alike = [name for one in lowered for name in names.folded(one)]
        if alike:
            return names.entry(alike[0]) if len(alike) == 1 else None
        found = next(filter(None, map(names.snapshot, lowered)), None)
        if found is None and listed == "bedrock":
            base = without_place(spellings[-1])
            found = in_place(names.entry(base)) if base in names else None
        return found

    def price(self, provider: str, model: str, on: str | None = None) -> Price | None:
        """The price that held on the ISO date `on` (today, UTC, by default); None: unknown, never free."""
        entry = self.find(provider, model)
        price = None if entry is None else price_on(entry, on)
        factor = None if price is None else price.factors.get(self._places.get(provider, ""))
        return price if price is None or factor is None else scaled(price, factor)

    def models(self, provider: str) -> Iterator[Model]:
        """Every listed model of `provider` in order of name; nothing when the provider is not listed."""
        names = self._names(provider) or ()
        for name in sorted(names):
            yield self._providers[provider].entry(name)

    def names(self, provider: str) -> list[str]:
        """The names of every listed model of `provider`, in no order."""
        return list(self._names(provider) or ())

    def providers(self) -> list[str]:
        """The names of all providers that are listed, each once."""
        return sorted(name for name in self._unread if name not in self._listed)

    def with_overrides(self, prices: Sequence[PriceConfig]) -> "Catalogue":
        """A catalogue in which the operator's prices win from their dates on.

        What the list says for days before the first of them still holds; its prices for later days are
        dropped, since the operator has taken over. Context and output sizes win where they are given.

        Raises:
            ConfigError: a target is not `provider/model`, a price is negative or a date is not one.
        """
        if not prices:
            return self
        given: dict[tuple[str, str], list[PriceConfig]] = {}
        for item in prices:
            given.setdefault(target_of(item), []).append(item)
        own: dict[str, dict[str, Model]] = {}
        for (provider, model), items in given.items():
            listed = self.find(provider, model) or Model(provider=provider, model=model)
            own.setdefault(provider, {})[model] = overridden(listed, model, items)

        def reading(provider: str) -> Callable[[], _Names]:
            return lambda: (self._names(provider) or _Names(provider, {})).plus(own[provider])

        digest = hashlib.sha256(repr(sorted(map(repr, prices))).encode()).hexdigest()[:8]
        providers = {**self._unread, **{provider: reading(provider) for provider in own}}
        return Catalogue(f"{self.version} own-{digest}", providers, self._places, listed=self._listed)

    def in_places(self, places: Mapping[str, str]) -> "Catalogue":
        """A catalogue for providers that work in one place: all their prices of tokens are multiplied by the
        factor of that name, where a price has it."""
        if not places:
            return self
        named = " ".join(f"{provider}-{place}" for provider, place in sorted(places.items()))
        return Catalogue(f"{self.version} {named}", self._unread, places, listed=self._listed)

    def named(self, listed: Mapping[str, str]) -> "Catalogue":
        """A catalogue in which a provider of one name has the models of the list under another."""
        changed = {name: other for name, other in listed.items() if name != other and other in self._unread}
        if not changed:
            return self

        def reading(name: str, other: str) -> Callable[[], _Names]:
            return lambda: self._names(other) or _Names(name, {})

        told = " ".join(f"{name}={other}" for name, other in sorted(changed.items()))
        providers = {**self._unread, **{name: reading(name, other) for name, other in changed.items()}}
        return Catalogue(f"{self.version} {told}", providers, self._places, listed=changed)

    def listed_as(self, provider: str) -> str:
        """The name under which the list has the models of a provider."""
        return self._listed.get(provider, provider)


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


def _lines(file: File, provider: str) -> dict[str, bytes]:
    """The models of a provider. A file that cannot be read has none: what is not listed is unknown."""
    try:
        return file.lines(provider)
    except msgspec.DecodeError as why:
        log.error(
            "the price list %s: what it has of %s cannot be read: %s", file.header.version, provider, why
        )
        return {}


def _spellings(provider: str, model: str) -> list[str]:
    """Other ways to write the name of the very same model."""
    bare = model.removeprefix("models/").removeprefix(f"{provider}/")
    if provider == "vertex":
        bare = _of_vertex(bare)
    elif provider == "bedrock":
        bare = bare_id(bare)
    found = [model] if bare == model else [model, bare]
    if provider == "fireworks" and "/" not in bare:
        found.append(f"accounts/fireworks/models/{bare}")
    if bare.startswith("ft:") and bare.count(":") > 1:
        found.append(":".join(bare.split(":", 2)[:2]))
    return found


def _of_vertex(model: str) -> str:
    for prefix in VERTEX_PUBLISHERS * 2:
        model = model.removeprefix(prefix)
    return model
