"""One call to make, and what came of it."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from farthing.errors import ProviderError
from farthing.models.health.health import Health
from farthing.models.lanes.pick import Lane
from farthing.models.retry import Failed
from farthing.models.stream import SignsOfLife, Stream
from farthing.protocols import Hold, Reply, SentPrompt
from farthing.types import Attempt, Json, Prompt, Receipt, Request, Target, Usage


class CallResult:
    """The response of a target: a complete reply, or a stream whose answer has begun."""

    __slots__ = (
        "asked",
        "attempt",
        "began_s",
        "begun",
        "capped_by",
        "credentials",
        "ended_s",
        "extended",
        "health",
        "held_ms",
        "held_nusd",
        "lane",
        "probe",
        "prompt",
        "reply",
        "returned",
        "spent",
        "stream",
        "target",
        "together",
    )

    lane: Lane
    """Which was called; not set, as the next three, where the answer came in a batch."""
    asked: Prompt
    """As it goes to the target."""
    began_s: float
    """Monotonic."""
    probe: int
    """As `Health.begin` gave it."""

    def __init__(
        self, target: Target, attempt: Attempt, health: Health, capped_by: str | None = None
    ) -> None:
        self.target = target
        self.attempt = attempt
        self.health = health
        self.capped_by = capped_by
        """The limit of the endpoint that set its output cap; None when none did."""
        self.credentials: int | None = None
        """The number of those it was made with; None: a fixed key, or none yet."""
        self.reply: Reply | None = None
        self.stream: Stream | None = None
        self.extended = False
        """It was asked for what stands in `CallRequest.besides` as well."""
        self.ended_s: float | None = None
        """Monotonic time of its end, where it was held back after that; None: it goes on as it comes."""
        self.held_nusd: int | None = None
        """What of the contract's money is held for it; None: nothing is."""
        self.returned = b""
        """Header lines of the provider's reply that the client may see."""
        self.spent: Usage | None = None
        """What the parts used that were answered of one call for embeddings that took several."""
        self.together = self.begun = 0
        """How many calls were under way with it when it began, and which it was, as its `limits` count."""
        self.held_ms = 0.0
        """How long its first piece was held back before it could go out."""
        self.prompt: SentPrompt | None = None
        """Its prompt as what measures prompt caches knows it; None: it is not measured."""


class Besides(Struct, frozen=True):
    """Fields that are asked for beside what the client asks for, of the targets that take them."""

    fields: Json
    spared: set[str]
    """The names of targets that are not asked for them; one that refuses a request with them is added."""


class CallRequest(Struct, frozen=True, kw_only=True):
    """One call to make: what to send, under which terms, and the receipt to write to."""

    request: Request
    prompt: Prompt
    hold: Hold
    receipt: Receipt
    keep_bytes_max: int
    """Largest stream that is kept for the cache; 0 keeps none."""
    otherwise: Literal["failed", "escalated", "skipped"] = "failed"
    """What the request is where no target answers. Where it goes on, none is waited for or asked again; one
    that is escalated leaves time for that."""
    answered: bool = False
    """There is an answer already, which the client gets where no target gives this better one."""
    besides: Besides | None = None
    """None: nothing."""
    signs: SignsOfLife | None = None
    """Who hears of a target that lives and takes long to begin, where no other waits. None: nobody."""


def failure_of(target: Target, error: ProviderError, lane: Lane) -> Failed:
    """A failure of `lane`, as `next_try` matches it."""
    return Failed(target, error, None if lane.among is None else lane.health)


def tried_in(failed: Sequence[Failed]) -> set[Health]:
    """The health of each lane that has failed and has others beside it."""
    return {one.health for one in failed if one.health is not None}
