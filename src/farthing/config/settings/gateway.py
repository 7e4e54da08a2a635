"""Every setting with its default and meaning: frozen structs, one per table of the file.

Built-in choices are tagged unions, so that `wiring` can `match` them and the type checker finds a missing
case.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from farthing.config.settings.cascade import CascadeConfig
from farthing.config.settings.credentials import AwsConfig, EntraConfig, GoogleConfig
from farthing.config.settings.options import Options
from farthing.config.settings.prices import PriceConfig
from farthing.config.settings.prompt_cache import EndpointPromptCacheConfig, PromptCacheConfig
from farthing.config.settings.quality import QualityConfig
from farthing.config.settings.secret import Address, Secret
from farthing.config.settings.table import Table

PORT = 8960  # a farthing was 1/960 of a pound; away from 8000 and 8080, where local engines live


# -- edge -------------------------------------------------------------------------------------------


class ServerConfig(Table, frozen=True):
    host: str = "127.0.0.1"
    port: int = PORT
    allow_keyless: bool = False
    """Serve without API keys on an address other than loopback. On loopback no key is needed."""
    hosts: tuple[str, ...] = ()
    """`Host` names to answer to; empty: any well-formed one, without keys on loopback a local one."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose web pages may call the gateway, as `http://localhost:3000`; `*`: those of every site."""
    connections_max: int = 10_000
    requests_max: int = 2_000
    """Requests in progress at once; further ones are answered with 503 immediately."""
    body_bytes_max: int = 33_554_432  # a 1M-token prompt in UTF-8 is about 4 MiB; images are the rest
    bodies_bytes_max: int = 536_870_912
    """Total size of all bodies held at once; beyond it requests are answered with 503."""
    header_bytes_max: int = 32_768
    depth_max: int = 256
    nodes_max: int = 100_000
    """Most values in a body. A number in a list counts as a fifth: lists of token ids are long and flat."""
    header_s: float = 10.0
    body_s: float = 60.0
    idle_s: float = 75.0
    write_stall_s: float = 30.0
    drain_s: float = 30.0


class KeyConfig(Table, frozen=True):
    tenant: str
    digest: str | None = None
    """The output of `farthing keys new`. The key itself is stored nowhere."""
    key: Secret | None = None
    """The key itself, from the environment; give this or `digest`."""
    name: str = ""
    """Name of the key in receipts; empty: the start of its digest."""
    plan: str = ""
    endpoint: str | None = None
    models: tuple[str, ...] | None = None
    """Names that its clients may use for `model`; a final `*` matches anything. Together with `tiers`:
    whatever either allows. None: any that the configuration knows."""
    tiers: tuple[str, ...] | None = None
    """Tiers that they may use: by name, by the name of one of their targets, and through rules."""
    requests_per_minute: int | None = None
    """Requests the key may send in a burst; the allowance refills evenly over a minute. None: no limit."""


class GuardRule(Table, frozen=True):
    name: str
    contains: tuple[str, ...]
    """Phrases that a request must not contain; letter case and runs of white space are ignored."""
    message: str = ""


class PluginGuardConfig(Table, frozen=True, kw_only=True):
    """A guardrail that a plug-in has. What it cannot check does not pass."""

    name: str
    plugin: str
    """Name of the entry point, in the group `farthing.guardrails`."""
    options: Options = msgspec.field(default_factory=Options)
    message: str = ""
    timeout_s: float = 5.0
    """Longest that a request waits for it; then the request is refused with 503."""


class GuardConfig(Table, frozen=True):
    deny: tuple[GuardRule, ...] = ()
    plugins: tuple[PluginGuardConfig, ...] = ()


# -- brain ------------------------------------------------------------------------------------------


class BrainConfig(Table, frozen=True):
    classifier: Literal["rules", "linear"] = "rules"
    """How a request's task is determined: by words and form, or by trained weights, which know more languages
    and answer `unknown` when unsure."""
    timeout_s: float = 0.05
    """Time limit for all optional steps of one request together."""
    strict: bool = False
    """For tests and development: a broken optional step raises instead of being skipped."""


class MemoryStoreConfig(Table, frozen=True, tag_field="kind", tag="memory"):
    entries_max: int = 100_000
    bytes_max: int = 67_108_864


class SqliteStoreConfig(Table, frozen=True, tag_field="kind", tag="sqlite"):
    path: Path | None = None
    """None: `cache.db` in the state directory."""
    entries_max: int = 1_000_000
    bytes_max: int = 1_073_741_824


class PluginStoreConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="plugin"):
    """A store that a plug-in has."""

    plugin: str
    """Name of the entry point, in the group `farthing.stores`."""
    options: Options = msgspec.field(default_factory=Options)


StoreConfig = MemoryStoreConfig | SqliteStoreConfig | PluginStoreConfig
CacheMode = Literal["off", "observe", "on"]
CacheReuse = Literal["repeatable", "always"]


class OnnxEmbedderConfig(Table, frozen=True, tag_field="kind", tag="onnx"):
    """The small model in the extra `semantic`; no text leaves the machine."""

    window_ms: float = 0.0
    """Texts that arrive within it are embedded together."""


class RemoteEmbedderConfig(Table, frozen=True, tag_field="kind", tag="remote"):
    """An endpoint with OpenAI's embeddings interface."""

    provider: str
    """Name in `providers`."""
    model: str
    dims: int
    usd_per_million: Decimal | None = None
    """Price of a million tokens; None: the catalogue's."""
    window_ms: float = 2.0


EmbedderConfig = OnnxEmbedderConfig | RemoteEmbedderConfig


class SemanticConfig(Table, frozen=True):
    """What the semantic caches of all endpoints share. Each endpoint enables its own."""

    embedder: EmbedderConfig = msgspec.field(default_factory=OnnxEmbedderConfig)
    path: Path | None = None
    """None: `semantic.db` in the state directory."""
    entries_max: int = 200_000
    bytes_max: int = 536_870_912
    candidates_max: int = 4
    """Number of nearest questions that the verifier examines."""
    cosine_min: float = 0.7
    """Candidates with a lower cosine are ignored."""
    kept_per_user_hour_max: int = 100
    """Most answers stored per hour from the requests of one `user`."""


class EndpointSemanticConfig(Table, frozen=True):
    """Answers to similar questions. `on` needs a certificate (`farthing calibrate cache`) or a threshold."""

    mode: CacheMode = "off"
    threshold: float | None = None
    """Verifier probability from which an answer is served. None: the certificate's."""
    risk_max: float = 0.01
    """Bound on the risk, here the share of served answers that are wrong; beyond it the monitor trips, and
    only exact hits are served."""
    confidence: float = 0.95
    audit_share: float = 0.05
    """Share of would-be hits that are answered afresh and compared."""
    languages: tuple[str, ...] = ("en",)
    """Languages of the questions that are looked up and stored, as ISO 639-1 codes. One besides `en` is
    served only with a certificate for that language (`farthing calibrate cache --language`); until then it is
    only observed."""
    judge: str | None = None
    """Target that decides whether two answers with different words agree; None: words decide."""
    confirm: str | None = None
    """Target that is asked if the verifier abstains; None: that is a miss."""
    personal: Literal["refuse", "allow"] = "refuse"
    never: tuple[str, ...] = ()
    adapt: tuple[Literal["name", "amount", "date"], ...] = ()
    documents: str = ""
    tags: tuple[str, ...] = ()
    stale: Literal["drop", "check"] = "drop"
    ttl_s: float = 604_800.0


class CacheConfig(Table, frozen=True):
    exact: CacheMode = "on"
    ttl_s: float = 3_600.0
    reuse: CacheReuse = "repeatable"
    """`repeatable`: only requests that can be answered the same way twice share answers and calls. `always`:
    also requests for a sample (a temperature above 0), and a client that asks again gets the same answer."""
    reask_s: float = 300.0
    """A session or user that asks the same again within this time gets a fresh answer, as after "regenerate".
    0: the stored one."""
    coalesce: bool = True
    """Concurrent identical requests of one tenant share one call (single flight)."""
    answer_bytes_max: int = 1_048_576
    store: StoreConfig = msgspec.field(default_factory=MemoryStoreConfig)
    semantic: SemanticConfig = msgspec.field(default_factory=SemanticConfig)


class MemoryResponsesConfig(Table, frozen=True, tag_field="kind", tag="memory"):
    """Nothing is written to a disk; a restart loses all."""

    responses_max: int = 10_000
    bytes_max: int = 67_108_864


class SqliteResponsesConfig(Table, frozen=True, tag_field="kind", tag="sqlite"):
    path: Path | None = None
    """None: `responses.db` in the state directory."""
    responses_max: int = 100_000
    bytes_max: int = 1_073_741_824


ResponsesStoreConfig = MemoryResponsesConfig | SqliteResponsesConfig


class ResponsesConfig(Table, frozen=True):
    """The responses that clients of `/v1/responses` may come back to, at endpoints with `store_responses`."""

    ttl_s: float = 2_592_000.0
    """How long each is kept: 30 days, as OpenAI's are. The oldest go sooner when there is no room."""
    tenant_share: float = 0.5
    """Most that one tenant may have of `responses_max` and `bytes_max`."""
    response_bytes_max: int = 33_554_432
    """The largest that is kept, the input items of its whole conversation included."""
    store: ResponsesStoreConfig = msgspec.field(default_factory=SqliteResponsesConfig)


class MemoryCompletionsConfig(Table, frozen=True, tag_field="kind", tag="memory"):
    """Nothing is written to a disk; a restart loses all."""

    completions_max: int = 10_000


class SqliteCompletionsConfig(Table, frozen=True, tag_field="kind", tag="sqlite"):
    path: Path | None = None
    """None: `completions.db` in the state directory."""
    completions_max: int = 100_000


CompletionsStoreConfig = MemoryCompletionsConfig | SqliteCompletionsConfig


class StoredCompletionsConfig(Table, frozen=True):
    """Which provider keeps the chat completions that clients asked to store, and for whom. Nothing of what
    they say is here."""

    ttl_s: float = 2_592_000.0
    """How long that is known: 30 days, as OpenAI keeps them. The oldest go sooner when there is no room."""
    tenant_share: float = 0.5
    """Most that one tenant may have of `completions_max`."""
    store: CompletionsStoreConfig = msgspec.field(default_factory=SqliteCompletionsConfig)


class CacheKeyConfig(Table, frozen=True):
    """A name for several ways to ask one question: `faq:refund_policy`."""

    key: str
    phrases: tuple[str, ...]


class EndpointCacheConfig(Table, frozen=True):
    exact: CacheMode | None = None
    ttl_s: float | None = None
    reuse: CacheReuse | None = None
    """Overrides `cache.reuse`; None: as there."""
    normalised: bool = False
    """Ignore letter case, white space and closing punctuation of the last question."""
    keys: tuple[CacheKeyConfig, ...] = ()
    semantic: EndpointSemanticConfig = EndpointSemanticConfig()


class PrecomputeConfig(Table, frozen=True):
    """Cache warming: answers questions before they are asked, in quiet hours and within a budget."""

    at: str = ""
    """Local time of day to begin, `02:00`; empty: only by `farthing precompute`."""
    until: str = ""
    usd_max: Decimal = Decimal("1")
    """The most that one run may spend."""
    questions_max: int = 1_000
    seen_min: int = 2
    """How often a question must have been asked since the last run to qualify."""
    file: Path | None = None
    """JSON lines of `question` and `endpoint` to answer besides those of the ledger."""


class AdminConfig(Table, frozen=True):
    """A separate listener for operators, closed unless it has a port."""

    port: int | None = None
    host: str = "127.0.0.1"
    key: Secret | None = None
    """The token for `Authorization: Bearer`; required on an address other than loopback."""


class JobsConfig(Table, frozen=True):
    """Background jobs, the gateway's own requests: comparing answers, refreshing doubted ones, cache
    warming."""

    at_once: int = 2
    per_minute: int = 120
    queue_max: int = 500
    """Jobs that do not fit are dropped and counted."""
    busy_share: float = 0.25
    """Jobs wait while clients use at least this share of `server.requests_max`."""
    usd_per_day: Decimal = Decimal("1")
    """For comparing and refreshing, from midnight UTC; cache warming has `precompute.usd_max`."""


class RuleConfig(Table, frozen=True):
    when: str
    tier: str
    escalate: str | None = None
    """Tier to ask again if the answer has low confidence."""
    name: str = ""


# The four default rules, in the order they are tried. The rule for sensitive domains comes first: a domain or
# plan that needs care overrides whatever would make a request cheap.
DEFAULT_RULES = (
    RuleConfig(
        name="care",
        when='domain in ["compliance", "pricing", "legal"] or tenant.plan == "enterprise"',
        tier="expensive",
    ),
    RuleConfig(name="simple-task", when='task in ["classify", "tag", "sentiment"]', tier="cheap"),
    RuleConfig(name="short", when="input_tokens < 128 and not retrieval", tier="cheap"),
    RuleConfig(
        name="faq",
        when='retrieval and context_tokens < 512 and task == "faq"',
        tier="cheap",
        escalate="expensive",
    ),
)


class RouteAdvisorConfig(Table, frozen=True):
    """A cheap model that is asked whether a question is easy."""

    target: str
    cheap: str = "cheap"
    """Tier for easy questions; the rest goes to `route.default`."""
    threshold: float = 0.5
    """How easy a question must be, from 0 to 1."""
    unsure: float = 0.04
    """With the learned router: the model is asked if the score is at most this far from the floor."""
    timeout_s: float = 1.5
    """The longest that a request waits for it, in addition to `brain.timeout_s`."""
    ttl_s: float = 3_600.0
    """How long its verdict on a question is valid."""
    logprobs: bool = False
    """Ask for log-probabilities, which make its verdict a graded one. Not every provider supports that."""


class RulesRouteConfig(Table, frozen=True, tag_field="kind", tag="rules"):
    """Rules decide; requests that match none go to the default tier."""

    assumed: ClassVar[bool] = True

    rules: tuple[RuleConfig, ...] = DEFAULT_RULES
    default: str = "expensive"


class LearnedRouteConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="learned"):
    """Requests that no rule decides go to the cheapest tier that is expected to be good enough."""

    rules: tuple[RuleConfig, ...] = DEFAULT_RULES
    default: str = "expensive"
    model: Path
    """File of the learned router."""
    threshold: float = 0.95
    """Floor: 1 minus the acceptable expected loss against the best tier."""
    explore_share: float = 0.0
    """Share of the router's decisions where both tiers answer and are compared, at endpoints with a judge or
    checks. The client gets the expensive answer."""
    prefer: Literal["cost", "latency"] = "cost"
    """The preference among tiers that are good enough."""
    llm: RouteAdvisorConfig | None = None
    """Asked if the router is unsure; None: no model is asked."""


class LlmRouteConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="llm"):
    """For requests that no rule decides, a cheap model says whether they are easy."""

    rules: tuple[RuleConfig, ...] = DEFAULT_RULES
    default: str = "expensive"
    explore_share: float = 0.0
    """As for the learned router."""
    prefer: Literal["cost", "latency"] = "cost"
    """The preference among tiers that are good enough."""
    llm: RouteAdvisorConfig


class PluginRouteConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="plugin"):
    """A plug-in is asked for a route where no rule decides."""

    rules: tuple[RuleConfig, ...] = DEFAULT_RULES
    default: str = "expensive"
    plugin: str
    """Name of the entry point, in the group `farthing.routers`."""
    options: Options = msgspec.field(default_factory=Options)
    timeout_s: float | None = None
    """Longest that a request waits for it, beyond `brain.timeout_s`. None: no longer than that."""


RouteConfig = RulesRouteConfig | LearnedRouteConfig | LlmRouteConfig | PluginRouteConfig


class DirectConfig(Table, frozen=True):
    """An answer without any model: the tier `none`."""

    name: str
    text: str
    phrases: tuple[str, ...] = ()
    """Questions answered with `text`, compared like `normalised` cache keys."""
    when: str | None = None
    """An expression as in `route.rules`, in addition to or instead of `phrases`."""
    endpoint: str | None = None
    """Only for this endpoint; None: for all."""


HedgeMode = Literal["off", "p95"]
"""`p95`: when the answer of a target takes longer to begin than 95 of 100 did lately."""


class TierConfig(Table, frozen=True):
    targets: tuple[str, ...]
    hedge: HedgeMode | None = None
    """When a second call is made beside one that is slow to begin. None: never, or as `hedge_after_ms`."""
    hedge_after_ms: float | None = None
    """After how long; None: as `hedge`."""
    fallback: str | None = None
    """The tier whose targets are asked where none of these answers. None: none."""


class RetrieveConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="plugin"):
    """Passages for the prompts of one endpoint, from a plug-in."""

    plugin: str
    """Name of the entry point, in the group `farthing.retrievers`."""
    options: Options = msgspec.field(default_factory=Options)
    required: bool = True
    """Where it fails or is late the request is refused with 503; else it is answered without passages."""
    timeout_s: float = 2.0
    """Longest that a request waits for it."""
    passages_max: int = 20
    context_tokens_max: int = 4_000
    """Most tokens of all passages of a prompt, by estimate; the best come first."""


class EndpointConfig(Table, frozen=True):
    task: str | None = None
    tier: str | None = None
    """The tier of every request that leaves the choice to the gateway. Keys that are bound to the endpoint
    may use no other, except those of `models` and `tiers`."""
    models: tuple[str, ...] | None = None
    """As for a key, for every request here: the endpoint itself may always be asked for."""
    tiers: tuple[str, ...] | None = None
    """As for a key, for every request here. None: for keys bound to the endpoint, its `tier` if it has
    one."""
    calls_max: int | None = None
    target_s: float | None = None
    deadline_s: float | None = None
    input_tokens_max: int | None = None
    output_tokens_max: int | None = None
    usd_max: Decimal | None = None
    on_limit: Literal["partial", "refuse"] = "partial"
    baseline: str | None = None
    route_threshold: float | None = None
    """Overrides `route.threshold` for this endpoint."""
    route_risk_max: float | None = None
    """Bound on the risk of routing, the mean loss of quality per request: a certificate with a higher bound
    is not used. None: any."""
    store_responses: bool = False
    """Whether responses are kept for clients of `/v1/responses`, which can be continued by their ids. If so,
    each is, unless its client says `store: false`, as at OpenAI."""
    cache: EndpointCacheConfig = EndpointCacheConfig()
    prompt_cache: EndpointPromptCacheConfig = EndpointPromptCacheConfig()
    quality: QualityConfig = QualityConfig()
    retrieve: RetrieveConfig | None = None
    """None: nothing is retrieved."""
    cascade: CascadeConfig | None = None
    """None: only a rule's `escalate` applies."""
    hedge: HedgeMode | None = None
    """Overrides that of the tier; None: as there."""
    hedge_after_ms: float | None = None
    """As `hedge`."""
    continue_broken_streams: bool | None = None
    """Overrides `call.continue_broken_streams`; None: as there."""
    residency: tuple[str, ...] = ()
    """Regions or areas (`eu`) that its requests must not leave: only targets are asked, for whatever purpose,
    whose region is one of them or lies in one. Empty: any target is."""


# -- models -----------------------------------------------------------------------------------------


class ReplicaConfig(Table, frozen=True, kw_only=True):
    """Another address where the same models are."""

    base_url: str
    """As that of its provider."""
    api_key: Secret | None = None
    """None: the keys of its provider, each of them."""
    name: str = ""
    """What receipts call it; empty: its region, or its number."""
    region: str = ""


class ProviderConfig(Table, frozen=True):
    """What the table of every provider has, whatever dialect it speaks."""

    base_url: str
    """As the SDKs expect it."""
    api_key: Secret | None = None
    headers: dict[str, str] = {}
    ca_file: Path | None = None
    """PEM file of the authorities to trust instead of the system's."""
    models: tuple[str, ...] = ()
    """Its models: found by their bare names and listed by `GET /v1/models`. Empty: the price list's models
    are found, and others as `provider/model`."""
    pass_through: bool | None = None
    """Whether clients may ask for its models that no tier, alias, price, allow-list or `models` names. None:
    only if no keys are configured."""
    client_cert_file: Path | None = None
    """PEM file of the client certificate, for a server that requires one (mTLS)."""
    client_key_file: Path | None = None
    """Its key; None: in the same file."""
    proxy: Address | None = None
    """HTTP proxy to use; `none` for no proxy. None: as the environment says (`HTTPS_PROXY`, …)."""
    pass_headers: tuple[str, ...] = ()
    """Client headers that are forwarded to it, besides the standard ones."""
    return_headers: tuple[str, ...] = ()
    """Headers of its replies that clients receive, besides the standard ones."""
    drop: tuple[str, ...] = ()
    """Fields of the request that may be left out where its dialect has no word for them. A request that has
    others goes to the next target, or is refused by name. What was left out stands in the receipt."""
    batch: bool = False
    """Questions that are answered ahead go up in batches, where it has them."""
    connections_max: int = 2_000
    """As many as `server.requests_max`, so that an admitted request never waits here for a connection."""
    connection_wait_s: float = 2.0
    """Time to wait for a free connection. After it the next target is asked, or the client gets 429."""
    connect_s: float = 2.0
    first_byte_s: float | None = None
    """Time limit for the start of a streamed answer (TTFT). None: 60 if another target remains, else 600, as
    in the SDKs."""
    whole_s: float | None = None
    """Time limit for a complete answer that is not streamed. None: 300 if another target remains, else
    600."""
    idle_s: float = 600.0
    """Time limit between two chunks of a stream."""
    total_s: float = 3_600.0
    """Time limit for a whole stream."""
    answer_bytes_max: int = 33_554_432
    event_bytes_max: int = 16_777_216
    """The longest event of a stream: an image arrives as one event."""
    api_keys: tuple[Secret, ...] = ()
    """Further keys. Calls are divided among all."""
    separate_accounts: bool = False
    """Its keys are of different accounts, so that what a provider encrypts for one is of no use to others."""
    replicas: tuple[ReplicaConfig, ...] = ()
    """Further addresses. Calls are divided among all."""
    region: str = ""
    """Where it answers: a cloud's name of a region, or an area as `eu`. Empty: what its address says, if that
    says anything."""


OperationName = Literal[
    "moderations",
    "images",
    "images/generations",
    "images/edits",
    "images/variations",
    "audio",
    "audio/speech",
    "audio/transcriptions",
    "audio/translations",
    "rerank",
]


class OpenAIProviderConfig(ProviderConfig, frozen=True, kw_only=True, tag_field="kind", tag="openai"):
    """A provider that speaks chat completions, as most do; its `base_url` mostly ends in `/v1`."""

    assumed: ClassVar[bool] = True

    auth: Literal["bearer", "api-key", "none", "entra", "google"] = "bearer"
    """`api-key` sends the header of that name (Azure); `entra` and `google` fetch tokens, in place of a
    key."""
    entra: EntraConfig | None = None
    """With `auth = "entra"`: whose token. None: as the environment says."""
    google: GoogleConfig | None = None
    """With `auth = "google"`: as `entra`."""
    include_usage: bool = True
    """Ask for the usage chunk of every stream, and keep it from clients that did not ask."""
    responses: bool | None = None
    """It speaks Responses as well, and what a client of Responses sends goes there as it is. None: only
    OpenAI itself and Azure (`openai.azure.com`) do."""
    stored_completions: bool | None = None
    """It keeps chat completions that ask for it (`store: true`), and has them for who asks by their ids.
    None: only OpenAI itself and Azure's interface without deployments do."""
    prefill: Literal["off", "last", "prefix", "continue_final_message"] | None = None
    """How its models go on with an answer that is begun: with a last message of the assistant, with that and
    `prefix: true`, or with that and vLLM's `continue_final_message`; `off`: they do not. None: as its host is
    known to; of an unknown host, they do not."""
    api_version: str = ""
    """Sent with every call as `?api-version=` (Azure). Empty: nothing is."""
    completions: bool = False
    """It has OpenAI's completions of before chat for the models that are asked for: such requests go up as
    they were sent. Else they are translated to chats."""
    operations: tuple[OperationName, ...] | None = None
    """What it has beside chat and embeddings, as `images` or `audio/speech`. None: what its host is known to
    have; of an unknown host, anything."""
    embeddings_inputs_max: int | None = None
    """Most inputs of one call for embeddings: a longer list goes up in parts. None: as its host is known to
    take; of an unknown host, all at once."""
    embeddings_tokens_max: int | None = None
    """As `embeddings_inputs_max`, of the tokens of all inputs together, by estimate."""
    drop: tuple[str, ...] = ("temperature", "top_p", "top_k")
    """As of any provider, for clients of Messages, by the names of their fields. Chat completions know no
    `top_k`, and OpenAI's models that reason take no sampling parameters."""


ANTHROPIC_URL = "https://api.anthropic.com"
_CLAUDE_DROP = (
    "messages.name",
    "seed",
    "store",
    "metadata",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "verbosity",
    "temperature",
    "top_p",
    "top_k",
)


class AnthropicProviderConfig(ProviderConfig, frozen=True, kw_only=True, tag_field="kind", tag="anthropic"):
    """A provider that speaks Anthropic's Messages. `base_url` is without `/v1`, as their SDK has it."""

    base_url: str = ANTHROPIC_URL
    auth: Literal["x-api-key", "bearer", "none"] = "x-api-key"
    version: str = "2023-06-01"
    """What `anthropic-version` says, where no client of Messages says another."""
    drop: tuple[str, ...] = _CLAUDE_DROP
    """As of any provider. Models since Claude 4.7 take no sampling parameters; older ones are told them."""


OPENAI_URL = "https://api.openai.com/v1"


class ResponsesProviderConfig(ProviderConfig, frozen=True, kw_only=True, tag_field="kind", tag="responses"):
    """A provider that speaks OpenAI's Responses; its `base_url` mostly ends in `/v1`."""

    base_url: str = OPENAI_URL
    auth: Literal["bearer", "api-key", "none", "entra", "google"] = "bearer"
    """`api-key` sends the header of that name (Azure); `entra` and `google` fetch tokens, in place of a
    key."""
    entra: EntraConfig | None = None
    """With `auth = "entra"`: whose token. None: as the environment says."""
    google: GoogleConfig | None = None
    """With `auth = "google"`: as `entra`."""
    drop: tuple[str, ...] = (
        "messages.name",
        "seed",
        "store",
        "prediction",
        "temperature",
        "top_p",
        "top_k",
    )
    """As of any provider. Models that reason take no sampling parameters; others are told them."""


GEMINI_URL = "https://generativelanguage.googleapis.com/v1beta"
_GEMINI_DROP = (
    "messages.name",
    "store",
    "metadata",
    "parallel_tool_calls",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "tool_choice.disable_parallel_tool_use",
    "verbosity",
)


class GeminiProviderConfig(ProviderConfig, frozen=True, kw_only=True, tag_field="kind", tag="gemini"):
    """A provider that speaks Google's `generateContent`; its `base_url` mostly ends in `/v1beta`."""

    base_url: str = GEMINI_URL
    auth: Literal["x-goog-api-key", "bearer", "none"] = "x-goog-api-key"
    file_prefixes: tuple[str, ...] = ()
    """How addresses in the operator's own storage begin that clients may name (`gs://bucket/`): the provider
    reads them with the gateway's rights. Empty: none."""
    drop: tuple[str, ...] = _GEMINI_DROP
    """As of any provider. Gemini cannot be held to one call of a tool at a time."""


VERTEX_HOST = "aiplatform.googleapis.com"
VERTEX_REGIONS = ("us", "eu")
"""Locations that are several regions together, and have a name of their own."""


class VertexProviderConfig(ProviderConfig, frozen=True, kw_only=True, tag_field="kind", tag="vertex"):
    """Models of one publisher in one project of Google Cloud (Vertex AI): Gemini, or Claude."""

    project: str
    location: str = "global"
    """As `europe-west4`; also `us`, `eu` and `global`."""
    publisher: Literal["google", "anthropic"] = "google"
    base_url: str = ""
    """Empty: that of the location, `https://LOCATION-aiplatform.googleapis.com/v1beta1`, as Google's SDK has
    it; for Claude `/v1`, as Anthropic's SDK does. Another version is the path of one that is given."""
    auth: Literal["google", "bearer", "none"] = "google"
    """`google` fetches tokens by Google's application default credentials; `bearer` sends `api_key`."""
    google: GoogleConfig | None = None
    """With `auth = "google"`: whose token. None: as the environment says."""
    file_prefixes: tuple[str, ...] = ()
    """How addresses in the operator's own storage begin that clients may name (`gs://bucket/`): the provider
    reads them with the gateway's rights. Empty: none."""
    betas: tuple[str, ...] | None = None
    """Betas of Messages (`anthropic-beta`) that go up to Claude if a client asks for them. None: those that
    Vertex is known to take. It refuses requests with any other."""
    drop: tuple[str, ...] = _GEMINI_DROP
    """As of any provider. Where nothing is said of Claude, it is as at Anthropic."""

    def __post_init__(self) -> None:
        if self.publisher == "anthropic" and self.drop is _GEMINI_DROP:
            msgspec.structs.force_setattr(self, "drop", _CLAUDE_DROP)
        if not self.base_url:
            version = "v1beta1" if self.publisher == "google" else "v1"
            msgspec.structs.force_setattr(self, "base_url", f"https://{vertex_host(self.location)}/{version}")


def vertex_host(location: str) -> str:
    """Where the models in `location` are asked."""
    if location == "global":
        return VERTEX_HOST
    if location in VERTEX_REGIONS:
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-{VERTEX_HOST}"


BEDROCK_KEYS = ("ABSK", "bedrock-api-key-")
"""How the API keys of Bedrock begin, those that last and those that do not."""


class BedrockProviderConfig(ProviderConfig, frozen=True, kw_only=True, tag_field="kind", tag="bedrock"):
    """Amazon Bedrock in one region: Converse, and Messages for Claude."""

    region: str
    """As `us-east-1`: calls are signed for it."""
    base_url: str = ""
    """Empty: `https://bedrock-runtime.REGION.amazonaws.com`."""
    auth: Literal["aws", "bearer", "none"] | None = None
    """`aws` signs each call with keys of AWS; `bearer` sends `api_key`, an API key of Bedrock. None: `bearer`
    with such a key, else `aws`."""
    aws: AwsConfig | None = None
    """Whose keys. None: as the environment says."""
    file_prefixes: tuple[str, ...] = ()
    """How addresses in the operator's own storage begin that clients may name (`s3://bucket/`): the provider
    reads them with the gateway's rights. Empty: none."""
    betas: tuple[str, ...] | None = None
    """Betas of Messages (`anthropic-beta`) that go up to Claude if a client asks for them. None: those that
    Bedrock documents. It refuses requests with any other."""
    drop: tuple[str, ...] = (
        "messages.name",
        "seed",
        "store",
        "metadata",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_retention",
        "user",
        "verbosity",
        "temperature",
        "top_p",
        "top_k",
    )
    """As of any provider. What a model does not take differs by its maker."""

    def __post_init__(self) -> None:
        if not self.base_url:
            url = f"https://bedrock-runtime.{self.region}.{aws_domain(self.region)}"
            msgspec.structs.force_setattr(self, "base_url", url)

    @property
    def signs(self) -> bool:
        """Whether calls are signed with keys of AWS."""
        if self.auth is not None:
            return self.auth == "aws"
        return self.api_key is None or not self.api_key.value.startswith(BEDROCK_KEYS)


def aws_domain(region: str) -> str:
    """The domain that the names of AWS's endpoints in `region` end in."""
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


class PluginProviderConfig(ProviderConfig, frozen=True, kw_only=True, tag_field="kind", tag="plugin"):
    """A provider whose dialect a plug-in knows."""

    plugin: str
    """Name of the entry point, in the group `farthing.providers`."""
    options: Options = msgspec.field(default_factory=Options)
    auth: Literal["bearer", "x-api-key", "api-key", "none"] = "bearer"


AnyProviderConfig = (
    OpenAIProviderConfig
    | AnthropicProviderConfig
    | ResponsesProviderConfig
    | GeminiProviderConfig
    | VertexProviderConfig
    | BedrockProviderConfig
    | PluginProviderConfig
)


def proof_of(provider: AnyProviderConfig) -> str:
    """What a provider is asked with: its `auth`, or what that comes to where it is left out."""
    if isinstance(provider, BedrockProviderConfig) and provider.auth is None:
        return "aws" if provider.signs else "bearer"
    return provider.auth or "none"


class CallConfig(Table, frozen=True):
    attempts_max: int = 3
    retry_share_max: float = 0.1
    """Further attempts a target may get, as a share of its calls in the last 10 s; the first is always
    allowed."""
    retry_wait_s_max: float = 10.0
    """The longest pause before the only remaining target is asked again. If its provider asks for a longer
    one, the client gets it in `retry-after`."""
    pause_s_max: float = 60.0
    """The longest time that a 429 may exclude a target."""
    breaker_calls: int = 20
    breaker_window_s: float = 2.0
    breaker_open_s: float = 5.0
    ask_models: bool = True
    """Ask each provider at the start which models it has, and warn of a tier that names another."""
    adaptive: bool = True
    """Whether a target is sent no more at once than it bears, as its 429s, its latency and its rate-limit
    headers tell, and is left out while others of its route are much better."""
    model_identity: Literal["model", "fingerprint"] = "model"
    """What of its answers, when it changes, makes the model behind a target another one: the name, or also
    the `system_fingerprint`."""
    continue_broken_streams: bool = False
    """Whether a streamed text that breaks off after the client has a part of it goes on with another call,
    which is shown that part, where a target can do so."""
    continuations_max: int = 1
    """How often one answer may go on."""


# -- ledger -----------------------------------------------------------------------------------------


class LedgerConfig(Table, frozen=True):
    path: Path | None = None
    """None: `ledger` in the state directory."""
    segment_bytes: int = 8_388_608
    sync_ms: float = 100.0
    """Rows reach the disk at most this long after they are written; the most that a power loss can lose."""
    strict: bool = False
    """Wait for the disk before each call and each answer: a power loss then loses nothing, at the cost of
    time."""
    bytes_max: int = 10_737_418_240
    """Beyond this, the oldest sealed segments are deleted."""
    on_full: Literal["refuse", "count"] = "refuse"
    """If there is no space for receipts: answer nothing, or give free answers and count the lost receipts."""


class ReportConfig(Table, frozen=True):
    baseline: str | None = None
    """Target that savings are measured against; None: the first target of the tier `expensive`."""


class LogConfig(Table, frozen=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    json: bool | None = None
    """None: JSON unless the output is a terminal."""


class Config(Table, frozen=True):
    server: ServerConfig = ServerConfig()
    admin: AdminConfig = AdminConfig()
    keys: tuple[KeyConfig, ...] = ()
    providers: dict[str, AnyProviderConfig] = {}
    tiers: dict[str, TierConfig] = {}
    aliases: dict[str, str] = {}
    """A model name that clients may use -> `auto`, a tier, a target or `farthing/ENDPOINT`."""
    endpoints: dict[str, EndpointConfig] = {}
    answers: tuple[DirectConfig, ...] = ()
    prices: tuple[PriceConfig, ...] = ()
    guard: GuardConfig = GuardConfig()
    brain: BrainConfig = BrainConfig()
    cache: CacheConfig = msgspec.field(default_factory=CacheConfig)
    responses: ResponsesConfig = msgspec.field(default_factory=ResponsesConfig)
    stored_completions: StoredCompletionsConfig = msgspec.field(default_factory=StoredCompletionsConfig)
    precompute: PrecomputeConfig = PrecomputeConfig()
    jobs: JobsConfig = JobsConfig()
    route: RouteConfig = RulesRouteConfig()
    call: CallConfig = CallConfig()
    prompt_cache: PromptCacheConfig = PromptCacheConfig()
    ledger: LedgerConfig = LedgerConfig()
    report: ReportConfig = ReportConfig()
    log: LogConfig = LogConfig()
    catalogue_url: str | None = None
    """Where `farthing models refresh` fetches a newer price list, by https. None: nowhere. The gateway itself
    never does."""
    state_dir: Path | None = None
    """None: `$XDG_STATE_HOME/farthing`, else `~/.local/state/farthing`."""

    def fallbacks(self, tier: str) -> tuple[str, ...]:
        """The tiers that are asked where no target of `tier` answers, in order; the last leads back to `tier`
        where the configuration goes round in a circle."""
        found: list[str] = []
        after = self.tiers[tier].fallback
        while after is not None and after not in found:
            found.append(after)
            table = None if after == tier else self.tiers.get(after)
            after = None if table is None else table.fallback
        return tuple(found)

    def passing(self) -> tuple[str, ...]:
        """The providers whose models clients may ask for even if the configuration does not name them."""
        by_default = not self.keys
        return tuple(
            name
            for name, provider in self.providers.items()
            if (by_default if provider.pass_through is None else provider.pass_through)
        )


def state_dir(config: Config, env: Mapping[str, str]) -> Path:
    """The directory of ledger and caches unless configured otherwise. Creates nothing."""
    if config.state_dir is not None:
        return config.state_dir
    state = Path(env.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():  # the XDG specification says to ignore a relative path
        state = Path(env.get("HOME") or Path.home()) / ".local" / "state"
    return state / "farthing"
