"""What decides. Each may fail or be slow; the pipeline then goes on as if it were off."""

from typing import TYPE_CHECKING, Protocol

from farthing.types import (
    CacheHit,
    CacheLookup,
    HitCandidate,
    Passages,
    Receipt,
    Request,
    Route,
    Traits,
    Verdict,
)

if TYPE_CHECKING:
    from farthing.protocols.vectors import Vector


class Classifier(Protocol):  # brain/classify: rules
    async def classify(self, request: Request) -> Traits:
        """Describe `request`. Never sees the answer. Must not call a paid model."""


class ResponseCache(Protocol):  # brain/cache: exact | off
    def key(self, request: Request) -> bytes | None:
        """What makes two requests the same, tenant and endpoint included; None: never cached.

        Pure. Requests with equal keys may share one upstream call.
        """

    async def lookup(self, key: bytes) -> CacheHit | None:
        """Return a stored answer that is valid for `key`, or None. None is never an error."""

    async def store(self, key: bytes, hit: CacheHit, *, ttl_s: float | None) -> None:
        """Keep a complete answer. Storing the same key twice keeps the newer one."""


class SemanticCache(Protocol):  # brain/cache/semantic: cache
    async def lookup(self, request: Request, receipt: Receipt) -> CacheLookup | None:
        """Put the question of `request` to the answers of its partition.

        What that costs (a remote embedder) stands in `receipt.embedding_nusd` from the moment it is owed, so
        that a look which fails or is cancelled later has been counted.

        None: the request must not be answered from here nor kept (off for its endpoint, no plain last
        question, an agent's step, personal or bound to a moment).

        Raises:
            StoreError: the embedder or the store failed.
        """

    async def store(self, lookup: CacheLookup, request: Request, fresh: CacheHit, receipt: Receipt) -> None:
        """Keep a fresh complete answer to `request`, unless it is one that must not be kept; when `lookup`
        had a candidate that could have served, compare the two and write the outcome to `receipt.audit`.

        Quick: what takes long (the disk, a judge) is queued, within bounds.
        """

    async def confirmed(self, lookup: CacheLookup, request: Request) -> None:
        """Take a model's word that the candidate of an unsure lookup is right: it serves, unless it is drawn
        for an audit."""


class Retriever(Protocol):  # farthing.retrievers: plug-ins
    async def retrieve(self, request: Request, traits: Traits) -> Passages:
        """The passages that the answer to `request` is to be made from, best first; none is no error.

        Whoever asks may see them: what its tenant may not see is left out here.
        """


class Router(Protocol):  # brain/route: rules
    async def route(self, request: Request, traits: Traits) -> Route:
        """Order the targets worth trying, best first. At least one, or a fixed answer.

        Raises:
            UnknownModel: nothing answers to the name the client asked for.
        """

    def fallback(self, request: Request) -> Route:
        """The route to take when `route` failed or was late: the named model, else the best tier.

        Pure and quick.

        Raises:
            UnknownModel: as `route`.
        """

    def pins(self, request: Request) -> bool:
        """Whether the client named a model, which is then never substituted. Pure and quick."""

    def answers(self, request: Request, traits: Traits) -> bool:
        """Whether the configuration answers this itself, in words of its own: no similar question's answer
        may take their place. Pure and quick."""

    wait_s: float
    """How long `route` may wait for a model it asks, beyond the time of the brain; 0: it asks none."""


class RouteAdvisor(Protocol):  # brain/route: advisor
    """Asks a cheap model whether a question is easy."""

    async def easy(self, request: Request) -> float | None:
        """From 0, hard, to 1, easy: how likely a cheap model answers it well. None: it was not asked, or said
        nothing in time.

        Takes a time of its own, bounded, and never raises; what it cost is in a receipt of its own.
        """


class Verifier(Protocol):  # brain/cache/semantic/verify: rules | trained
    async def verify(
        self,
        asked: str,
        stored: str,
        asked_vector: "Vector",
        stored_vector: "Vector",
        *,
        language: str = "en",
    ) -> Verdict:
        """Say whether the answer that was given to `stored` is right for `asked`; both are in `language`.

        Similarity is not enough to be right: both texts are read. Never sees the answer.
        """


class Confirmer(Protocol):  # brain/cache/semantic: confirm
    """Asks a cheap model before a stored answer is given where the verifier cannot tell."""

    async def confirm(self, request: Request, candidate: HitCandidate) -> bool | None:
        """Whether the stored answer is right for what is asked. None: it was not asked, or said nothing.

        What it cost is in a receipt of its own.
        """

    wait_s: float
    """How long `confirm` may wait for a model, beyond the time of the brain."""
