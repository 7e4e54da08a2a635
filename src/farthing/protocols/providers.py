"""What a provider is: its dialect both ways, its streams, its batches, its credentials."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from farthing.config import ProviderConfig
from farthing.dialects.chat.embedded import ANY_INPUTS, InputsMax
from farthing.errors import ProviderError, ProviderRejected
from farthing.protocols.transport import Transport
from farthing.runtime.redact import Redactor
from farthing.types import (
    Dialect,
    Operation,
    Prompt,
    Target,
    Usage,
)


class Capabilities(Struct, frozen=True, kw_only=True):
    """What a provider's interface has at all; what of a request it cannot say is for `Provider.unsaid`."""

    operations: frozenset[Operation]
    all_said: bool = False
    """Every request of a client of chat completions can be said: `Provider.unsaid` is `ALL_SAID` where
    `Prompt.sent` is None."""
    batch: bool = False
    """Many questions can go up at once, to be answered within a day (`Provider.batch_api`)."""
    choices: bool = False
    """Several answers to one request (`n`)."""
    logprobs: bool = False
    inputs_max: InputsMax = ANY_INPUTS
    """What one call for embeddings takes."""
    output_tokens_min: int = 0
    """A request that is translated for it asks for no fewer tokens of output than this: fewer are refused."""
    stored_completions: bool = False
    """It keeps chat completions where they ask for it, and has them afterwards (`Provider.stored_head`)."""
    marks: bool = False
    """It writes the marks for a prompt cache that a prompt has (`Prompt.marks`)."""
    cache_key: bool = False
    """It sends the key of a prompt cache that a prompt has (`Prompt.cache_key`)."""
    counts_tokens: bool = False
    """It counts the tokens of a prompt exactly, for a call of its own (`Provider.count_call`)."""


class Unsaid(Struct, frozen=True):
    """What of a request a provider cannot be told, by the client's own names."""

    names: tuple[str, ...] = ()
    """What its dialect has no word for. It may be left out only where the configuration says so."""
    gave_way: tuple[str, ...] = ()
    """What gave way to something else in this request, as thinking does to a demanded call."""
    reasons: Mapping[str, str] = {}
    """Why a name of `names` cannot be said and what helps, in a phrase without the client's words. None for a
    name that the dialect simply has no word for."""
    operation: str = ""
    """What its interface does not have at all, as `embeddings`: nothing can be left out to help."""


ALL_SAID = Unsaid()


class Reply(Protocol):
    """A whole answer as a chat completion and what was read of it."""

    body: bytes
    usage: Usage | None
    finish_reason: str | None
    """Of the first choice."""

    own: bytes | None
    """The answer as the provider wrote it, where that is the client's own dialect and another than `body`;
    None: `body` is all there is."""
    whole_in_form: bool
    """`body` says all that the provider said; False: some of it has no place there, as tools that the
    provider ran itself, so that it is nobody else's answer."""

    @property
    def model(self) -> str:
        """What it says it was made by, cut to 128 characters; empty: it does not say."""

    @property
    def fingerprint(self) -> str:
        """Its `system_fingerprint`, as `model`."""

    @property
    def took_ms(self) -> float | None:
        """The milliseconds that its provider worked on it, waiting included, as its body says; None: it does
        not say."""

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
    """The bytes of a provider's stream in, whole chat completion chunks out; and what they said.

    Where the provider speaks the client's own dialect, and that is another, each piece is a `Told`.
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
        """The JSON of the usage chunk; None until the provider has told it."""

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

    @property
    def whole_in_form(self) -> bool:
        """The chunks say all that the provider said, as `Reply.whole_in_form`."""

    def tells_all(self, dialect: Dialect) -> bool:
        """Whether a client of `dialect` misses nothing of whatever may come that a stream of its own would
        have told it."""

    def feed(self, data: bytes) -> bytes:
        """The complete events in `data` and what was left before it, ready to send on.

        Raises:
            BadStream: it is not this dialect, or too long. ProviderSaid: an error came in place of an event;
                where the pieces are `Told`, its `own` is that event as it came.
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

    def own_end(self, cut: str | None) -> bytes | None:
        """What ends the stream in the client's own dialect, after the pieces of it that went out: as the
        provider wrote it, or, where the limit `cut` ended it, what closes it in good order. None: the pieces
        were in one form."""

    def own_whole(self, events: bytes, cut: str | None) -> bytes | None:
        """The whole answer in the client's own dialect, where it was streamed to us alone: what its pieces'
        `own`, `events`, and `own_end` come to. None: as of `own_end`."""


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


class Credentials(Protocol):  # models/credentials
    """What a provider proves itself by, where that is no fixed key. For one event loop; sans-I/O but for
    `ready`."""

    async def ready(self, within_s: float) -> int:
        """Return once there are credentials that hold for this call: their number, for `refused`.

        Without any I/O while those that are held are good for minutes. They are replaced ahead of time, in
        the background, by one fetch at a time; while that fails, those that still hold are used.

        Raises:
            ProviderUnavailable, ProviderTimeout: none are held, and who issues them cannot be asked now, or
                not within `within_s` seconds.
            KeyRejected: who issues them refuses what the configuration or the environment gives.
        """

    def refused(self, number: int) -> bool:
        """The provider did not take the credentials of that number. Whether another call with new ones may
        help; False: these are new themselves. Those of another number than are held now change nothing."""


class BearerToken(Credentials, Protocol):
    """A token that is one header line."""

    @property
    def line(self) -> bytes:
        """The line, with its end, as `authorization: Bearer …`; empty before the first `ready`."""


class SigningKeys(NamedTuple):
    """Keys that requests to AWS are signed with."""

    access_key: str
    secret: str
    session_token: str | None


class AwsCredentials(Credentials, Protocol):
    """Keys of AWS."""

    @property
    def keys(self) -> SigningKeys | None:
        """None before the first `ready`."""


class Provider(Protocol):  # models/providers: openai | anthropic
    """Maps between the client's dialect and one provider's. Sans-I/O: bytes in, bytes out."""

    name: str
    capabilities: Capabilities
    redact: Redactor
    """Knows the secrets that nothing it says may repeat."""
    credentials: Credentials | None
    """Whoever calls it awaits their `ready` before the head is written, and tells them if it refuses them.
    None: its key is fixed, or it has none."""

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

    def decoder(
        self,
        event_bytes_max: int,
        prompt: Prompt | None = None,
        headers: Mapping[bytes, bytes] | None = None,
    ) -> StreamDecoder:
        """What reads one streamed reply to `prompt`, whose head has `headers`; None: they are not known. No
        event is longer than `event_bytes_max`."""

    def failure(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> ProviderError:
        """What a reply of another status than success means."""

    def learn(self, prompt: Prompt, target: Target, error: ProviderRejected) -> bool:
        """Learn from a refusal what `target` does not take. Whether `prompt` would be sent otherwise now, so
        that another call may help; False: nothing was learnt, or nothing that may be left out here."""

    def in_answer(self, payload: bytes) -> ProviderError:
        """What an error means that came in place of an answer, or of a part of one."""

    def down(self, headers: Mapping[bytes, bytes], request_id: str) -> tuple[bytes, str]:
        """The header lines of a reply that the client gets, and the provider's own id of it."""

    def took(self, headers: Mapping[bytes, bytes]) -> float | None:
        """The milliseconds that it worked on a call until it began its reply, or had all of it where it is no
        stream, as the head of the reply says. None: it does not say."""

    def list_head(self) -> bytes:
        """The head of the call that lists its models: an object with `data`, a list of objects with `id`."""

    def stored_head(self, method: str, below: str, content_type: str | None = None) -> bytes:
        """The head of a call about a chat completion that it keeps, which is asked for at `below`, as
        `/chatcmpl-1/messages?limit=2`. Only where `capabilities.stored_completions`."""

    def list_calls(self) -> tuple[tuple[Any, bytes], ...]:
        """The calls that list its models, as most have one: where each goes, and its head."""

    def listed(self, body: bytes) -> bytes:
        """A reply to one of `list_calls` in the form that `list_head` says."""

    def count_call(
        self, prompt: Prompt, target: Target, request_id: str, passed: tuple[tuple[str, str], ...] = ()
    ) -> tuple[bytes, bytes] | None:
        """Head and body of the call that counts the tokens of `prompt`; None where it has none. `passed`: as
        of `encode`."""

    def counted(self, body: bytes) -> int:
        """The tokens that a reply of status 200 to `count_call` tells.

        Raises:
            ProviderError: it tells none.
        """

    def batch_api(self, transport: Transport, limits: ProviderConfig) -> BatchApi | None:
        """Its batches, called over `transport`; None where it has none, or is not to use them."""
