"""The composition root's part for the learned router: its model, its embedder, what it may know of targets.

Nothing of it is opened, and numpy is not imported, before the configuration asks for it.
"""

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from farthing.brain.route.rules import RulesRouter
from farthing.config import Config
from farthing.errors import ConfigError
from farthing.models.embed.session import require
from farthing.models.health import Health
from farthing.protocols import Embedder

if TYPE_CHECKING:
    from farthing.brain.route.learned.router import LearnedRouter
    from farthing.models.embed.onnx import OnnxEmbedder

log = logging.getLogger("farthing.routing")


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
