"""The composition root's part for the learned router: its model, its embedder, what it may know of targets.

Nothing of it is opened, and numpy is not imported, before the configuration asks for it.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from farthing.brain.route.rules import RulesRouter
from farthing.config import Config
from farthing.errors import ConfigError
from farthing.models.embed.session import require
from farthing.models.health import Health
from farthing.protocols import Embedder

if TYPE_CHECKING:
    from farthing.brain.route.learned.router import LearnedRouter
    from farthing.models.embed.onnx import OnnxEmbedder
    from farthing.protocols import Vectors

log = logging.getLogger("farthing.routing")

EMBED_AT_ONCE = 256


class RoutingParts:
    """What the learned routers of all configurations share: one embedder, opened when one wants it."""

    def __init__(self) -> None:
        self._embedder: OnnxEmbedder | None = None
        self._warming: asyncio.Task[None] | None = None

    def embedder(self, name: str) -> Embedder:
        """The shipped embedder; loads beside the event loop, if there is one, else on first use.

        Raises:
            ConfigError: a package is missing, or it is not the one called `name`.
        """
        from farthing.models.embed.onnx import OnnxEmbedder

        if name != OnnxEmbedder.name:
            raise ConfigError(
                f"route.model reads vectors of {name}; there is {OnnxEmbedder.name}: fit it again"
            )
        if self._embedder is None:
            self._embedder = OnnxEmbedder()
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return self._embedder  # built before the loop runs: `start` loads it
            self._warming = loop.create_task(self._warm())
        return self._embedder

    async def start(self) -> None:
        """Load what is open, before the first request. Twice is safe."""
        if self._embedder is not None:
            await self._warm()

    async def _warm(self) -> None:
        assert self._embedder is not None
        try:
            await self._embedder.warm()
        except ConfigError as error:
            log.error("the learned router is without its embedder, the default tier answers: %s", error)

    async def aclose(self) -> None:
        """Safe to call twice."""
        if self._warming is not None:
            self._warming.cancel()
        if self._embedder is not None:
            await self._embedder.aclose()


def build_learned(
    config: Config, rules: RulesRouter, parts: RoutingParts, health: Mapping[str, Health]
) -> "LearnedRouter":
    """The learned router over `rules`.

    Raises:
        ConfigError: a package of the extra `semantic` is missing, the model cannot be used, or it does not
            know the tiers.
    """
    if config.route.model is None:
        raise ConfigError('route.kind = "learned" needs route.model, the file of a fitted model')
    require(("numpy",))
    from farthing.brain.route.learned.model import load
    from farthing.brain.route.learned.router import Aims, Knowledge, LearnedRouter

    model = load(config.route.model)
    log.info(
        "learned router: %d examples of %s, data %s", model.about.examples, model.about.made, model.about.data
    )

    def rests_s(target: str) -> float:
        known = health.get(target)
        return 0.0 if known is None else known.rests_s()

    return LearnedRouter(
        rules,
        model,
        parts.embedder(model.about.embedder) if model.space.embeds else None,
        draw=random.random,
        clock=time.monotonic,
        aims=Aims(
            threshold=config.route.threshold,
            endpoint_thresholds={
                name: endpoint.route_threshold
                for name, endpoint in config.endpoints.items()
                if endpoint.route_threshold is not None
            },
            explore_share=config.route.explore_share,
            prefer=config.route.prefer,
        ),
        knowledge=Knowledge(rests_s=rests_s),
    )


class Trained(Struct, frozen=True, kw_only=True):
    """What fitting a router came to."""

    examples: int
    models: tuple[str, ...]
    quality: tuple[float, ...]
    """Mean quality of each model's answers, in the order of `models`."""
    calibration_error: tuple[float, ...]
    """Mean gap between what was predicted of held-out examples and what came, in the same order."""
    scores: tuple[float, ...]
    """Of each example, held out: the router's score of the first model."""
    outcomes: tuple[tuple[float, ...], ...]


def train(
    path: Path, models: Sequence[str], out: Path, *, embed: bool, say: Callable[[str], None]
) -> Trained:
    """Fit a model to the examples in `path` and write it to `out`. `models` are tiers or targets, the cheap
    one first.

    Raises:
        BadExamples: the file cannot be used. ConfigError: a package of the extra `semantic` is missing.
        ValueError: there are too few examples, or they nearly all repeat each other.
    """
    require(("numpy",))
    from farthing.brain.route.learned.examples import read_examples
    from farthing.brain.route.learned.features import excerpt, read_all
    from farthing.brain.route.learned.fit import Examples, digest_of, fit
    from farthing.models.embed.onnx import OnnxEmbedder

    scored = read_examples(path, models)
    vectors = asyncio.run(_embedded([excerpt(text) for text in scored.texts], say)) if embed else None
    say(f"fitting {len(scored.texts)} examples")
    fitted = fit(
        Examples(
            readings=read_all(scored.texts),
            vectors=vectors,
            outcomes=scored.outcomes,
            models=tuple(models),
            digest=digest_of(scored.texts, scored.outcomes),
            embedder=OnnxEmbedder.name if embed else "",
        )
    )
    fitted.model.save(out)
    order = [fitted.model.models.index(name) for name in models]
    held = fitted.held_out[:, order]
    return Trained(
        examples=len(scored.texts),
        models=tuple(models),
        quality=tuple(float(value) for value in scored.outcomes.mean(axis=0)),
        calibration_error=tuple(float(fitted.model.calibration_error[place]) for place in order),
        scores=tuple(float(value) for value in 1.0 - (held.max(axis=1) - held[:, 0])),
        outcomes=tuple(tuple(float(value) for value in row) for row in scored.outcomes),
    )


async def _embedded(texts: Sequence[str], say: Callable[[str], None]) -> "Vectors":
    import numpy as np

    from farthing.models.embed.onnx import OnnxEmbedder

    embedder = OnnxEmbedder()
    parts = []
    try:
        for start in range(0, len(texts), EMBED_AT_ONCE):
            vectors, _ = await embedder.embed(texts[start : start + EMBED_AT_ONCE])
            parts.append(vectors)
            say(f"embedded {min(start + EMBED_AT_ONCE, len(texts))} of {len(texts)}")
    finally:
        await embedder.aclose()
    return np.concatenate(parts)
