"""Short price lists for tests that choose models."""

from farthing.types import Model, Price


class Listed:
    """A price list of a few models: name -> dollars per million tokens in and out."""

    def __init__(
        self, provider: str, prices: dict[str, tuple[float, float]], context: int | None = None
    ) -> None:
        self.provider = provider
        self.entries = [
            Model(
                provider=provider,
                model=name,
                context_tokens_max=context,
                prices=(Price(since="0000-00-00", input_pusd=int(low * 1e6), output_pusd=int(high * 1e6)),),
            )
            for name, (low, high) in prices.items()
        ]

    def models(self, provider: str) -> list[Model]:
        return self.entries if provider == self.provider else []

    def find(self, provider: str, model: str) -> Model | None:
        return next((one for one in self.models(provider) if one.model == model), None)


OPENAI = {
    "gpt-5.2": (1.75, 14.0),
    "gpt-5": (1.25, 10.0),
    "gpt-5.2-pro": (21.0, 168.0),
    "gpt-5-mini": (0.25, 2.0),
    "gpt-5-nano": (0.05, 0.4),
    "gpt-4o-mini": (0.15, 0.6),
    "gpt-5.2-codex": (0.01, 0.01),
    "gpt-5.2-2025-12-11": (1.75, 14.0),
    "text-embedding-3-small": (0.02, 0.0),
}
