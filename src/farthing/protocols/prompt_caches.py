"""What is known of providers' prompt caches, by session."""

from typing import Protocol

from msgspec import Struct

from farthing.errors import ProviderRejected
from farthing.protocols.providers import Capabilities
from farthing.types import Price, Prompt, PromptCacheUse, Request, Target, Usage


class WarmPrefix(Struct, frozen=True, kw_only=True):
    """The beginning of a request that a target has probably cached."""

    target: str
    tokens: int
    """As its provider counted them; an estimate where only a part of what it has stands in the request."""
    input_tokens: int
    """All of the request, as its provider would count them by what it counted before."""
    writes: bool
    """What is not read is written, and charged as that."""
    life_s: float
    """Seconds until it is forgotten, if nothing uses it."""


class SegmentSize(Struct, frozen=True, array_like=True):
    """One segment of a prompt, in the order in which providers cache."""

    name: str
    """`tools`, `system`, `message 3`."""
    tokens: int
    """An estimate: its share of the bytes, of all tokens."""


class PromptCall(Struct, frozen=True, kw_only=True):
    """A call that a session made lately, and what its provider told of its cache."""

    target: str
    lane: str
    """Which key and replica it went by, each of which may have a cache of its own; empty: there is one."""
    at_s: float
    """Monotonic time at which it was sent."""
    since_s: float | None
    """Seconds since the session's call before, of any target. None: it was the first."""
    input_tokens: int
    read_tokens: int
    written_tokens: int
    segments: tuple[SegmentSize, ...]


class SentPrompt(Protocol):
    """One prompt that went up."""

    def told(self, usage: Usage, price: Price | None) -> PromptCacheUse | None:
        """What its provider's usage says of it, compared with what the session sent before; the session
        remembers it soon after. Twice is safe: the later word counts. None: it is not measured."""

    def failed(self, cost_nusd: int | None) -> None:
        """No answer came of it; it was charged `cost_nusd`. None: that is not known."""


class PromptPreparer(Protocol):  # models/prompt_cache: breakpoints
    """What helps a provider's prompt cache, where the client leaves it open. Quick, and never fails."""

    def prepared(self, request: Request, prompt: Prompt, target: Target, has: Capabilities) -> Prompt:
        """`prompt` as it goes to `target`: with marks or a key that are expected to pay, else itself."""

    def sent(
        self, sent: SentPrompt | None, request: Request, target: Target, prompt: Prompt
    ) -> SentPrompt | None:
        """`sent` as what also learns from the call that now goes up, and books the marks of `prompt`: those
        of what is not measured too."""

    def refused(self, request: Request, prompt: Prompt, target: Target, error: ProviderRejected) -> bool:
        """Whether `target` has refused `prompt` for what was added to it, which is learnt: `prepared` adds it
        no more."""


class PromptCaches(Protocol):  # models/prompt_cache: sessions
    """What each session of a tenant sent lately, and where it is cached. Quick, bounded, and never fails: no
    method waits. Nothing of one tenant is seen by another."""

    def sent(self, request: Request, target: Target, body: bytes, lane: str = "") -> SentPrompt | None:
        """`body` goes up to `target` now. None: it is not measured (too short to be cached, no chat)."""

    def warm(self, request: Request, target: Target) -> WarmPrefix | None:
        """What of `request` the target has probably cached, by whatever lane. None: nothing."""

    def warm_targets(self, request: Request) -> tuple[WarmPrefix, ...]:
        """The same of all targets that the session used lately, the last one first."""

    def lane(self, request: Request, target: Target) -> str | None:
        """The lane by which the target last cached the beginning of `request`. None: none is warm."""

    def calls(self, request: Request) -> tuple[PromptCall, ...]:
        """What the session of `request` sent lately, the last first. Takes microseconds for each message of
        its conversation: for who decides on more than one request."""
