"""Every seam of Farthing, on two screens. An extension implements one of these and nothing else.

Implementations sit side by side in the folder named beside each Protocol; `app.py` chooses one.
Each Protocol is proved by one test file, `tests/contract/test_<protocol>.py`, run on all of them.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from farthing.errors import ProviderError
from farthing.types import (
    CacheHit,
    Operation,
    Prompt,
    Receipt,
    Request,
    Route,
    Target,
    Traits,
    Usage,
)

# -- edge -------------------------------------------------------------------------------------------


class Sink(Protocol):
    """Where the bytes of a stream go. Called from the event loop only; none of these blocks."""

    def send(self, events: bytes) -> None:
        """Take whole server-sent events. The first call also sends the status and the headers."""

    def when_writable(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        """Register what to call when the reader falls behind and when it has caught up."""


# -- brain: each may fail or be slow; the pipeline then goes on as if it were off ------------------


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


# -- contract: fails closed -------------------------------------------------------------------------


class Hold(Protocol):
    """What one request may still use. Settled exactly once; settling again does nothing."""

    def call(self, worst_case_nusd: int | None) -> None:
        """Count one LLM call and hold its worst case, before it is made.

        Raises:
            ContractExceeded: `calls_max`, `usd_max` or the deadline would be passed.
        """

    @property
    def left_s(self) -> float | None:
        """Seconds to the deadline; None without one. Zero or less: passed."""

    @property
    def left_nusd(self) -> int | None:
        """Nano-dollars a further call may hold; None without a limit."""

    def settle(self, cost_nusd: int | None) -> None:
        """Replace everything held by what was spent; None keeps the held worst case as spent."""


class Contract(Protocol):  # brain/contract: memory
    def reserve(self, request: Request, prompt: Prompt) -> Hold:
        """Check `request` against the terms of its endpoint and session, and open a hold.

        Raises:
            ContractExceeded: a limit is reached before anything was spent.
        """


# -- models -----------------------------------------------------------------------------------------


class Exchange(Protocol):
    """One request on one upstream connection, from its first reply byte on."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """Names as they came, in any case; the last of equal names counts."""

    def limit(self, *, idle_s: float, limit_s: float, bytes_max: int, now_s: float) -> None:
        """Bound what follows: the pause between two pieces, the monotonic time of its end, its size."""

    async def read(self, bytes_max: int, *, within_s: float | None = None) -> bytes:
        """Return the whole body.

        Raises:
            ProviderError: it did not end properly, in time, or within `bytes_max`.
        """

    def relay(self, data: Callable[[bytes], None], end: Callable[[Exception | None], None]) -> None:
        """From now on call `data` with each piece and `end` once: None when the body is complete."""

    def pause(self) -> None:
        """Stop reading, so that the provider feels the client's pace. Its time does not run on."""

    def resume(self) -> None: ...

    def leave(self) -> None:
        """Want no more of it; the connection lives on if the reply ends properly within a second."""

    def close(self) -> None:
        """Drop the connection unless the reply was read to its end. Safe to call twice."""


class Transport(Protocol):  # models/transport: http1
    async def send(
        self, origin: Any, head: bytes, body: bytes, *, first_byte_s: float, whole: bool
    ) -> Exchange:
        """Send one request and return when its body has begun (`whole`: when it is complete).

        `origin` is what this transport's own origins are; `head` is the request line and headers
        without content-length. Nothing is sent twice.

        Raises:
            ProviderUnavailable, ProviderTimeout, ProviderBusy
        """

    async def aclose(self) -> None:
        """Close every connection. Safe to call twice."""


class Provider(Protocol):  # models/providers: openai
    """Maps between OpenAI's form and one provider's. Sans-I/O: bytes in, bytes out."""

    name: str

    @property
    def origin(self) -> Any:
        """Where it lives, as its transport knows it."""

    def encode(
        self, prompt: Prompt, target: Target, operation: Operation, request_id: str
    ) -> tuple[bytes, bytes]:
        """Return the head (request line and headers) and the body for one call of `target`."""

    def whole(self, headers: Mapping[bytes, bytes], body: bytes) -> "Reply":
        """Map a complete reply of status 200.

        Raises:
            ProviderError: it is not an answer.
        """

    def failure(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> ProviderError:
        """What a reply of another status means."""


class Reply(Protocol):
    """A whole answer in OpenAI's form and what was read of it."""

    body: bytes
    usage: Usage | None
    finish_reason: str | None

    @property
    def text(self) -> str:
        """The text of the first choice; empty when it has none."""


class TokenCounter(Protocol):  # models/tokens: estimate | tiktoken
    def count(self, text: str, model: str) -> int:
        """Return how many tokens `text` has for `model`."""


# -- postprocess: guardrails fail closed ------------------------------------------------------------


class Guardrail(Protocol):  # postprocess/guard: deny
    def check(self, text: str) -> None:
        """Raises:
        Blocked: `text` must not pass; the message names the rule, never the text.
        """

    def check_long(self, text: str) -> Iterator[None]:
        """As `check`, in pieces: each step takes a few milliseconds, however long `text` is.

        Raises:
            Blocked: in the course of it.
        """


# -- ledger: never blocks the loop, never loses an acknowledged row ---------------------------------


class Ledger(Protocol):  # ledger: segments | memory
    def intend(self, receipt: Receipt, target: str) -> None:
        """Make it known, before an upstream call, that it is about to be made.

        Survives the death of the process when it returns.

        Raises:
            Overloaded: the ledger has no room; the call must not be made.
        """

    def record(self, receipt: Receipt) -> None:
        """Write the one final row of a request, before its answer is acknowledged.

        Survives the death of the process when it returns. Never raises: a row that cannot be
        written is counted and logged, and new paid work is refused from then on.
        """

    async def aclose(self) -> None:
        """Make everything durable, then release. Safe to call twice."""


# -- stores: shared by cache, contract and retrieval ------------------------------------------------


class KeyValueStore(Protocol):  # stores/kv: memory | sqlite
    async def get(self, key: bytes) -> bytes | None:
        """Return the live value, or None when absent or expired.

        Raises:
            StoreError: the backend failed.
        """

    async def set(self, key: bytes, value: bytes, *, ttl_s: float) -> None:
        """Store `value` for `ttl_s` seconds, replacing any value there.

        Room is made by dropping the entries used longest ago; a value larger than the store's
        whole allowance is not stored, which is no error.

        Raises:
            StoreError: the backend failed.
        """

    async def aclose(self) -> None:
        """Safe to call twice."""
