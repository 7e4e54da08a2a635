"""The parts of the pipeline that one configuration chose, and the state of one request."""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from farthing.brain.cache.flight import Flight, Flights
from farthing.brain.cache.fresh import Given
from farthing.brain.cache.texts import Texts
from farthing.errors import RequestError
from farthing.models.broadcast import Broadcast
from farthing.models.calling.caller import Caller
from farthing.models.continuing.terms import Continuing
from farthing.models.pricing.money import Money
from farthing.pipeline.cascade import Cascades
from farthing.pipeline.optional import tally
from farthing.protocols import (
    AsyncGuardrail,
    Classifier,
    Confirmer,
    Contract,
    Guardrail,
    Inspector,
    Ledger,
    ResponseCache,
    Retriever,
    Router,
    SemanticCache,
)
from farthing.runtime.loop_batch import is_immediate
from farthing.runtime.seldom import Tally
from farthing.types import CacheHit, CacheLookup, Target

ROUTES = ("route", "fallback")


class Retrieval(Struct, frozen=True, kw_only=True):
    """The retrieval settings of one endpoint."""

    retriever: Retriever
    required: bool
    """Without its passages there is no answer; else it goes on without them."""
    timeout_s: float
    passages_max: int
    context_tokens_max: int
    """The first of them that together have no more tokens than this."""


class Steps(Struct, frozen=True, kw_only=True):
    """The implementations one configuration chose. Built by `wiring`, replaced whole by a reload."""

    guardrails: tuple[Guardrail, ...]
    guard_plugins: tuple[AsyncGuardrail, ...] = ()
    classifier: Classifier
    cache: ResponseCache
    semantic: SemanticCache | None
    """None: only the same question gets a stored answer."""
    confirmer: Confirmer | None = None
    """None: what the verifier cannot tell is a miss."""
    inspector: Inspector | None = None
    """None: nothing is learned about answers."""
    inspects: bool = False
    """Whether it looks at any answer, or only hears who asks again."""
    flights: Flights[Broadcast] | None
    """None: identical requests do not share a call."""
    given: Given = msgspec.field(default_factory=Given)
    """Who was given which answer a moment ago."""
    retrievals: Mapping[str, Retrieval] = {}
    """By endpoint; those that are not here retrieve nothing."""
    router: Router
    rules: Router
    """Who routes where `router` cannot even fall back: the rules of the configuration alone."""
    contract: Contract
    caller: Caller
    cascades: Cascades
    ledger: Ledger
    money: Money
    continuing: Continuing | None = None
    """When a streamed answer that breaks off goes on with another call; None: never."""
    next_tiers: Mapping[str, Sequence[tuple[str, Target]]] = {}
    """By tier: what is asked where none of its targets answers, each with the tier as which it is asked."""
    brain_timeout_s: float
    kept_bytes_max: int
    """Largest streamed answer that is kept for the cache."""
    strict: bool = False
    told: Tally = msgspec.field(default_factory=tally)
    immediate: bool = False
    """Whether all of them are (`is_immediate`); else a request is a task from its first step on. Found out
    when this is built, whatever is given."""

    def __post_init__(self) -> None:
        mine = (self.classifier, self.cache, self.semantic, self.confirmer, self.inspector, self.router)
        immediate = is_immediate(*mine, self.contract, self.ledger, *self.guardrails)
        msgspec.structs.force_setattr(self, "immediate", immediate)

    # -- what an optional step is allowed (`optional.Patience`) ---------------------------------------

    @property
    def blocks_s(self) -> float:
        """Seconds that all optional steps may take together."""
        return self.brain_timeout_s

    def time_left_s(self, name: str, stage_ms: Mapping[str, float]) -> float:
        """Seconds of the brain's time limit left for the step `name`. A step that asks a model (router,
        confirmer) has a time limit of its own, which is not taken from the others; so do checks and
        retrieval."""
        own_s = {"route": self.router.wait_s}
        if self.confirmer is not None:
            own_s["confirm"] = self.confirmer.wait_s
        spent_ms = sum(
            ms
            for one, ms in stage_ms.items()
            if not own_s.get(one) and one != "retrieve" and not one.startswith("check:")
        )
        return self.brain_timeout_s + own_s.get(name, 0.0) - spent_ms / 1000

    def raises(self, name: str, error: Exception) -> bool:
        """True in a strict configuration, and for a routing error that the client must see (UnknownModel)."""
        return self.strict or (name in ROUTES and isinstance(error, RequestError))


class Memory(Struct):
    """What links one request to the answers of others."""

    key: bytes | None = None
    """Its key in the exact cache; None: no answer may be taken from there, nor kept."""
    asked: int | None = None
    """Who asks for what (`who_and_what`)."""
    flight: Flight[Broadcast] | None = None
    """The shared call that it leads."""
    texts: Texts | None = None
    """Of embeddings whose texts are looked for one by one."""
    lookup: CacheLookup | None = None
    fresh: CacheHit | None = None
    """What it has for those who wait for the same."""
