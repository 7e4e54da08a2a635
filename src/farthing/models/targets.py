"""Every target by its name `provider/model`, with what the catalogue knows of it."""

from farthing.config import Config
from farthing.models.catalogue import Catalogue
from farthing.types import Target

OPEN_TARGETS_MAX = 1_000  # model names clients made up that are remembered


class Targets:
    """Every target by its name `provider/model`, with its price of today."""

    def __init__(self, config: Config, catalogue: Catalogue) -> None:
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
        self._others: dict[str, Target] = {}

    def _is_target(self, name: str) -> bool:
        return name.partition("/")[0] in self._providers and "/" in name

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
        )

    def get(self, name: str) -> Target | None:
        """A target by name, configured or not (a baseline need not be); None when it cannot be one."""
        found = self.configured.get(name) or self._others.get(name)
        if found is None and "/" in name:
            found = self._target(name)
            if len(self._others) < OPEN_TARGETS_MAX:
                self._others[name] = found
        return found

    def first_of(self, tier: str) -> str:
        targets = self.tiers.get(tier)
        return targets[0].name if targets else ""

    def open(self, model: str) -> Target | None:
        """The target for a model name that nothing is configured for: `provider/model` of a configured
        provider, or any name when there is one provider only."""
        if self._is_target(model):
            return self.get(model)
        if len(self._providers) == 1 and model.isprintable() and len(model) <= 200:
            return self.get(f"{next(iter(self._providers))}/{model}")
        return None
