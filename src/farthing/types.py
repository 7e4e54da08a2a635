"""The nouns of Farthing. Everything here is frozen except `Receipt`, which is written as we go.

Units are in the names: `_s` seconds of the monotonic clock, `_ms` milliseconds, `_bytes`, `_tokens`,
`_nusd` integer nano-dollars (10**-9 US dollars; see docs/decisions/0003), `_pusd` integer pico-dollars
(10**-12), which is what one token costs at one micro-dollar per million tokens.
"""

from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field

CacheKind = Literal["miss", "exact", "semantic", "coalesced", "off"]
Operation = Literal[
    "chat",
    "embeddings",
    "completions",
    "moderations",
    "images/generations",
    "images/edits",
    "images/variations",
    "audio/speech",
    "audio/transcriptions",
    "audio/translations",
    "rerank",
]
"""What is asked for. All but the first two are passed through (`dialects/passing`)."""
OF_TEXT: Final = frozenset({"chat", "completions"})
"""Operations that the models of every tier could have answered: chat models neither embed nor draw."""
Dialect = Literal["chat", "messages", "completions", "responses"]
"""A wire form: OpenAI's chat completions, Anthropic's Messages, OpenAI's completions of before chat and its
Responses."""
Json = dict[str, Any]

UNKNOWN = "unknown"
OUTPUT_TOKENS_MAX = 100_000_000  # above any context window
CHOICES_MAX = 1_000_000  # above what anybody gives at once


# -- who asks, under which terms --------------------------------------------------------------------


class Scope(Struct, frozen=True, kw_only=True):
    """What may be asked for by name and what may be chosen: an allow-list, resolved for one configuration."""

    names: frozenset[str]
    """Every name that may be asked for, as far as the configuration knows it."""
    begins: tuple[str, ...] = ()
    """What other names may begin with."""
    opens: tuple[str, ...] = ()
    """Those of them that say at which provider: models that nothing else names may be asked for there."""
    named_tiers: frozenset[str] = frozenset()
    """Tiers that may be asked for where nothing but a tier can be named."""
    tiers: tuple[str, ...] | None = None
    """Tiers among which may be chosen where the client leaves the choice; None: all."""


class Tenant(Struct, frozen=True, kw_only=True):
    """Whom a key belongs to. Caches, sessions and single flight never cross tenants."""

    name: str
    plan: str = ""
    endpoint: str | None = None
    """The endpoint every request with this key goes to, or None."""
    key: str = ""
    """What the key is known by in receipts; never anything of the key itself. Empty: none was asked for."""
    scope: Scope | None = None
    """What its key may ask for, that of its endpoint included; None: anything."""


class Terms(Struct, frozen=True, kw_only=True):
    """The contract of an endpoint for one request or one session. None is no limit."""

    calls_max: int | None = None
    target_s: float | None = None
    """What the report holds the endpoint to. Never cuts anything."""
    deadline_s: float | None = None
    input_tokens_max: int | None = None
    output_tokens_max: int | None = None
    usd_max_nusd: int | None = None
    on_limit: Literal["partial", "refuse"] = "partial"


NO_TERMS = Terms()


Slot = Literal["name", "amount", "date"]


class CertifiedLanguage(Struct, frozen=True, kw_only=True):
    """What a certificate says of one language."""

    language: str
    threshold: float
    until_unix_s: float


class Semantics(Struct, frozen=True, kw_only=True):
    """The terms under which an endpoint may answer with what was said to a similar question."""

    mode: Literal["observe", "on"]
    """`observe`: say what would have been served, serve nothing."""
    threshold: float | None = None
    """Probability from which the verifier serves, of the configuration or of the certificate. None: the
    verifier's own, which is for observing alone."""
    risk_max: float = 0.01
    """Share of served answers that may be wrong."""
    confidence: float = 0.95
    audit_share: float = 0.05
    """Share of would-be hits that are answered anew and compared."""
    personal: bool = False
    """Questions and answers that look personal or bound to a moment may be kept."""
    never: tuple[str, ...] = ()
    """Phrases, normalised, whose questions are never kept or answered from here."""
    adapt: tuple[Slot, ...] = ()
    """What may be filled anew in a stored answer; empty: answers are served as they are."""
    documents: str = ""
    """Version of the documents the answers come from; another version is another partition."""
    tags: tuple[str, ...] = ()
    """Written on every entry, for invalidation."""
    stale: Literal["drop", "check"] = "drop"
    """What invalidation does to an entry: forget it, or trust it no more until a fresh answer agrees."""
    ttl_s: float = 604_800.0
    until_unix_s: float | None = None
    """When the certificate behind the threshold has run out, and nothing is served any more. None: never."""
    languages: tuple[str, ...] = ("en",)
    """Whose questions are looked up and kept. The threshold is that of English, the others' are in
    `certified`."""
    certified: tuple[CertifiedLanguage, ...] = ()
    """Languages beside English that may be served; those without a certificate are observed."""
    counted: bool = True
    """False, for one request: nobody asked by chance (`no-cache`, a background job), so it counts neither
    as an ask nor for the bound."""


class Endpoint(Struct, frozen=True, kw_only=True):
    """A named use of LLMs with its own contract: `support-faq`, `summarise-ticket`."""

    name: str
    task: str | None = None
    """The task of every request here; None leaves it to the classifier."""
    tier: str | None = None
    """The tier of every request here; None leaves it to the router."""
    terms: Terms = NO_TERMS
    cache_exact: Literal["off", "observe", "on", "refresh"] = "on"
    """`refresh`, for one request: what is stored is not read, and its answer takes the place of it."""
    cache_reuse: Literal["repeatable", "always"] = "repeatable"
    """Which requests may be answered from memory: those that can be answered the same way twice, or also
    those that ask for a sample or for another answer."""
    cache_again_s: float = 0.0
    """A session or user that asks the same again within this gets a fresh answer; 0: a hit as any other."""
    cache_ttl_s: float | None = None
    """How long an answer of this endpoint may be served again; None is the cache's own setting."""
    semantic: Semantics | None = None
    """None: only the same question gets a stored answer."""
    baseline: str | None = None
    """Target `provider/model` that savings are measured against; None is the gateway's."""
    scope: Scope | None = None
    """What may be asked for here; None: anything."""
    store_responses: bool = False
    """Whether a client of Responses may have its response kept."""
    residency: tuple[str, ...] = ()
    """Regions and areas that its requests must not leave; empty: they may go anywhere."""

    def asked_anew(self) -> "Endpoint":
        """As it is for one request that wants a fresh answer: what is stored is not read, and the fresh one
        takes the place of it."""
        semantic = self.semantic
        if semantic is not None:
            semantic = replace(semantic, mode="observe", counted=False)
        exact = "refresh" if self.cache_exact == "on" else self.cache_exact
        return replace(self, cache_exact=exact, semantic=semantic)  # type: ignore[no-any-return]


DEFAULT_ENDPOINT = Endpoint(name="default")
"""Where a request goes that names no endpoint: no terms."""


class Keep(Struct, frozen=True, kw_only=True):
    """What a client of Responses is to find kept afterwards, and what it continues."""

    id: str
    """Of the response, for its client and in the store; empty: it is not kept."""
    previous: str
    """The id of the response that it continues; empty: none."""
    demanded: bool
    """The client said so: it would rather have an error than a response that is not kept."""
    shows_encrypted: bool
    """The client asked for the encrypted content of reasoning; else that is kept and not told."""


class Sent(Struct, frozen=True, kw_only=True):
    """A request as its client sent it, in another dialect than the one that the pipeline reads.

    A provider that speaks `dialect` gets these very bytes but for the fields that had to change, as long as
    nobody on the way has edited `read`. Its answer is then passed on as it comes (`Told`, `Answer.own`).
    """

    dialect: Dialect
    raw: bytes
    """The body, byte for byte."""
    body: Json
    """The same, decoded. Never changed."""
    read: Json
    """The same as a chat completion: while a prompt's body is this very object, nobody has edited it."""
    exact: bool = True
    """What was decoded is all that `raw` says; False: an object in it has a name twice, so that two parsers
    may read two requests, and `body` is what goes up."""
    beta: bool = False
    """Of Messages: it came by the path of beta requests (`?beta=true`), and goes up by it."""
    betas: str = ""
    """Of Messages: the value of its header `anthropic-beta`."""
    operation: Operation | None = None
    """What is passed through, `raw` as it is but for its model; None: nothing is."""
    content_type: str = ""
    """Of such a request: the type of `raw`."""
    is_form: bool = False
    model_at: tuple[int, int] | None = None
    """Of a form: where in `raw` its model is named; None: nowhere."""
    unsigned: bool = False
    """Of Messages: thinking or a citation in it has no signature, as that of another provider has none. Of
    Responses: its `input` has reasoning or a compaction that this gateway made, which no provider reads."""
    sealed: bool = False
    """Of Responses: its `input` has encrypted content of a provider, which no other can read."""
    compacts: Literal["", "item", "path"] = ""
    """Of Responses: it asks for one `compaction` item in place of an answer, by its last item or by the path
    `/responses/compact`."""
    keep: Keep | None = None
    """Of Responses: None: nothing is kept, and nothing is continued."""


def edited(dialect: Dialect) -> Sent:
    """What stands for a request of which the translation alone is there: as of one that was edited."""
    return Sent(dialect=dialect, raw=b"", body={}, read={})


class Request(Struct, frozen=True, kw_only=True):
    """What the client asked for, as a chat completion: the form that every step reads.

    `body` is the decoded JSON object with every field the client sent, known or not; it is never
    changed in place. The fields beside it are the few that Farthing itself reads. Of a client of another
    dialect `body` is a translation that leaves nothing out, and `sent` is what it was made from.
    """

    id: str
    tenant: Tenant
    endpoint: Endpoint
    operation: Operation
    model: str
    """As the client named it; where that is an alias of an endpoint, the endpoint: `farthing/NAME`."""
    body: Json
    text: str
    """The text of the last user message (or of an embeddings input): what is classified and guarded."""
    prompt_chars: int
    """Characters of text in all messages, tools included; never the data of images, audio and files."""
    stream: bool = False
    include_usage: bool = False
    """The client asked for the usage chunk of a stream (`stream_options.include_usage`)."""
    output_tokens_max: int | None = None
    session: str | None = None
    user: str = ""
    """Digest of the client's `user` field or `user_id`, keyed; empty when there was none."""
    task_type: str | None = None
    """The client's own word for the task; wins over the classifier."""
    tier: str | None = None
    """A tier the client named (`/llm-inference`); wins over the router's rules."""
    tiers: tuple[str, ...] | None = None
    """Tiers among which may be chosen where the client leaves the choice; None: all."""
    language: str | None = None
    retrieval: bool = False
    """The prompt carries retrieved passages (said by the client until Farthing retrieves itself)."""
    context_tokens: int = 0
    documents: tuple[str, ...] = ()
    """The documents the answer will come from, `id` or `id@version`, as the client named them; sorted."""
    received_s: float = 0.0
    """Monotonic time at which the last byte of the request was read."""
    alias: str = ""
    """What the client wrote for `model`, where an endpoint was named in other words."""
    media_tokens: int = 0
    """Estimate of the tokens of images, audio and files, which are no text."""
    own: bool = False
    """The gateway's own, no client's: never explored, and on no trial."""
    passed: tuple[tuple[str, str], ...] = ()
    """Headers of the client that go up to providers, names in lower case, sorted."""
    sent: Sent | None = None
    """The request in the client's own dialect; None: that is the one of `body`."""
    agent: str = ""
    """Which of several agents of one session asks, in the client's words; empty: it does not say."""


class Traits(Struct, frozen=True, kw_only=True):
    """What the classifier could tell about a request. The defaults mean "we know nothing"."""

    task: str = UNKNOWN
    complexity: float = 1.0
    """0 trivial .. 1 hardest; unknown is treated as hardest."""
    risk: str = UNKNOWN
    """`low`, or the reason for care: legal, medical, financial, compliance, personal, side_effects."""
    domain: str = UNKNOWN
    language: str = UNKNOWN
    """ISO 639-1 code, or `unknown`."""
    input_tokens: int = 0
    """Estimate of the prompt's tokens; exact counts come from the provider's usage."""
    retrieval: bool = False
    context_tokens: int = 0
    media_tokens: int = 0
    """The part of `input_tokens` that is images, audio and files."""


# -- what can answer --------------------------------------------------------------------------------


class Price(Struct, frozen=True, kw_only=True):
    """Pico-dollars for one token, from a date on. A None is unknown, never free."""

    since: str
    """ISO date from which this price holds (`2025-08-07`); `0000-00-00` when it always did."""
    input_pusd: int
    output_pusd: int
    cached_input_pusd: int | None = None
    cache_write_pusd: int | None = None
    """Of input that is written to the provider's prefix cache for its ordinary time (5 or 30 minutes)."""
    batch_input_pusd: int | None = None
    batch_output_pusd: int | None = None
    long_over_tokens: int | None = None
    """A prompt of more tokens than this is charged at `long`, all of it; None: one price at any length."""
    long: "Price | None" = None
    cache_write_long_pusd: int | None = None
    """Of input that is written to the prefix cache for its long time (1 or 12 hours)."""
    audio_input_pusd: int | None = None
    """None, here and in the next three: as text."""
    audio_output_pusd: int | None = None
    image_input_pusd: int | None = None
    image_output_pusd: int | None = None
    cached_audio_pusd: int | None = None
    """Of audio and, next, of images read from the prefix cache; None: unknown where fresh ones have a price
    of their own, else as cached text."""
    cached_image_pusd: int | None = None
    reasoning_pusd: int | None = None
    """None: as all output."""
    request_pusd: int = 0
    """For one call, whatever is in it."""
    tiers: dict[str, "Price"] = {}
    """What the provider's other service tiers charge instead (`priority`, `flex`)."""
    factors: dict[str, Fraction] = {}
    """What a tier, a speed or a region multiplies the price of every token by (`fast`,
    `inference_geo_us`)."""
    fees_pusd: dict[str, int] = {}
    """For one use of what is charged by the use (`web_search`), whatever its tokens."""


class Features(Struct, frozen=True, kw_only=True):
    """What a list says that a model can and cannot do. A word that is in neither: nobody knows."""

    can: frozenset[str] = frozenset()
    """Of `FEATURES`."""
    cannot: frozenset[str] = frozenset()
    efforts: tuple[str, ...] = ()
    """Values of `reasoning_effort`, the least first; empty: not known."""
    endpoints: tuple[str, ...] = ()
    """Where it answers: `chat`, `responses`, `messages`, `completions`, `batch`; empty: not known."""
    cache_tokens_min: int | None = None
    """The shortest prefix that its provider caches."""


NOTHING_SAID = Features()
FEATURES = (
    "vision",
    "audio_in",
    "audio_out",
    "video",
    "documents",
    "tools",
    "parallel_tools",
    "forced_tools",
    "structured_output",
    "reasoning",
    "adaptive_thinking",
    "effort",
    "prompt_caching",
    "sampling",
    "max_completion_tokens",
    "prefill",
    "system_in_place",
    "web_search",
    "computer_use",
)
"""What a catalogue can say of a model; `sampling` is temperature and its like, `max_completion_tokens` the
name by which it wants the limit of its output."""


class Model(Struct, frozen=True, kw_only=True):
    """One entry of the catalogue."""

    provider: str
    model: str
    context_tokens_max: int | None = None
    output_tokens_max: int | None = None
    prices: tuple[Price, ...] = ()
    """Oldest first. Empty: unpriced."""
    operation: Operation = "chat"
    asked_as: str = ""
    """The name to ask by where that is another: a dated one, or a deployment's own."""
    features: Features = NOTHING_SAID
    released: str = ""
    """ISO date, or month; empty, here and in the next: not known."""
    retires: str = ""
    """ISO date from which its provider does not answer for it."""
    deprecated: bool = False
    checked: str = ""
    """Whether two lists have the same price, `agrees` or `differs`; empty: only one has any."""


class Target(Struct, frozen=True, kw_only=True):
    """One model at one provider. `name` is `provider/model`, as the configuration writes it."""

    name: str
    provider: str
    model: str
    price: Price | None = None
    context_tokens_max: int | None = None
    output_tokens_max: int | None = None
    features: Features = NOTHING_SAID
    lacks: frozenset[str] = frozenset()
    """What of a request it is known not to take: of `features.cannot`, what a request may ask for."""


class Route(Struct, frozen=True, kw_only=True):
    """Targets in the order to try them, and why in one phrase a person can read.

    `escalation` is the route to take when the answer of this one is not good enough (`evaluation`).
    `fixed` is text that answers without any LLM: the tier `none`.
    """

    tier: str
    targets: tuple[Target, ...]
    reason: str
    escalation: "Route | None" = None
    fixed: str | None = None
    pinned: bool = False
    """The client named the model: nothing was chosen, so nothing is saved by choosing."""
    score: float | None = None
    """The router's, of its cheap tier: 1 less the loss it expects there, so over 1 where it expects a gain.
    None: nothing was predicted."""
    by: str = ""
    """Name and version of what gave the score; empty when nothing did."""
    policy: str = ""
    """The version of the endpoint's routing policy that decided, `faq@3`; empty: the configuration alone."""
    propensity: float = 1.0
    """Probability with which a request like this one is explored, or is not, as this one."""
    shadow: "Route | None" = None
    """Asked too, behind the answer, so that both can be compared: what the client gets is never this."""
    tiers: Mapping[str, str] = {}
    """The tiers of those of `targets` that are asked as another one's, by their names."""


def output_tokens_said(said: Any) -> int | None:
    """The most tokens of output that `max_tokens` and its kin say; None where they say none.

    Of -1 and 0 a provider makes what it will, mostly no limit at all, and a number above every context window
    says no more. The one that is there goes to the provider as it was sent.
    """
    if said.__class__ is int or said.__class__ is float:
        return ceil(said) if 0 < said <= OUTPUT_TOKENS_MAX else None
    return None


def choices_said(body: Json) -> int:
    """How many answers a body asks for at once (`n`, any number); one where it says none."""
    said = body.get("n")
    return ceil(min(said, CHOICES_MAX)) if isinstance(said, int | float) and said > 1 else 1


class TokenCount(Struct, frozen=True, kw_only=True):
    """How many tokens a prompt has for one model, and how sure that is."""

    tokens: int
    low: int
    """Of 100 prompts like this one, 5 have fewer; `tokens` where it is exact."""
    high: int
    """Of 100 prompts like this one, 5 have more."""
    least: int
    """Fewer than this it surely has not, whatever a provider has stated: what may be refused by."""
    exact: bool = False
    """Counted with the model's own vocabulary, or by its provider."""

    @property
    def error_share(self) -> float:
        """The larger of the two distances to `low` and `high`, as a share of `tokens`."""
        if self.exact or not self.tokens:
            return 0.0
        return max(self.tokens - self.low, self.high - self.tokens) / self.tokens


class Passage(Struct, frozen=True, kw_only=True):
    """A retrieved text."""

    text: str
    source: str
    """What it is from, `id` or `id@version`, as `Request.documents` has it."""
    score: float | None = None
    """How well it fits, on a scale of the retriever's own; None: it has none."""
    tokens: int = 0
    """Estimate; 0: none was made."""


class Passages(Struct, frozen=True, kw_only=True):
    """What was retrieved for one request, best first; may be empty."""

    passages: tuple[Passage, ...] = ()


class CacheMarks(Struct, frozen=True, kw_only=True):
    """Marks for a provider's prompt cache: places behind which it finds again what stands before them. Each
    says how long that stays, `5m` or `1h`; empty: the place is not marked. Places are in the order of the
    prompt, and none stays longer than one before it."""

    tools: str = ""
    """Behind the last tool."""
    system: str = ""
    """Behind the instructions that stand before all else."""
    turns: str = ""
    """Behind the last turn, and some blocks before it where there are many (`dialects.marking`)."""
    reserved_nusd: int = 0
    """What their writes cost more than plain input, if nothing reads them."""


PrefillForm = Literal["last", "prefix", "prefix_repeated", "continue_final_message"]
"""How a target is shown what it is to go on with: a last message of the assistant, that and `prefix` (which
it may repeat before it goes on), or that and vLLM's fields for it."""


class Prefill(Struct, frozen=True):
    """The beginning of an answer, which the model is to go on with."""

    text: str
    form: PrefillForm


class Prompt(Struct, frozen=True, kw_only=True):
    """What is sent upstream: the request after retrieval and composition, not yet for one target."""

    body: Json
    input_tokens: int
    """Estimate of the prompt's tokens."""
    input_tokens_bound: int | None
    """More tokens than this the prompt cannot have; None when no term of the endpoint asks for it."""
    output_tokens_max: int | None
    """The client's own cap or the endpoint's, whichever is lower; None: neither has one."""
    stream: bool
    capped_by: str | None = None
    """The limit of the endpoint that lowered the cap, as `output_tokens_max`; None when none did."""
    images: int = 0
    """How many there are; known, as `dearer` is, only where `input_tokens_bound` is."""
    dearer: frozenset[str] = frozenset()
    """What the client asked for that may cost more than plain tokens, by the names of `worst_case_nusd`."""
    sent: Sent | None = None
    """As `Request.sent`; whether `body` is still what it was read into is for who writes it to see."""
    media_tokens: int = 0
    """The part of `input_tokens` that is images, audio and files, as no model in particular counts them."""
    marks: CacheMarks | None = None
    """What we mark for the provider's prompt cache, where the client marked nothing; None: nothing."""
    cache_key: str = ""
    """By which the provider finds its prompt cache, where the client named none; empty: it is told none."""
    prefill: Prefill | None = None
    """What the answer is to go on with, behind all of `body`; None: nothing."""


# -- what comes back --------------------------------------------------------------------------------


class Usage(Struct, frozen=True, kw_only=True, array_like=True):
    """Tokens as the provider counted them; `estimated` when it did not say and we counted.

    The classes do not overlap: of `input_tokens` each is at most one of cached, written, audio and image.
    New fields go to the end, with a default.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """The part of `input_tokens` the provider read from its prefix cache."""
    reasoning_tokens: int = 0
    """The part of `output_tokens` that was reasoning."""
    estimated: bool = False
    cache_write_5m_tokens: int = 0
    """The part of `input_tokens` the provider wrote to its prefix cache, by how long it stays there."""
    cache_write_30m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_write_12h_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    tier: str = ""
    """Service tier or speed that ran, as `priority`, `flex`, `fast`; empty: the provider's standard one."""
    region: str = ""
    """What a factor of the price is named after, as `inference_geo_us`; empty: none was told."""
    fees: dict[str, int] | None = None
    """Uses of what is charged by the use, as `web_search`; None: none that shows."""
    told_nusd: int | None = None
    """What the provider itself says it charged; None: it does not say, or its word is not taken."""
    cached_audio_tokens: int = 0
    """The part of `cached_tokens` that was audio and, next, that was images."""
    cached_image_tokens: int = 0
    passes: "tuple[Pass, ...] | None" = None
    """What each run of a model used, where the call took several: an earlier turn, a compaction, an adviser.
    Tokens are charged by these, each by the price of its model at its length; those of other models are in
    none of the counts above. None: the counts are of one run."""
    cache_untold: bool = False
    """What was read from a prefix cache is in no field of the provider's usage: its 0 above is no count."""


class Pass(Struct, frozen=True, kw_only=True, array_like=True):
    """One run of a model within a call. New fields go to the end, with a default."""

    model: str = ""
    """The provider's name of it; empty: the model that was called."""
    usage: Usage
    """Its tokens, tier and region; fees and the provider's own word are the call's."""


class Answer(Struct, frozen=True, kw_only=True):
    """The last bytes for the client: a whole answer, or what closes a stream already begun."""

    body: bytes
    """As a chat completion, or the events of one."""
    stream: bool = False
    own: bytes | None = None
    """The same as the provider wrote it in the client's own dialect, which the client gets then; None: it is
    to be written from `body`."""


class CacheHit(Struct, frozen=True, kw_only=True):
    """A stored complete answer. `similarity` is 1.0 for an exact one."""

    kind: Literal["exact", "semantic"]
    body: bytes
    """The JSON of a whole answer; with `streamed`, the events of a stream without usage and `[DONE]`."""
    target: str
    """Name of the target that produced it."""
    usage: Usage
    cost_nusd: int | None
    """What producing it cost; None when it was unpriced."""
    similarity: float = 1.0
    streamed: bool = False
    usage_event: bytes | None = None
    """The JSON of the usage chunk of a streamed answer."""
    finish_reason: str = "stop"
    """Another one only where a call is shared: what is stored ended by itself."""


class Verdict(Struct, frozen=True, kw_only=True):
    """What the verifier thinks of giving a stored answer to another question."""

    outcome: Literal["serve", "abstain", "miss"]
    """`abstain`: it cannot tell; a model may be asked to confirm, else it is a miss."""
    probability: float
    """Calibrated: that the stored answer is right for what is asked now."""
    reason: str = ""
    """What decided, for people: `numbers differ`, `negation`, `pair model 0.97`."""


class HitCandidate(Struct, frozen=True, kw_only=True):
    """A stored answer that may fit a question, and what the verifier says of it."""

    entry: str
    """Id of the entry, for tracing and purging."""
    question: str
    """What the stored answer was given to."""
    hit: CacheHit
    """Of kind `semantic`; its similarity is the cosine. Adapted, where the endpoint allows it."""
    verdict: Verdict


class CacheLookup(Struct, kw_only=True):
    """One question put to the semantic cache, and what it had. Given back with the fresh answer."""

    partition: bytes
    """Digest of everything that must be equal; the question's wording alone may differ."""
    question: str
    vector: Any
    """Unit vector of the question, as the embedder gave it."""
    language: str = "en"
    """What the question was taken to be in; one that the endpoint allows."""
    candidate: HitCandidate | None = None
    """The best candidate whatever its verdict; None when nothing is near."""
    serves: bool = False
    """The candidate may go out as the answer."""
    audited: bool = False
    """It could have, and was drawn to be compared with a fresh answer instead."""
    doubted: bool = False
    """The candidate has lost its trust; a fresh answer that agrees restores it."""
    unsure: bool = False
    """The verifier cannot tell, and a model may be asked whether the candidate serves."""
    confirmed: bool = False
    """A model was, and said yes: the verifier's probability says nothing of this candidate."""


class Comparison(Struct, frozen=True, kw_only=True):
    """A stored answer beside a fresh one, for a judge to say whether both say the same."""

    entry: str
    partition: bytes
    tenant: Tenant
    endpoint: str
    request_id: str
    """The request that the fresh answer was given to."""
    asked: str
    stored_question: str
    fresh: str
    """Text of the fresh answer."""
    stored: str
    counts: bool = True
    """The stored answer would have been served: the outcome counts for the bound."""
    documents: tuple[str, ...] = ()
    """What the request named, as it named them."""


class CandidateAnswer(Struct, frozen=True, kw_only=True):
    """An answer that is not out yet, for checks to say whether it may go."""

    request: Request
    target: Target
    text: str
    """Of the first choice; empty when it has none (tool calls)."""
    finish_reason: str | None
    logprobs: tuple[float, ...] | None = None
    """Of the answer's tokens, where the provider gave them."""
    margins: tuple[float, ...] | None = None
    """Of each token the logprob less that of the likeliest other one, where the provider gave both; below
    zero where another was likelier."""
    tool_calls: tuple[tuple[str, str], ...] = ()
    """Name and arguments, JSON or what was to be, of the tools that are to be called."""


class CheckResult(Struct, frozen=True, kw_only=True):
    """What a check found."""

    reason: str | None
    """Why the answer is not good enough, as a phrase for the receipt; None: nothing speaks against it."""
    score: float | None = None
    """How sure the check is that the answer is good, from 0 to 1; None: it has no measure."""


class Signal(Struct, frozen=True, kw_only=True, array_like=True):
    """One thing learned about the quality of an answer after it was given. A row of the ledger.

    New fields go to the end, with a default. Only signals of the tenant whose request it was count.
    """

    request_id: str
    """Of the client's request."""
    at_unix_s: float
    source: Literal["judge", "feedback", "check", "reask"]
    quality: float | None
    """From 0 to 1; None: it was looked at and could not be told."""
    kind: str = ""
    """`pairwise`, `rubric`; `thumb`, `rating`; the name of the check."""
    tier: str = ""
    """Whose answer this is about; empty: the answer the client got."""
    target: str = ""
    other: str = ""
    """The tier whose answer it was compared with; empty: with none."""
    by: str = ""
    """The judge's target; empty: nobody was asked."""
    consistent: bool | None = None
    """Whether a judge said the same with the order of the answers swapped; None: asked in one order."""
    tenant: str = ""
    endpoint: str = ""
    detail: str = ""
    """At most 200 characters, for people; never text of a question or an answer."""


# -- the receipt ------------------------------------------------------------------------------------


HEDGE_LOST: Final = "hedge_lost"
"""The error of an attempt that was dropped because the one beside it had begun to answer."""


PromptCacheResult = Literal[
    "read", "first", "short", "unmarked", "changed", "model", "key", "idle", "untold", "evicted"
]
"""What became of a prompt at its provider's prompt cache: all that could be read was, or why it was not."""


class PromptCacheUse(Struct, frozen=True, kw_only=True, array_like=True):
    """What one call had from its provider's prompt cache, and what it missed. Money is by our prices, signed;
    None is unknown. New fields go to the end, with a default."""

    result: PromptCacheResult
    missed_tokens: int | None = None
    """What the session had sent before and was not read; of its first prompt, the tools and system prompt
    that its tenant had sent in another session. None: the provider does not tell."""
    missed_nusd: int | None = None
    """What that cost more than if it had been read."""
    saved_nusd: int | None = None
    """What the call would have cost without a prompt cache, less what it cost: below zero where writes cost
    more than reads saved."""
    written_nusd: int | None = None
    """What writes cost more than plain input."""
    segment: str = ""
    """Where the prompt first differs from the one before, if that is the reason: `tools`, `system`,
    `message 3`, counted from 0."""
    byte: int | None = None
    """The byte of the segment, marks not counted, to within 1,024 before the change."""
    idle_s: float | None = None
    """Seconds since the session last used this cache. None: it never did."""
    switched_from: str = ""
    """The target that the session used before, where it has changed."""
    marked: bool = False
    """The marks by which it was cached are ours: the client had set none."""


class Attempt(Struct, kw_only=True, array_like=True):
    """One call of one target."""

    target: str
    tier: str
    started_ms: float
    """Since the request was received."""
    ttft_ms: float | None = None
    total_ms: float | None = None
    status: int | None = None
    error: str | None = None
    usage: Usage | None = None
    cost_nusd: int | None = None
    """What is booked: the provider's own word where it is taken (`usage.told_nusd`), else our reckoning."""
    upstream_id: str = ""
    """The provider's own id of the call, for its support; empty when it gave none."""
    reckoned_nusd: int | None = None
    """Where the provider's word was booked: what our prices make of the same usage."""
    unpriced: str = ""
    """What has no price, where that makes the cost unknown: `cache_write_1h`, `tier flex`, `web_search`."""
    left_out: str = ""
    """Fields of the request that its provider has no word for and may leave out, as `seed, store`."""
    prompt_cache: PromptCacheUse | None = None
    """None: not measured, as of a prompt too short to be cached, or by an older version."""
    lane: str = ""
    """Which of its provider's addresses and keys was called, as `key 2` or `replica eu-1`; empty: it has no
    others."""
    hedge: bool = False
    """It was made beside the one before it, which was slow to begin."""
    model: str = ""
    """What the answer says it was made by, at most 128 characters; empty: it does not say."""
    fingerprint: str = ""
    """The `system_fingerprint` of the answer, as `model`."""
    connect_ms: float | None = None
    """Opening the connection, TLS and any proxy included; None: one was open, or that is not known."""
    tls_ms: float | None = None
    """The part of `connect_ms` that TLS took; None also where there is no TLS."""
    rtt_ms: float | None = None
    """Round-trip time to the provider or its proxy, as the system estimated it last; None: unknown."""
    provider_ms: float | None = None
    """What the provider says it worked on the call; None: it does not say."""
    network_ms: float | None = None
    """What the call took beside that, until the same point: the network, and servers that the provider does
    not count. None: unknown."""
    continues: bool = False
    """It was asked to go on with the answer that broke off before it."""


PAUSED, OPEN, EJECTED, FULL = "paused", "breaker_open", "ejected", "full"
LEFT_FOR_NOW = frozenset({PAUSED, OPEN, EJECTED, FULL})
"""Why a target is left: it asked for a pause, its breaker is open, others of its route do much better, or it
has as much to do as it takes."""


def is_left_for_now(skipped: str) -> bool:
    """Whether what a receipt says of a target that was passed over is no reason a while later."""
    return skipped.partition(" ")[0] in LEFT_FOR_NOW


class Receipt(Struct, kw_only=True, array_like=True):
    """What one request cost, saved and went through. Written by the pipeline, read by the ledger.

    Every request leaves exactly one, whatever happened. None means unknown and is shown as unknown.
    Field order is the order on disk (`array_like`, as in `Attempt` and `Usage`, keeps rows small):
    new fields go to the end, with a default.
    """

    request_id: str
    at_unix_s: float
    """Wall-clock time of arrival: for people and reports, never for measuring."""
    started_s: float
    """Monotonic time of arrival; meaningless outside this process."""
    tenant: str = ""
    user: str = ""
    endpoint: str = "default"
    session: str | None = None
    operation: str = "chat"
    model_asked: str = ""
    stream: bool = False
    task_type: str = UNKNOWN
    complexity: float = 1.0
    risk: str = UNKNOWN
    domain: str = UNKNOWN
    language: str = UNKNOWN
    tier: str = ""
    target: str = ""
    """`provider/model` that answered; empty when none did."""
    cache: CacheKind = "off"
    similarity: float | None = None
    cache_would_hit: bool = False
    """The cache only observes, and would have answered."""
    route_reason: str = ""
    route_score: float | None = None
    propensity: float = 1.0
    usage: Usage | None = None
    attempts: list[Attempt] = field(default_factory=list)
    calls: int = 0
    """LLM calls made, repairs, retries and escalations included."""
    cost_nusd: int | None = 0
    """What the providers charged; None when a call was made whose price or usage is unknown."""
    baseline_nusd: int | None = None
    """What the declared baseline would have charged for the same answer; None when unknown."""
    baseline_target: str = ""
    ttft_ms: float | None = None
    total_ms: float = 0.0
    model_ms: float = 0.0
    """Waiting for providers, over all attempts."""
    queue_ms: float = 0.0
    """Waiting until a target had room, or its allowance was back, where there was no other target."""
    overhead_ms: float = 0.0
    """`total_ms` less `model_ms` and `queue_ms`: what Farthing itself added."""
    stage_ms: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Optional steps that failed or were late: name to error class. Targets that were passed over without a
    call: name to a code, which for those of `LEFT_FOR_NOW` is followed by how long it holds."""
    stop_reason: str = ""
    """`stop`, `length`, `tool_calls`, … of the provider; `limit:deadline_s` and so on when we cut;
    `client_gone`, `error` otherwise."""
    status: int = 0
    """HTTP status the client got; 499 when it left."""
    error: str | None = None
    error_message: str = ""
    policy: str = ""
    """Version of the configuration that decided."""
    price_version: str = ""
    rag_used: bool = False
    client_retry: int = 0
    """The SDK's own retry count (`x-stainless-retry-count`)."""
    cache_entry: str = ""
    """Id of the entry the semantic cache served or would have served."""
    cache_probability: float | None = None
    """The verifier's: that the stored answer was right for this question."""
    cache_language: str = ""
    """The language that the semantic cache took the question to be in; empty: it was not looked up."""
    audit: Literal["", "pending", "agrees", "differs"] = ""
    """Whether the fresh answer says what the stored one would have; `pending` until a judge has said so,
    in a receipt of its own (`purpose` judge, `about` this request)."""
    purpose: Literal["", "judge", "precompute", "refresh", "explore", "route"] = ""
    """Empty for a client's request; else a background job."""
    about: str = ""
    """The request or entry a background job is for."""
    embedding_nusd: int = 0
    """What a remote embedder charged; part of `cost_nusd`."""
    route_by: str = ""
    """Name and version of what gave `route_score`."""
    route_policy: str = ""
    """The version of the endpoint's routing policy that decided, `faq@3`."""
    explored: str = ""
    """Tier that was asked the same, behind the answer; its call has a receipt of its own (`purpose` explore,
    `about` this request)."""
    check_score: float | None = None
    """Lowest that the checks of a cascade gave the first answer."""
    check_by: str = ""
    """Name of the check that gave it; empty: none has a measure."""
    doubt: str = ""
    """What the checks had against the first answer, `NAME: reason`; empty: nothing. It went out all the same
    where no better one could be had, which `skipped` says of `escalate`."""
    asked_anew: Literal["", "sampled", "named", "again"] = ""
    """Why no stored answer was looked for: a sample was asked for, a model was named without a temperature
    (both leave `cache` at `off`), or the same session or user had this answer a moment ago."""
    key: str | None = None
    """What the configuration calls the client's key, else the start of its digest; empty: none was asked for.
    None: not noted, by an older version or of a background job."""

    sources: tuple[str, ...] = ()
    """What the passages in the prompt are from, best first, each once. Empty: there were none."""
    passages: int = 0
    """How many were put there."""
    retrieval_ms: float | None = None
    """Time of retrieving, which is part of `overhead_ms`; None: nothing was to be retrieved."""
    passages_left_out: int = 0
    """How many more were retrieved for which the endpoint's `retrieve.context_tokens_max` had no room."""
    dialect: str = "chat"
    """The wire form of the client: `chat`, `messages`, `completions`."""
    agent: str = ""
    """Which of several agents of one session asked, in the client's words."""


def differs(attempt: Attempt) -> bool:
    """Whether the provider charged other than our prices make of the same usage, by more than 1 %."""
    ours, told = attempt.reckoned_nusd, attempt.cost_nusd
    return ours is not None and told is not None and abs(told - ours) * 100 > max(told, ours, 100)


def saved_nusd(receipt: Receipt) -> int | None:
    """Baseline less cost, signed; None when either is unknown."""
    if receipt.baseline_nusd is None or receipt.cost_nusd is None:
        return None
    return receipt.baseline_nusd - receipt.cost_nusd


def replace(value: Any, **changes: Any) -> Any:
    """A copy of a frozen noun with some fields changed."""
    return msgspec.structs.replace(value, **changes)
