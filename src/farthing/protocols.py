"""Every seam of Farthing, on two screens. An extension implements one of these and nothing else.

Implementations sit side by side in the folder named beside each Protocol; `wiring/` chooses one.
Each Protocol is proved by one test file, `tests/contract/test_<protocol>.py`, run on all of them, in a task
and as the gateway runs it.

An implementation may use any asyncio library: its methods run in a task, in a `contextvars` context that is
this request's alone. One that needs no current task before its first wait may say `immediate = True` (see
`runtime.loop_batch.is_immediate`); where all of a configuration do, a request that waits for nothing but its
provider is spared the task. One that wraps others is what they are. Who leaves it out is right, and pays some
microseconds a request.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from msgspec import Struct

from farthing.config import ProviderConfig
from farthing.errors import ProviderError
from farthing.runtime.redact import Redactor
from farthing.types import (
    CacheHit,
    CacheLookup,
    CandidateAnswer,
    CheckResult,
    Comparison,
    HitCandidate,
    Json,
    Operation,
    Passages,
    Prompt,
    Receipt,
    Request,
    Route,
    Signal,
    Target,
    Traits,
    Usage,
    Verdict,
)

if TYPE_CHECKING:  # numpy comes with the extra `semantic`; nothing here needs it to run
    import numpy as np
    from numpy.typing import NDArray

    Vector: TypeAlias = NDArray[np.float32]
    """Shape (dims,), of length 1."""
    Vectors: TypeAlias = NDArray[np.float32]
    """Shape (n, dims), each row of length 1."""
    Keys: TypeAlias = NDArray[np.int64]
    """Shape (n,)."""

# -- edge -------------------------------------------------------------------------------------------


class Sink(Protocol):
    """Where the bytes of a stream go. Called from the event loop only; none of these blocks."""

    def send(self, events: bytes) -> None:
        """Take whole server-sent events. The first call also sends the status and the headers."""

    def when_writable(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        """Register what to call when the reader falls behind and when it has caught up."""

    def outlive(self, left: Callable[[Callable[[], None]], bool]) -> None:
        """Register what to ask when the reader goes away before the end. Where it says True, the request goes
        on for others, and what it was handed ends it when nobody is left."""

    def returned(self, lines: bytes) -> None:
        """Header lines of the provider that answers, for the head of the answer; before the first `send`."""


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
        had a proposal that could have served, compare the two and write the outcome to `receipt.audit`.

        Quick: what takes long (the disk, a judge) is queued, within bounds.
        """

    async def confirmed(self, lookup: CacheLookup, request: Request) -> None:
        """Take a model's word that the proposal of an unsure look is right: it serves, unless it is drawn
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


class Inspector(Protocol):  # evaluation/feedback: inspect
    """Looks at answers after they were given, to learn how good they are. None of this may wait."""

    def asked(self, request: Request, receipt: Receipt) -> None:
        """Every request of a client that says who asks, by session or user, is told here once it is
        classified: one that repeats another within a moment says something about the answer that had. The
        receipt is not finished yet."""

    def wants(self, request: Request, route: Route) -> bool:
        """Whether the answer to `request` will be looked at, so that its text has to be kept until then."""

    def inspect(self, request: Request, route: Route, answer: CacheHit, receipt: Receipt) -> None:
        """Take a complete answer that `wants` asked for; `route.shadow`, where there is one, is to be asked
        too. Quick: what takes long is queued within bounds."""


class RouteAudit(Protocol):  # guarantees/policy: applied
    """Keeps the loss of quality under a routing policy within what its certificate says."""

    def opened(self, receipt: Receipt) -> None:
        """An explored request was answered: its receipt has endpoint, traits, score and policy. Told once,
        before anybody judges; `lost` follows. Quick; without a policy, or of another router or tiers than its
        certificate's, nothing happens."""

    def lost(self, request_id: str, loss: float | None) -> None:
        """By how much the cheap answer to an explored request is worse than the expensive one, from 0, as
        good or better, to 1. None: it will never be known (no room, no answer, no verdict). One that its
        policy keeps with the expensive tier lost nothing, whatever is said, and counts now, as others do. Of
        one that was not opened, or was given up, nothing happens."""


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


class HitMonitor(Protocol):  # guarantees/monitor: semantic_cache
    """Keeps the share of wrong answers among those served from the semantic cache under its budget."""

    def allows(self, endpoint: str, partition: bytes) -> bool:
        """Whether answers of `partition` may be served to `endpoint` now. Pure and quick; where it says no,
        would-be hits are answered anew and noted, so that it can learn better."""

    def note(self, endpoint: str, partition: bytes, wrong: bool | None, audit: str = "") -> None:
        """Take one audited outcome: a would-be hit, drawn by chance or because nothing is served, whose
        stored answer was right or `wrong`. None: a judge will say, under the same `audit`."""


class AnswerJudge(Protocol):  # evaluation/judges: equivalence
    """Says whether two answers agree where their words differ. It may ask a paid model, later."""

    def ask(self, comparison: Comparison) -> Literal["queued", "none", "full"]:
        """Queue one comparison and return at once; the verdict goes to the cache's `judged`.

        `none`: no judge is configured for that endpoint. `full`: too many wait; nobody will judge it.
        """


class Confirmer(Protocol):  # brain/cache/semantic: confirm
    """Asks a cheap model before a stored answer is given where the verifier cannot tell."""

    async def confirm(self, request: Request, candidate: HitCandidate) -> bool | None:
        """Whether the stored answer is right for what is asked. None: it was not asked, or said nothing.

        What it cost is in a receipt of its own.
        """

    wait_s: float
    """How long `confirm` may wait for a model, beyond the time of the brain."""


# -- the gateway's own requests ---------------------------------------------------------------------


Purpose = Literal["judge", "precompute", "refresh", "explore", "route"]


class Budget(Protocol):  # jobs: budget
    """Money for internal requests. Strict: what is handed out is never more than what is left."""

    def take(self, share: int) -> int:
        """Hand out one part of `share` of what is left, in nano-dollars; `give_back` must follow.

        Raises:
            BudgetExhausted: nothing is left.
        """

    def give_back(self, allowance_nusd: int, cost_nusd: int | None) -> None:
        """Settle what `take` handed out. A cost nobody knows counts as all of it."""


class InternalRequest(Struct, frozen=True, kw_only=True):
    """One request of the gateway's own, such as a question to a judge."""

    purpose: Purpose
    about: str
    """The request or entry it is for."""
    request: Callable[[str], Request]
    """Id -> what to ask, under the configuration of now; not streamed.

    Raises:
        FarthingError: it can no longer be asked (its endpoint is gone).
    """
    budget: Budget
    conclude: Callable[[str | None, Receipt], None]
    """Called once with the text of the answer, None when there is none, and the receipt before it is
    written. Must not raise and must not wait. Not called for what is dropped at the end of the process."""
    heard: Callable[[bytes], None] | None = None
    """Called before it with the whole answer as it came, where there is one. It must not raise either."""
    shares: int | None = None
    """It may spend one part in so many of what its budget has left; None: one in `jobs.at_once`."""


class InternalRequests(Protocol):  # jobs: runner
    """Runs internal requests: they take the journey of a client's request and leave a receipt each."""

    @property
    def daily(self) -> Budget:
        """For what has no budget of its own: judging, refreshing, confirming."""

    def submit(self, request: InternalRequest) -> bool:
        """Queue it behind the requests of clients; False: there is no room, it will not run."""

    def begin(self, request: InternalRequest) -> "asyncio.Task[None]":
        """Run it now, as somebody waits for it. The task does not raise for what a provider does."""


class CacheAdmin(Protocol):  # brain/cache/semantic/store: admin
    """What an operator may see and do with the semantic cache. JSON in and out."""

    async def show(self) -> Json:
        """What is kept, per endpoint.

        Raises:
            StoreError: the store failed.
        """

    async def invalidate(self, selection: Json, *, apply: bool, who: str) -> Json:
        """Say what the selection fits and, with `apply`, drop or doubt it and write a row of the log.

        Raises:
            InvalidRequest: the selection cannot be read, or selects by nothing. StoreError.
        """


# -- contract: fails closed -------------------------------------------------------------------------


class Hold(Protocol):
    """What one request may still use. Settled exactly once; settling again does nothing."""

    def call(self, worst_case_nusd: int | None) -> None:
        """Count one LLM call and hold its worst case, before it is made.

        Raises:
            ContractExceeded: `calls_max`, `usd_max` or the deadline would be passed.
        """

    def release(self, worst_case_nusd: int | None, cost_nusd: int | None) -> None:
        """A call that held so much is over, and cost so much: the rest is free at once. None on either side
        leaves it held until the request is settled."""

    @property
    def left_s(self) -> float | None:
        """Seconds to the deadline; None without one. Zero or less: passed."""

    @property
    def left_nusd(self) -> int | None:
        """Nano-dollars a further call may hold; None without a limit."""

    @property
    def left_calls(self) -> int | None:
        """Calls that may still be made; None without a limit."""

    def settle(self, cost_nusd: int | None) -> None:
        """Replace everything held by what the whole request spent, released calls included; None keeps the
        held worst case as spent."""


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
        """Return the whole body, unpacked where it came compressed.

        Raises:
            ProviderError: it did not end properly, in time, or within `bytes_max`.
        """

    def relay(self, data: Callable[[bytes], None], end: Callable[[Exception | None], None]) -> None:
        """From now on call `data` with each piece, unpacked where it came compressed, and `end` once: None
        when the body is complete."""

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


class Capabilities(Struct, frozen=True, kw_only=True):
    """What a provider's interface has at all; what of a request it cannot say is for `Provider.unsaid`."""

    operations: frozenset[Operation]
    batch: bool = False
    """Many questions can go up at once, to be answered within a day (`Provider.batch_api`)."""
    choices: bool = False
    """Several answers to one request (`n`)."""
    logprobs: bool = False
    counts_tokens: bool = False
    """It counts the tokens of a prompt exactly, for a call of its own (`Provider.count_call`)."""


class Unsaid(Struct, frozen=True):
    """What of a request a provider cannot be told, by the client's own names."""

    names: tuple[str, ...] = ()
    """What its dialect has no word for. It may be left out only where the configuration says so."""
    gave_way: tuple[str, ...] = ()
    """What gave way to something else in this request, as thinking does to a demanded call."""


ALL_SAID = Unsaid()


class Reply(Protocol):
    """A whole answer in the client's dialect and what was read of it."""

    body: bytes
    usage: Usage | None
    finish_reason: str | None
    """Of the first choice."""

    @property
    def text(self) -> str:
        """The text of the first choice; empty when it has none."""

    @property
    def is_plain(self) -> bool:
        """Whether it is one choice of nothing but text, with no call, no error, and an end of its own. False
        says no more than that it takes a closer look."""

    @property
    def all_stopped(self) -> bool:
        """Whether every choice ended by itself; one of which nothing is said did."""

    @property
    def cites(self) -> bool:
        """Whether a choice names pages that were searched for, which may be charged for."""

    @property
    def logprobs(self) -> list[float] | None:
        """Of the tokens of the first choice; None when there are none."""

    def rewritten(self, body: bytes) -> "Reply":
        """This reply with another body that says the same of what is read here."""


class StreamDecoder(Protocol):  # one for each dialect that providers speak
    """The bytes of a provider's stream in, whole events in the client's dialect out; and what they said.

    The usage event and what closes a stream are kept back: they are sent last, after the receipt is written.
    Sans-I/O, for one stream, and bounded: no event may be longer than the decoder was made for.
    """

    done: bool
    """The stream has said that it is over; whatever follows is ignored. May be set by who reads on."""

    @property
    def begun(self) -> bool:
        """A part of the answer has come: content, a call of a tool, a refusal, reasoning, or its finish."""

    @property
    def finished(self) -> Mapping[int, str]:
        """Indices of the choices that have ended, and how."""

    @property
    def finish_reason(self) -> str | None: ...

    @property
    def usage(self) -> Usage | None:
        """As the provider told it last; None: it has not."""

    @property
    def usage_event(self) -> bytes | None:
        """The JSON of the usage event in the client's dialect; None until the provider has told it."""

    @property
    def first_payload(self) -> bytes | None:
        """The JSON of the first event of the answer, whose id and model are the answer's."""

    @property
    def chunks(self) -> int:
        """Events that carried content: at least one token each."""

    @property
    def text_chars(self) -> int:
        """Characters of what was said, reasoning and the arguments of calls included."""

    @property
    def states_nothing(self) -> bool:
        """Whether nothing was said to the end, and the usage says so too."""

    @property
    def cites(self) -> bool:
        """It names pages that were searched for, which may be charged for."""

    def feed(self, data: bytes) -> bytes:
        """The complete events in `data` and what was left before it, ready to send on.

        Raises:
            BadStream: it is not this dialect, or too long. ProviderSaid: an error came in place of an event.
        """

    def whole(self, body: bytes) -> bytes:
        """The events that say what a whole answer says which came in place of a stream.

        Raises:
            BadStream, ProviderSaid: as `feed`.
        """

    def end(self) -> bytes:
        """The body is complete: what an event without its end comes to.

        Raises:
            BadStream, ProviderSaid: as `feed`.
        """

    def ended(self, choices: int) -> bool:
        """Whether the answer is complete: the stream is over, or so many choices have finished."""


class BatchState(Struct, frozen=True, kw_only=True):
    """How a batch is."""

    id: str
    ended: bool
    """Nothing more will come of it. Only then has it files to read."""
    files: tuple[str, ...] = ()
    """What to read the answers from."""
    why: str = ""
    """The provider's own words for why it failed as a whole; empty when it says nothing."""
    tag: str | None = None
    """What it was created with."""
    status: str = ""
    """In the provider's word."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of one question of a batch. It has a reply or an error, never both."""

    reply: Reply | None = None
    error: ProviderError | None = None
    status: int | None = None
    """As the line says; None when it says none."""
    usage: Usage | None = None
    """What a failed line says it used; None: nothing."""
    lost: bool = False
    """Nobody can say any more what it cost."""


class BatchApi(Protocol):  # models/providers: one for each provider that has batches
    """Many questions in one call. Every method that calls raises ProviderError when it has no good answer."""

    answers_bytes_max: int
    """Largest file of answers that `content` reads."""

    def line(self, custom_id: str, prompt: Prompt, target: Target) -> bytes:
        """One question, as a line of the file that goes up."""

    async def upload(self, content: bytes, name: str) -> str:
        """Upload a file of questions; its id."""

    async def create(self, file_id: str, tag: str) -> BatchState:
        """Have the questions of an uploaded file answered within a day. `tag` finds it again."""

    async def state(self, batch_id: str) -> BatchState: ...

    async def find(self, tag: str) -> BatchState | None:
        """The batch that was created with `tag`; None: it is not among the newest hundred."""

    async def content(self, file_id: str) -> bytes:
        """A file of answers, at most `answers_bytes_max` of it."""

    def outcomes(self, content: bytes, ids: Collection[str]) -> Iterator[tuple[str, Outcome] | None]:
        """What the lines of a file of answers say of the questions `ids`, in the order of the file: one item
        a line, None for a line that says nothing of them, so that a reader may pause in between."""


class Provider(Protocol):  # models/providers: openai | anthropic
    """Maps between the client's dialect and one provider's. Sans-I/O: bytes in, bytes out."""

    name: str
    capabilities: Capabilities
    redact: Redactor
    """Knows the secrets that nothing it says may repeat."""

    @property
    def origin(self) -> Any:
        """Where it lives, as its transport knows it."""

    def unsaid(self, prompt: Prompt, target: Target, operation: Operation) -> Unsaid:
        """What of `prompt` this provider cannot be told. Quick, and asked before every call: what is named
        here is never dropped in silence. `ALL_SAID`: nothing."""

    def encode(
        self,
        prompt: Prompt,
        target: Target,
        operation: Operation,
        request_id: str,
        passed: tuple[tuple[str, str], ...] = (),
    ) -> tuple[bytes, bytes]:
        """The head (request line and headers, without content-length and the blank line) and the body of one
        call of `target`. `passed` are headers of the client, of which those go up that it is to get."""

    def whole(self, headers: Mapping[bytes, bytes], body: bytes, prompt: Prompt | None = None) -> Reply:
        """Map a complete reply of status 200 to `prompt`; None: to one in the usual form.

        Raises:
            ProviderError: it is not an answer.
        """

    def decoder(self, event_bytes_max: int, prompt: Prompt | None = None) -> StreamDecoder:
        """What reads one streamed reply to `prompt`. No event is longer than `event_bytes_max`."""

    def failure(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> ProviderError:
        """What a reply of another status than success means."""

    def in_answer(self, payload: bytes) -> ProviderError:
        """What an error means that came in place of an answer, or of a part of one."""

    def down(self, headers: Mapping[bytes, bytes], request_id: str) -> tuple[bytes, str]:
        """The header lines of a reply that the client gets, and the provider's own id of it."""

    def list_head(self) -> bytes:
        """The head of the call that lists its models: an object with `data`, a list of objects with `id`."""

    def count_call(self, prompt: Prompt, target: Target, request_id: str) -> tuple[bytes, bytes] | None:
        """Head and body of the call that counts the tokens of `prompt`; None where it has none."""

    def counted(self, body: bytes) -> int:
        """The tokens that a reply of status 200 to `count_call` tells.

        Raises:
            ProviderError: it tells none.
        """

    def batch_api(self, transport: Transport, limits: ProviderConfig) -> BatchApi | None:
        """Its batches, called over `transport`; None where it has none, or is not to use them."""


class Embedder(Protocol):  # models/embed: onnx | remote
    """Texts to vectors. Vectors of embedders with different names are never compared."""

    name: str
    """Model and version, `all-MiniLM-L6-v2/int8`."""
    dims: int
    tokens_max: int
    """A text of more tokens is cut there."""

    async def embed(self, texts: Sequence[str]) -> "tuple[Vectors, Sequence[bool]]":
        """Return a vector for each text, and whether some of the text is not in it: it was cut, or has what
        the model has no token for, so that other texts have the very same vector. An embedder that cannot see
        its tokens says so of a cut alone.

        Raises:
            StoreError: it cannot be told now (overloaded, remote failure).
        """

    async def aclose(self) -> None:
        """Safe to call twice."""


class PairModel(Protocol):  # models/pair: onnx
    """A cross-encoder: reads two texts together."""

    name: str

    async def scores(self, pairs: Sequence[tuple[str, str]]) -> Sequence[float]:
        """A logit for each pair that both ask the same; the order within a pair does not matter.

        Raises:
            StoreError: it cannot be told now.
        """

    async def aclose(self) -> None:
        """Safe to call twice."""


class TokenCounter(Protocol):  # models/tokens: estimate | tiktoken
    def count(self, text: str, model: str) -> int:
        """Return how many tokens `text` has for `model`."""


# -- postprocess: guardrails fail closed ------------------------------------------------------------


class Guardrail(Protocol):  # evaluation: guard
    def check(self, text: str) -> None:
        """Raises:
        Blocked: `text` must not pass; the message names the rule, never the text.
        """

    def check_long(self, text: str) -> Iterator[None]:
        """As `check`, in pieces: each step takes a few milliseconds, however long `text` is.

        Raises:
            Blocked: in the course of it.
        """


class AsyncGuardrail(Protocol):  # wiring: foreign
    async def check(self, texts: Sequence[str]) -> None:
        """Look at every text of a request, its history included.

        Raises:
            Blocked: the request must not pass. GuardrailFailed: that could not be told, so it does not pass.
        """


class Ask(Protocol):  # pipeline: cascade
    """Asks a model within the request that is being answered: under its contract, in its receipt."""

    async def __call__(self, body: Json, target: str | None) -> CandidateAnswer | None:
        """The answer of `target` (None: of the target that gave the draft) to `body`, an object in OpenAI's
        form whose model does not matter. None: it did not answer, or the contract does not allow the call.
        """


class AnswerCheck(Protocol):  # evaluation/checks
    """Says whether an answer is good enough to go out, before a dearer model is asked."""

    name: str

    async def doubt(self, draft: CandidateAnswer, ask: Ask) -> CheckResult:
        """What speaks against `draft`. No reason is no proof that it is right."""


# -- ledger: never blocks the loop, never loses an acknowledged row ---------------------------------


class Ledger(Protocol):  # ledger: segments | memory
    def admit(self) -> None:
        """Ask, before anything is done for a request, whether its receipt will have room.

        Raises:
            Overloaded: it will not, and what cannot be written is not to be answered.
        """

    def intend(self, receipt: Receipt, target: str) -> None:
        """Make it known, before an upstream call, that it is about to be made.

        Survives the death of the process when it returns.

        Raises:
            Overloaded: the ledger has no room; the call must not be made.
        """

    def record(self, receipt: Receipt) -> None:
        """Write the one final row of a request, before its answer is acknowledged.

        Survives the death of the process when it returns. Where there is no room it waits in memory or is
        lost, both counted where a kill does not reach, if that is what the configuration wants.

        Raises:
            Overloaded: there is no room, and what cannot be written is not to be answered. Only for a
                request that was answered, of a client.
        """

    def signal(self, signal: Signal, *, acknowledged: bool = False) -> None:
        """Write one thing learned about an answer. As safe as a receipt once it returns, and where there is
        no room it waits or is lost, and is counted, as one.

        Raises:
            Overloaded: there is no room, and somebody is to be told that it is written (`acknowledged`).
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


class Level(Struct, frozen=True, kw_only=True):
    """One limit that something counts against: a session, a key, an endpoint's day, the calls of a flight."""

    key: str
    amount: int
    """Nano-dollars, or pieces where the limit is of pieces. Zero or more."""
    limit: int
    """Most that may be spent and held together."""


class Reserved(Struct, frozen=True, kw_only=True):
    """What `StateStore.reserve` came to."""

    held: bool
    refused: str | None
    """Key of the level without room; empty: the id is over. None where it is held."""
    until_s: float
    """On the store's clock: when the hold expires unless it is reserved again; else the time of now."""


class Taken(Struct, frozen=True, kw_only=True):
    """What `StateStore.take` came to."""

    taken: bool
    wait_s: float
    """Until there is room; 0 where it was taken."""


class Balance(Struct, frozen=True, kw_only=True):
    """What stands under one key."""

    spent: int = 0
    held: int = 0


class StateStore(Protocol):  # stores/state: memory
    """What several processes must agree on: holds, budgets, rates; who has a flight (a level of limit 1);
    that a target's health or a policy changed (a count that others watch).

    Amounts are integers, money is nano-dollars. Each call is atomic over all it names. Each is safe to repeat
    under the same id for ten minutes: what was lost on the way may be sent again. The time is the store's,
    never the caller's. At most one round trip a call.

    Raises, each of them:
        StoreError: the backend failed, or has no room. Nothing was changed, or the same id says what was.
    """

    async def reserve(self, id: str, levels: Sequence[Level], *, lease_s: float) -> Reserved:
        """Hold the amounts of all `levels`, or of none where one has no room.

        The hold expires after `lease_s`, which frees what it held, unless `reserve` is called again with its
        id: that is the heartbeat, and changes nothing but the lease. An id that was settled holds nothing.
        """

    async def settle(self, id: str, spent: Mapping[str, int]) -> bool:
        """Replace what `id` holds by what was spent, by key. Counts although the hold has expired, or there
        was none: money that is gone is gone. False: it was settled before, and nothing happened."""

    async def release(self, id: str) -> bool:
        """Free what `id` holds; as `settle` with nothing spent."""

    async def take(self, id: str, key: str, *, limit: int, window_s: float, count: int = 1) -> Taken:
        """Use `count` of an allowance of `limit` that comes back evenly over `window_s`. What was refused may
        be tried again under the same id."""

    async def peek(self, keys: Sequence[str]) -> Mapping[str, Balance]:
        """What stands under each of `keys`; zeros where nothing does. Seen at one moment."""

    def watch(self, prefix: str) -> AsyncIterator[str]:
        """The keys under `prefix` that change from the first item on, which is `prefix` itself. `prefix`
        again says that some were missed, and all may have changed."""

    async def aclose(self) -> None:
        """Safe to call twice."""


class VectorIndex(Protocol):  # stores/vector: lists
    """Vectors by number, found by cosine. One event loop; `search` takes at most a millisecond."""

    def add(self, key: int, vector: "Vector") -> None:
        """Keep `vector` under `key`, replacing what is there."""

    def remove(self, key: int) -> None:
        """Forget `key`; one that is not there is no error."""

    def search(self, vector: "Vector", count: int) -> Sequence[tuple[int, float]]:
        """The nearest `count` keys with their cosines, nearest first. Approximate where it says so."""

    def __len__(self) -> int: ...

    @property
    def bytes_used(self) -> int:
        """Memory the vectors and the index over them take."""


class PartitionIndex(Protocol):  # stores/vector: partitions
    """A `VectorIndex` for each partition. A search sees nothing of any other partition, not even its time."""

    def add(self, partition: bytes, key: int, vector: "Vector") -> None:
        """Keep `vector` under `key`, replacing what is there."""

    def remove(self, partition: bytes, key: int) -> None:
        """Forget `key`; one that is not there is no error."""

    def search(self, partition: bytes, vector: "Vector", count: int) -> Sequence[tuple[int, float]]:
        """As `VectorIndex.search`; nothing for a partition that is not there."""

    def __len__(self) -> int: ...

    @property
    def bytes_used(self) -> int: ...

    @property
    def changes(self) -> int:
        """How often `add` and `remove` were called."""

    async def save(self, path: Path, *, stamp: str) -> None:
        """Write it to `path`, which is replaced at once when all is on the disk; the loop goes on meanwhile.

        Raises:
            StoreError: it could not be written; the file that was there is still there.
        """

    async def restore(self, path: Path, *, stamp: str, live: "Keys") -> "Keys":
        """Read into this, which is empty, what `save` wrote with this `stamp`, of it the keys among `live`
        (ascending). Returns those of `live` that were not found.

        Raises:
            StoreError: there is none, or it is damaged or another one; this is still empty.
        """

    async def aclose(self) -> None:
        """Safe to call twice."""


# -- plug-ins: implementations outside the tree, by entry points (wiring/plugins) ---------------------


class PluginContext(Struct, frozen=True, kw_only=True):
    """What the factory of a plug-in is told besides its options."""

    name: str
    """Of the entry point."""
    where: str
    """The key of the configuration that names it, `endpoints.faq.cascade.checks.tone`."""
    log: logging.Logger
    """For what operators should know. What it says of a request must not hold the request's text."""
    state_dir: Path | None = None
    """The gateway's, where a folder of its own may be made; None: nothing is kept."""
    tiers: Mapping[str, tuple[Target, ...]] = {}
    """For a router: the targets of each tier, in the order to try them."""


class StreamPlugin(Protocol):
    """Reads one streamed answer of a provider plug-in. A new one is made for each."""

    def event(self, name: str, data: bytes) -> "Sequence[Json]":
        """The chat completion chunks that one server-sent event comes to; none is fine. The last one of an
        answer has a `finish_reason`; `usage` may stand in any of them."""


class ProviderPlugin(Protocol):  # farthing.providers
    """Maps chat completions to the dialect of a server and back. Bytes and objects alone, no I/O: the gateway
    connects, waits, retries, counts and writes down."""

    def request(self, body: Json, model: str) -> "tuple[str, Json]":
        """The path below `base_url`, as `/generate`, and the body for `model`; `body` is a client's chat
        completion request, with `stream` where a stream is wanted. It must not be changed."""

    def answer(self, body: bytes) -> Json:
        """The `chat.completion` object that a reply of status 200 is.

        Raises:
            ValueError: it is no answer.
        """

    def stream(self) -> StreamPlugin: ...

    def unsaid(self, body: Json) -> "Sequence[str]":
        """The fields of `body` that the server cannot be told: the request goes to another target then, or is
        refused by name. Never leave them out in silence."""


PluginFactory: TypeAlias = Callable[[Mapping[str, Any], PluginContext], Any]
"""What an entry point is: `factory(options, context)` gives the implementation. Called at the start and where
a reload changed what it is given, in the event loop: it must not take long. `options` is the table of the
configuration, secrets in it as plain text. An implementation with `aclose` is closed at the end."""


class RouterPlugin(Protocol):  # farthing.routers
    async def route(self, request: Request, traits: Traits) -> Route | None:
        """Where to send a request that leaves the choice to the gateway and that no rule decides: one of the
        context's tiers, or some of its targets. None: no opinion, the default tier answers.

        Names, rules, fixed answers and the fallback are not its to decide. `request.tiers` are those among
        which may be chosen; a route that leaves them is not taken.
        """


class GuardrailPlugin(Protocol):  # farthing.guardrails
    async def allows(self, texts: Sequence[str]) -> bool:
        """Whether a request with these texts may pass. A failure refuses it too."""
