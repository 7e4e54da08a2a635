"""Counts prompts for the targets of a configuration, and keeps the file of learned token ratios."""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from farthing.config import AUTO, ENDPOINT_PREFIX, Config
from farthing.models.targets import Targets
from farthing.models.tokens.bpe import ExactCounter
from farthing.models.tokens.learned import TokenRatios
from farthing.models.tokens.sizes import LearnedSizes
from farthing.stores import token_ratios
from farthing.stores.state_file import StateFile
from farthing.types import Prompt, Request, Target, TokenCount

log = logging.getLogger("farthing.tokens")

COMPARED_MAX: Final = 16
"""Targets of which a prompt is counted for where the client leaves the choice."""
SAVE_S: Final = 30.0
_MODEL: Final = "gpt-4o"  # of the vocabulary that counts for all but a few old models


class TokenParts:
    """Counts tokens of prompts. Outlives a reload."""

    def __init__(self, state_dir: Path | None = None) -> None:
        """Reads what was saved in `state_dir`; without it nothing is saved."""
        self.counter = ExactCounter()
        self.ratios = TokenRatios()
        self.sizes = LearnedSizes(self.ratios, self.counter)
        self._file: StateFile | None = None
        if state_dir is not None:
            anew = "how providers' token counts compare with ours is learned anew"
            self._file = StateFile(
                self.ratios, state_dir / token_ratios.FILE, log=log, anew=anew, save_s=SAVE_S
            )
            self._file.open()
        self._saving: asyncio.Task[None] | None = None
        self._choices: Mapping[str, tuple[Target, ...]] = {}
        self._all: tuple[Target, ...] = ()

    def warm(self, config: Config) -> None:
        """Load the vocabulary if every long prompt of an endpoint is counted: this takes 0.2 s, which no
        request should wait for."""
        if any(one.input_tokens_max is not None for one in config.endpoints.values()):
            self.counter.warm(_MODEL)

    def serve(self, config: Config, targets: Targets) -> None:
        """Serve `config` from now on."""
        limits = ((one.input_tokens_max, one.usd_max) for one in config.endpoints.values())
        if any(limit != (None, None) for limit in limits):
            self.counter.ready(_MODEL)  # or begin to load it beside
        self._all = tuple(targets.configured.values())[:COMPARED_MAX]
        choices: dict[str, tuple[Target, ...]] = {one.model: (one,) for one in targets.configured.values()}
        choices.update((name, (target,)) for name, target in targets.configured.items())
        choices.update((name, self._all) for name in (AUTO, *config.aliases))
        choices.update(targets.tiers)
        self._choices = choices

    def count(self, request: Request, prompt: Prompt) -> TokenCount:
        """The tokens of a prompt for the target with the smallest count among those that may answer."""
        model = request.model if request.tier is None else request.tier
        targets = self._choices.get(model)
        if targets is None and model.startswith(ENDPOINT_PREFIX):
            targets = self._all
        if not targets:
            provider, _, rest = model.partition("/")
            targets = (Target(name=model, provider=provider, model=rest or provider),)
        return self.sizes.least(targets, prompt.body, prompt.input_tokens, prompt.media_tokens)

    def start(self) -> None:
        """Start saving what is learned, on the running event loop."""
        if self._file is not None:
            self._saving = asyncio.get_running_loop().create_task(self._file.run())

    async def aclose(self) -> None:
        """Save what is new. A second call is harmless."""
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.cancel()
            await asyncio.gather(saving, return_exceptions=True)
        elif self._file is not None:
            self._file.save()
