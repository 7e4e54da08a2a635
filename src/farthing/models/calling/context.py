"""What the calls of one configuration are made with."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from farthing.config import CallConfig, ProviderConfig
from farthing.models.calling.telling import Telling
from farthing.models.lanes.ways import Ways
from farthing.models.residency import Regions
from farthing.protocols import (
    Ledger,
    ModelWatch,
    PromptCaches,
    PromptPreparer,
    Provider,
    TokenSizes,
    Transport,
)


class CallContext(Struct, kw_only=True):
    """All of it; the last three are set before the first call."""

    providers: Mapping[str, Provider]
    limits: Mapping[str, ProviderConfig]
    transport: Transport
    ledger: Ledger
    config: CallConfig
    clock: Callable[[], float]
    """Monotonic seconds."""
    ways: Ways
    regions: Regions
    telling: Telling
    sizes: TokenSizes | None
    """None: a prompt is taken to have the same number of tokens for every model."""
    prompt_caches: PromptCaches | None = None
    """What is known of providers' prompt caches; outlives a configuration. None: they are not measured."""
    models: ModelWatch | None = None
    """Who hears what answers name as their model. None: nobody."""
    preparer: PromptPreparer | None = None
    """What helps providers' prompt caches; None: prompts go up as they are."""
