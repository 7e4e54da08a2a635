"""Every knob, its default and what it means: frozen structs, one for each table of the file.

Built-in choices are tagged unions, so `wiring` can `match` them and the type checker sees a missing
case.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from farthing.config.settings.cascade import CascadeConfig
from farthing.config.settings.options import Options
from farthing.config.settings.prices import PriceConfig
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
    """Origins whose web pages may call, as `http://localhost:3000`; `*`: those of every site."""
    connections_max: int = 10_000
    requests_max: int = 2_000
    """Requests in progress at once; more are answered 503 at once."""
    body_bytes_max: int = 33_554_432  # a 1M-token prompt in UTF-8 is about 4 MiB; images are the rest
    bodies_bytes_max: int = 536_870_912
    """What all bodies that are held at once may take together; more are answered 503."""
    header_bytes_max: int = 32_768
    depth_max: int = 256
    nodes_max: int = 100_000
    """Most values in a body. A number in a list counts a fifth: lists of token ids are long and flat."""
    header_s: float = 10.0
    body_s: float = 60.0
    idle_s: float = 75.0
    write_stall_s: float = 30.0
    drain_s: float = 30.0


class KeyConfig(Table, frozen=True):
    tenant: str
    digest: str | None = None
    """What `farthing keys new` printed. The key itself is nowhere."""
    key: Secret | None = None
    """The key itself, from the environment; give this or `digest`."""
    name: str = ""
    """What receipts call the key; empty: the start of its digest."""
    plan: str = ""
    endpoint: str | None = None
    models: tuple[str, ...] | None = None
    """Names that its clients may write for `model`; a `*` at the end stands for anything. With `tiers` beside
    it, what either of the two allows. None: any that the configuration knows."""
    tiers: tuple[str, ...] | None = None
    """Tiers that they may use: by name, by the name of one of their targets, and where rules choose."""
    requests_per_minute: int | None = None
    """Requests the key may send at once, and get back evenly over a minute. None: no limit."""


class GuardRule(Table, frozen=True):
    name: str
    contains: tuple[str, ...]
    """Phrases that must not occur in what is asked; letter case and runs of white space are ignored."""
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
    """What tells a request's task: words and shape, or trained weights, which know more languages and say
    `unknown` where they are not sure."""
    timeout_s: float = 0.05
    """What all optional steps of one request may take together."""
    strict: bool = False
    """Tests and development: a broken optional step raises instead of stepping aside."""


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
    """The small model that comes with the extra `semantic`; nothing leaves the machine."""

    window_ms: float = 0.0
    """Texts that arrive within it are embedded together."""


class RemoteEmbedderConfig(Table, frozen=True, tag_field="kind", tag="remote"):
    """An endpoint of OpenAI's embeddings form."""

    provider: str
    """Name in `providers`."""
    model: str
    dims: int
    usd_per_million: Decimal | None = None
    """Price of a million tokens; None: the catalogue's."""
    window_ms: float = 2.0


EmbedderConfig = OnnxEmbedderConfig | RemoteEmbedderConfig


class SemanticConfig(Table, frozen=True):
    """What the semantic caches of all endpoints share. Each endpoint turns its own on."""

    embedder: EmbedderConfig = msgspec.field(default_factory=OnnxEmbedderConfig)
    path: Path | None = None
    """None: `semantic.db` in the state directory."""
    entries_max: int = 200_000
    bytes_max: int = 536_870_912
    candidates_max: int = 4
    """Nearest questions that the verifier is asked about."""
    cosine_min: float = 0.7
    """Below it nothing is proposed."""
    kept_per_user_hour_max: int = 100
    """Most answers kept in an hour from the requests of one `user`."""


class EndpointSemanticConfig(Table, frozen=True):
    """Answers to similar questions. `on` needs a certificate (`farthing calibrate cache`) or a threshold."""

    mode: CacheMode = "off"
    threshold: float | None = None
    """Probability of the verifier from which an answer is served. None: the certificate's."""
    risk_max: float = 0.01
    """Bound on the risk, here the share of served answers that are wrong; beyond it the endpoint retreats to
    exact hits."""
    confidence: float = 0.95
    audit_share: float = 0.05
    """Share of would-be hits that are answered anew and compared."""
    languages: tuple[str, ...] = ("en",)
    """Of the questions that are looked up and kept, as ISO 639-1 codes. One beside `en` is served only with a
    certificate of that language (`farthing calibrate cache --language`), until then it is observed."""
    judge: str | None = None
    """Target that says whether two answers agree where their words differ; None: words decide."""
    confirm: str | None = None
    """Target that is asked when the verifier cannot tell; None: that is a miss."""
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
    also those that ask for a sample (a temperature above 0), and who asks again gets the same again."""
    reask_s: float = 300.0
    """A session or user that asks the same again within this gets a fresh answer, as after "regenerate".
    0: the stored one."""
    coalesce: bool = True
    """Identical requests of one tenant at the same time share one call (single flight)."""
    answer_bytes_max: int = 1_048_576
    store: StoreConfig = msgspec.field(default_factory=MemoryStoreConfig)
    semantic: SemanticConfig = msgspec.field(default_factory=SemanticConfig)


class CacheKeyConfig(Table, frozen=True):
    """A name for several ways to ask one question: `faq:refund_policy`."""

    key: str
    phrases: tuple[str, ...]


class EndpointCacheConfig(Table, frozen=True):
    exact: CacheMode | None = None
    ttl_s: float | None = None
    reuse: CacheReuse | None = None
    """As `cache.reuse`, which it is where it is not set."""
    normalised: bool = False
    """Ignore letter case, white space and closing punctuation of the last question."""
    keys: tuple[CacheKeyConfig, ...] = ()
    semantic: EndpointSemanticConfig = EndpointSemanticConfig()


class PrecomputeConfig(Table, frozen=True):
    """Questions worth answering before they are asked, in quiet hours and within a budget."""

    at: str = ""
    """Local time of day to begin, `02:00`; empty: only by `farthing precompute`."""
    until: str = ""
    usd_max: Decimal = Decimal("1")
    """Most that one run may spend."""
    questions_max: int = 1_000
    seen_min: int = 2
    """Times a question must have been asked since the last run to be worth it."""
    file: Path | None = None
    """JSON lines of `question` and `endpoint` to answer besides those of the ledger."""


class AdminConfig(Table, frozen=True):
    """A listener of its own for operators, closed unless it has a port."""

    port: int | None = None
    host: str = "127.0.0.1"
    key: Secret | None = None
    """What `Authorization: Bearer` must say; needed on another address than loopback."""


class JobsConfig(Table, frozen=True):
    """The gateway's own requests: comparing answers, checking doubted ones, answering ahead."""

    at_once: int = 2
    per_minute: int = 120
    queue_max: int = 500
    """What does not fit is dropped, and counted."""
    busy_share: float = 0.25
    """They wait while clients use at least this share of `server.requests_max`."""
    usd_per_day: Decimal = Decimal("1")
    """For comparing and checking, from midnight UTC; answering ahead has `precompute.usd_max`."""


class RuleConfig(Table, frozen=True):
    when: str
    tier: str
    escalate: str | None = None
    """Tier to ask again when the answer has low confidence."""
    name: str = ""


# The four starting rules and the order they are tried in. The rule for sensitive domains stands first:
# a domain or plan that asks for care overrides what would make a request cheap.
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
    """Tier of what is easy; the rest goes to `route.default`."""
    threshold: float = 0.5
    """How easy a question has to be, from 0 to 1."""
    unsure: float = 0.04
    """Beside the learned router: it is asked where the score is at most this far from the floor."""
    timeout_s: float = 1.5
    """Longest that a request waits for it, beyond `brain.timeout_s`."""
    ttl_s: float = 3_600.0
    """How long what it said of a question holds."""
    logprobs: bool = False
    """Ask for log-probabilities, which make its answer a graded one. Not every provider takes that."""


class RulesRouteConfig(Table, frozen=True, tag_field="kind", tag="rules"):
    """Rules decide; what none fits goes to the default tier."""

    assumed: ClassVar[bool] = True

    rules: tuple[RuleConfig, ...] = DEFAULT_RULES
    default: str = "expensive"


class LearnedRouteConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="learned"):
    """What no rule decides goes to the cheapest tier that is expected to be good enough."""

    rules: tuple[RuleConfig, ...] = DEFAULT_RULES
    default: str = "expensive"
    model: Path
    """File of the learned router."""
    threshold: float = 0.95
    """Floor: 1 less the expected loss against the best tier that may be."""
    explore_share: float = 0.0
    """Share of the router's decisions where both tiers answer and are compared, at endpoints that have a
    judge or checks. The client gets the expensive answer."""
    prefer: Literal["cost", "latency"] = "cost"
    """Among tiers that are good enough."""
    llm: RouteAdvisorConfig | None = None
    """Asked where the router is unsure; None: nobody is."""


class LlmRouteConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="llm"):
    """Of what no rule decides a cheap model says whether it is easy."""

    rules: tuple[RuleConfig, ...] = DEFAULT_RULES
    default: str = "expensive"
    explore_share: float = 0.0
    """As of the learned router."""
    prefer: Literal["cost", "latency"] = "cost"
    """Among tiers that are good enough."""
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
    """An answer without any LLM: the tier `none`."""

    name: str
    text: str
    phrases: tuple[str, ...] = ()
    """Questions answered with `text`, compared as `normalised` cache keys are."""
    when: str | None = None
    """An expression as in `route.rules`; may be given beside or instead of `phrases`."""
    endpoint: str | None = None
    """Only for this endpoint; None is for all."""


class TierConfig(Table, frozen=True):
    targets: tuple[str, ...]


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
    """The tier of every request that leaves the choice to us. Keys that are bound to the endpoint may use no
    other, but for those of `models` and `tiers`."""
    models: tuple[str, ...] | None = None
    """As of a key, for every request here: the endpoint itself may always be asked for."""
    tiers: tuple[str, ...] | None = None
    """As of a key, for every request here. None: for keys that are bound to it `tier`, where it has one."""
    calls_max: int | None = None
    target_s: float | None = None
    deadline_s: float | None = None
    input_tokens_max: int | None = None
    output_tokens_max: int | None = None
    usd_max: Decimal | None = None
    on_limit: Literal["partial", "refuse"] = "partial"
    baseline: str | None = None
    route_threshold: float | None = None
    """Instead of `route.threshold` for this endpoint."""
    route_risk_max: float | None = None
    """Bound on the risk of routing, the mean loss of quality per request: a certificate for more is not
    applied. None: any."""
    cache: EndpointCacheConfig = EndpointCacheConfig()
    quality: QualityConfig = QualityConfig()
    retrieve: RetrieveConfig | None = None
    """None: nothing is retrieved."""
    cascade: CascadeConfig | None = None
    """None: only what a rule's `escalate` says."""


# -- models -----------------------------------------------------------------------------------------


class ProviderConfig(Table, frozen=True):
    base_url: str
    """As the SDKs want it, `/v1` included."""
    api_key: Secret | None = None
    auth: Literal["bearer", "api-key", "none"] = "bearer"
    """`api-key` sends the header of that name (Azure)."""
    headers: dict[str, str] = {}
    ca_file: Path | None = None
    """PEM file of the authorities to trust instead of the system's."""
    models: tuple[str, ...] = ()
    """Models it has: found by their bare names and listed by `GET /v1/models`. Empty: the price list's are
    found, and others by `provider/model`."""
    pass_through: bool | None = None
    """Clients may ask for models of it that no tier, alias, price, allow-list or `models` names. None: only
    where no keys are configured."""
    client_cert_file: Path | None = None
    """PEM file of our own certificate, for a server that asks for one (mTLS)."""
    client_key_file: Path | None = None
    """Its key; None: it stands in the same file."""
    proxy: Address | None = None
    """HTTP proxy on the way; `none` uses none. None: what the environment says (`HTTPS_PROXY`, …)."""
    pass_headers: tuple[str, ...] = ()
    """Headers of clients that go up to it, besides those that always do."""
    return_headers: tuple[str, ...] = ()
    """Headers of its replies that clients get, besides those that always do."""
    include_usage: bool = True
    """Ask for the usage chunk of every stream, and keep it from clients that did not ask."""
    batch: bool = False
    """It has OpenAI's Batch API: many questions that are answered ahead go up in one file."""
    connections_max: int = 2_000
    """As many as `server.requests_max`: who may come in need not wait here for a connection."""
    connection_wait_s: float = 2.0
    """For a connection where all are in use. Then the next target is asked, or the client is told 429."""
    connect_s: float = 2.0
    first_byte_s: float | None = None
    """Until a streamed answer begins (TTFT). None: 60 where another target waits, else 600, as the SDKs."""
    whole_s: float | None = None
    """Until the end of a whole answer, which shows nothing before it is complete. None: 300 where another
    target waits, else 600."""
    idle_s: float = 600.0
    """Between two chunks of a stream."""
    total_s: float = 3_600.0
    """Until the end of a stream."""
    answer_bytes_max: int = 33_554_432
    event_bytes_max: int = 16_777_216
    """Longest event of a stream: an image comes in one."""


class CallConfig(Table, frozen=True):
    attempts_max: int = 3
    retry_share_max: float = 0.1
    """Further attempts a target may get, as a share of its calls in the last 10 s; the first is free."""
    retry_wait_s_max: float = 10.0
    """Longest pause before the only target left is asked again. A longer one that its provider asks for is
    passed on to the client, in `retry-after`."""
    pause_s_max: float = 60.0
    """Longest time a 429 may take a target out."""
    breaker_calls: int = 20
    breaker_window_s: float = 2.0
    breaker_open_s: float = 5.0


# -- ledger -----------------------------------------------------------------------------------------


class LedgerConfig(Table, frozen=True):
    path: Path | None = None
    """None: `ledger` in the state directory."""
    segment_bytes: int = 8_388_608
    sync_ms: float = 100.0
    """Rows reach the disk at most this long after they are written; the most a power loss can take."""
    strict: bool = False
    """Wait for the disk before each call and each answer: a power loss takes nothing, and costs time."""
    bytes_max: int = 10_737_418_240
    """Oldest sealed segments are deleted beyond this."""
    on_full: Literal["refuse", "count"] = "refuse"
    """Where receipts find no room: answer nothing, or give free answers and count the receipts lost."""


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
    providers: dict[str, ProviderConfig] = {}
    tiers: dict[str, TierConfig] = {}
    aliases: dict[str, str] = {}
    """A model name clients may use -> `auto`, a tier, a target or `farthing/ENDPOINT`."""
    endpoints: dict[str, EndpointConfig] = {}
    answers: tuple[DirectConfig, ...] = ()
    prices: tuple[PriceConfig, ...] = ()
    guard: GuardConfig = GuardConfig()
    brain: BrainConfig = BrainConfig()
    cache: CacheConfig = msgspec.field(default_factory=CacheConfig)
    precompute: PrecomputeConfig = PrecomputeConfig()
    jobs: JobsConfig = JobsConfig()
    route: RouteConfig = RulesRouteConfig()
    call: CallConfig = CallConfig()
    ledger: LedgerConfig = LedgerConfig()
    report: ReportConfig = ReportConfig()
    log: LogConfig = LogConfig()
    state_dir: Path | None = None
    """None: `$XDG_STATE_HOME/farthing`, else `~/.local/state/farthing`."""

    def passing(self) -> tuple[str, ...]:
        """The providers that clients may ask for models which the configuration does not name."""
        by_default = not self.keys
        return tuple(
            name
            for name, provider in self.providers.items()
            if (by_default if provider.pass_through is None else provider.pass_through)
        )


def state_dir(config: Config, env: Mapping[str, str]) -> Path:
    """Where ledger and caches live unless they are configured elsewhere. Nothing is created."""
    if config.state_dir is not None:
        return config.state_dir
    state = Path(env.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():  # the XDG specification: a relative one is to be ignored
        state = Path(env.get("HOME") or Path.home()) / ".local" / "state"
    return state / "farthing"
