"""Finds targets by their name `provider/model`, with their prices from the catalogue."""

import difflib
from functools import cached_property
from itertools import pairwise

from farthing.config import AUTO, Config, fault_of_name
from farthing.models.discovery.listing import Listing, can_be_asked
from farthing.models.pricing import catalogue as price_list
from farthing.models.pricing.catalogue import Catalogue
from farthing.text.asked import ASKED
from farthing.types import NOTHING_SAID, Target

OPEN_TARGETS_MAX = 1_000  # model names clients made up that are remembered
OFFERED_MAX = 1_000  # models of all providers together that `GET /v1/models` lists unasked
SUGGESTIONS_MAX = 3
_SUGGESTIONS_KEPT_MAX = 1_000
_COMPARED_MAX = 40  # names that are compared letter by letter: some 20 us each
_KNOWN_NAMES_MAX = 5_000
_NAME_CHARS_COMPARED = 100
_SLIP_CHARS_MIN = 4  # of a name of ours, for another to be taken for it


class Targets:
    """The targets of one configuration by name, with the prices of the day on which it was built."""

    def __init__(self, config: Config, catalogue: Catalogue) -> None:
        self._day = price_list.today()
        self._catalogue = catalogue
        self._providers = config.providers
        self.tiers = {
            name: tuple(self._target(target) for target in tier.targets)
            for name, tier in config.tiers.items()
        }
        self.configured = {target.name: target for targets in self.tiers.values() for target in targets}
        named = [meaning for meaning in config.aliases.values() if self._is_target(meaning)]
        for name in (*named, *(price.target for price in config.prices if self._is_target(price.target))):
            self.configured.setdefault(name, self._target(name))
        self._listings = [Listing(n, p.models, catalogue) for n, p in config.providers.items()]
        self._open_providers = frozenset(config.passing())
        self._folded_providers = {name.casefold(): name for name in config.providers}
        self._ours = frozenset(name.casefold() for name in (AUTO, *config.tiers))
        lists = [key.models or () for key in config.keys]
        lists += [endpoint.models or () for endpoint in config.endpoints.values()]
        self._allowed = frozenset(name for names in lists for name in names)
        self._others: dict[str, Target] = {}
        self._opened: dict[str, Target | None] = {}
        self._suggested: dict[str, tuple[str, ...]] = {}

    def _is_target(self, name: str) -> bool:
        provider, _, model = name.partition("/")
        return bool(model) and provider in self._providers

    def _target(self, name: str) -> Target:
        provider, _, model = name.partition("/")
        known = self._catalogue.find(provider, model)
        return Target(
            name=name,
            provider=provider,
            model=model,
            price=self._catalogue.price(provider, model),
            context_tokens_max=None if known is None else known.context_tokens_max,
            output_tokens_max=None if known is None else known.output_tokens_max,
            features=NOTHING_SAID if known is None else known.features,
            lacks=frozenset() if known is None else known.features.cannot & ASKED,
        )

    def get(self, name: str) -> Target | None:
        """The target called `name`, configured or not (a baseline need not be); None: no target can have that
        name."""
        found = self.configured.get(name) or self._others.get(name)
        if found is None and "/" in name:
            found = self._target(name)
            if len(self._others) < OPEN_TARGETS_MAX:
                self._others[name] = found
        return found

    def prices_ended(self) -> bool:
        """Whether a day has begun on which a target that is known here has another price. Once a day."""
        day = price_list.today()
        if day == self._day:
            return False
        self._day = day
        opened = [target for target in self._opened.values() if target is not None]
        return any(
            self._catalogue.price(target.provider, target.model, day) != target.price
            for target in (*self.configured.values(), *self._others.values(), *opened)
        )

    def first_of(self, tier: str) -> str:
        targets = self.tiers.get(tier)
        return targets[0].name if targets else ""

    def open(self, model: str) -> Target | None:
        """The target for a model name that is not configured: `provider/model` of a configured provider; else
        any name, if there is only one provider; else a model that exactly one provider lists."""
        try:
            return self._opened[model]
        except KeyError:
            found = self._opened[model] = self._open(model)
        if len(self._opened) > OPEN_TARGETS_MAX:
            del self._opened[next(iter(self._opened))]
        return found

    def _open(self, model: str) -> Target | None:
        if fault_of_name(model):
            return None
        if self._is_target(model):
            return self.get(model)
        if len(self._providers) == 1:
            if self._mistyped(model):
                return None
            return self.get(f"{next(iter(self._providers))}/{model}")
        homes = self._homes(model)
        provider, _, rest = model.partition("/")
        meant = self._folded_providers.get(provider.casefold())
        if meant is not None and rest and not any(home.endswith(f"/{model}") for home in homes):
            return self.get(f"{meant}/{rest}")
        return self.get(homes[0]) if len(homes) == 1 else None

    def _mistyped(self, model: str) -> bool:
        """Whether a name that would go to the one provider is more likely a tier's or `auto`, one slip away.
        Never one that the provider, the price list or a list of what may be asked for has; whoever means a
        model of that name can write the provider before it."""
        if "/" in model or model in self._allowed or self._homes(model):
            return False
        asked = model.casefold()
        return any(one_slip(asked, ours) for ours in self._ours)

    def _homes(self, model: str) -> list[str]:
        """The targets at every provider that lists `model`. If none does: at those for which the price list
        has it, since not every provider lists the short names it accepts."""
        for look in (Listing.find, Listing.priced):
            found = ((listing, look(listing, model)) for listing in self._listings)
            homes = [(one, f"{one.provider}/{name}") for one, name in found if name is not None]
            if homes:
                firsts = [name for one, name in homes if one.models or one.is_called_as_listed]
                return firsts or [name for _, name in homes]
        return []

    def suggestions(self, model: str) -> tuple[str, ...]:
        """Full names of targets that `model` may mean, if `open` finds none: at all providers that list it,
        else the nearest spellings. Takes about a millisecond, the first time two."""
        model = model[:_NAME_CHARS_COMPARED]
        found = self._suggested.get(model)
        if found is None:
            found = tuple(self._homes(model)[:SUGGESTIONS_MAX]) or self._nearest(model)
            if len(self._suggested) < _SUGGESTIONS_KEPT_MAX:
                self._suggested[model] = found
        return found

    def _nearest(self, model: str) -> tuple[str, ...]:
        """The names nearest in spelling. They are compared by pairs of letters first, which is quick, and
        only the best of them letter by letter."""
        asked = model.casefold()
        pairs = _pairs(asked)
        shared = ((len(pairs & of) / (len(pairs | of) or 1), name) for name, of in self._known)
        best = sorted((one for one in shared if one[0] > 0.25), reverse=True)[:_COMPARED_MAX]
        by_model: dict[str, str] = {}
        for _, name in best:
            by_model.setdefault(name.partition("/")[2].casefold(), name)
        for _, name in best:
            by_model.setdefault(name.casefold(), name)  # for who wrote a provider in front of it
        near = difflib.get_close_matches(asked, by_model, SUGGESTIONS_MAX, 0.6)
        return tuple(dict.fromkeys(by_model[one] for one in near))

    @cached_property
    def _known(self) -> list[tuple[str, frozenset[str]]]:
        """All names that can be suggested, with the pairs of letters of their models."""
        listed = [f"{one.provider}/{name}" for one in self._listings for name in one.names()]
        names = list(dict.fromkeys([*self.configured, *listed]))[:_KNOWN_NAMES_MAX]
        return [(name, _pairs(name.partition("/")[2].casefold())) for name in names]

    def lists(self, target: Target) -> bool:
        """Whether the target's provider is known to have its model."""
        known = (one for one in self._listings if one.provider == target.provider)
        return any(one.find(target.model) or one.priced(target.model) for one in known)

    def passes(self, target: Target) -> bool:
        """Whether clients may ask for the target even if nothing but its name is known."""
        listing = next((one for one in self._listings if one.provider == target.provider), None)
        if listing is not None and listing.models and listing.find(target.model) is not None:
            return True
        return target.provider in self._open_providers or target.name in self.configured

    def beyond(self, model: str) -> tuple[str, bool]:
        """The target that a name which nothing is configured for leads to, empty without one, and whether
        clients may ask for it; where there is no target, whether there may be any such name."""
        target = self.open(model)
        return ("", bool(self._open_providers)) if target is None else (target.name, self.passes(target))

    def offered(self) -> list[Target]:
        """What providers offer beyond what is configured, in their order. Only what they or the operator
        listed, since the price list also has models that no longer exist."""
        names = [
            f"{one.provider}/{name}" for one in self._listings for name in one.models if can_be_asked(name)
        ]
        return [self._target(name) for name in dict.fromkeys(names) if name not in self.configured][
            :OFFERED_MAX
        ]


def _pairs(text: str) -> frozenset[str]:
    return frozenset(map("".join, pairwise(text)))


def one_slip(written: str, meant: str) -> bool:
    """Whether `written` differs from `meant` by one letter missing, added or replaced, or by two letters
    swapped. Names of fewer than `_SLIP_CHARS_MIN` letters are too much alike to count, and a different
    digit is another version."""
    if written == meant:
        return True
    if len(meant) < _SLIP_CHARS_MIN or abs(len(written) - len(meant)) > 1:
        return False
    begin = 0
    while begin < min(len(written), len(meant)) and written[begin] == meant[begin]:
        begin += 1
    rest, other = written[begin:], meant[begin:]
    if rest[:2] == other[1::-1] and rest[2:] == other[2:] and len(other) > 1:
        return True
    slips = (
        (rest[1:], other[1:], rest[:1] + other[:1]),
        (rest, other[1:], other[:1]),
        (rest[1:], other, rest[:1]),
    )
    return any(left == right and letters.isalpha() for left, right, letters in slips)
