"""Every knob. A TOML file decodes into `Config`, frozen and typed, or is refused with the line and the fix.

Built-in choices are tagged unions, so `app.py` can `match` them and the type checker sees a missing
case. Secrets are written `"${NAME}"` and taken from the environment; nothing else is. A `Secret` never
shows its value: not in `repr`, not in `farthing check`, not in an error.
"""

import hashlib
import ipaddress
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import SplitResult, urlsplit

import msgspec

from farthing import toml
from farthing.errors import ConfigError
from farthing.strict import FromVariable, Leaf, Reader, described, dotted, nearest, quoted
from farthing.toml import Path as Where

PORT = 8960  # a farthing was 1/960 of a pound; away from 8000 and 8080, where local engines live
CONFIG_BYTES_MAX = 1_048_576  # a configuration is written by hand; a generated one of 100x size is a mistake


class Secret:
    """A value from the environment, shown only by the name of its variable."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.value = value

    def __repr__(self) -> str:
        return f"${{{self.name}}}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self.name, self.value) == (other.name, other.value)

    def __hash__(self) -> int:
        return hash((self.name, self.value))

    def __reduce__(self) -> str:
        raise TypeError("a Secret is never serialised")


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table: immutable, keyword-only, and a typo is an error."""


# -- edge -------------------------------------------------------------------------------------------


class ServerConfig(Table, frozen=True):
    host: str = "127.0.0.1"
    port: int = PORT
    allow_keyless: bool = False
    """Serve without API keys on an address other than loopback. On loopback no key is needed."""
    hosts: tuple[str, ...] = ()
    """`Host` names to answer to; empty: any well-formed one, without keys on loopback a local one."""
    connections_max: int = 10_000
    requests_max: int = 2_000
    """Requests in progress at once; more are answered 503 at once."""
    body_bytes_max: int = 10_485_760  # a 1M-token prompt in UTF-8 is about 4 MiB; images are the rest
    header_bytes_max: int = 32_768
    depth_max: int = 64
    nodes_max: int = 100_000
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
    plan: str = ""
    endpoint: str | None = None


class GuardRule(Table, frozen=True):
    name: str
    contains: tuple[str, ...]
    """Phrases that must not occur in what is asked; letter case and runs of white space are ignored."""
    message: str = ""


class GuardConfig(Table, frozen=True):
    deny: tuple[GuardRule, ...] = ()


# -- brain ------------------------------------------------------------------------------------------


class BrainConfig(Table, frozen=True):
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


StoreConfig = MemoryStoreConfig | SqliteStoreConfig
CacheMode = Literal["off", "observe", "on"]


class CacheConfig(Table, frozen=True):
    exact: CacheMode = "on"
    ttl_s: float = 3_600.0
    coalesce: bool = True
    """Identical requests of one tenant at the same time share one call (single flight)."""
    answer_bytes_max: int = 1_048_576
    store: StoreConfig = msgspec.field(default_factory=MemoryStoreConfig)


class CacheKeyConfig(Table, frozen=True):
    """A name for several ways to ask one question: `faq:refund_policy`."""

    key: str
    phrases: tuple[str, ...]


class EndpointCacheConfig(Table, frozen=True):
    exact: CacheMode | None = None
    ttl_s: float | None = None
    normalised: bool = False
    """Ignore letter case, white space and closing punctuation of the last question."""
    keys: tuple[CacheKeyConfig, ...] = ()


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


class RouteConfig(Table, frozen=True):
    rules: tuple[RuleConfig, ...] = DEFAULT_RULES
    default: str = "expensive"


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


class EndpointConfig(Table, frozen=True):
    task: str | None = None
    tier: str | None = None
    calls_max: int | None = None
    target_s: float | None = None
    deadline_s: float | None = None
    input_tokens_max: int | None = None
    output_tokens_max: int | None = None
    usd_max: Decimal | None = None
    on_limit: Literal["partial", "refuse"] = "partial"
    baseline: str | None = None
    cache: EndpointCacheConfig = EndpointCacheConfig()


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
    include_usage: bool = True
    """Ask for the usage chunk of every stream, and keep it from clients that did not ask."""
    connections_max: int = 512
    connect_s: float = 2.0
    first_byte_s: float = 60.0
    """Until the first chunk of a stream (TTFT)."""
    whole_s: float = 300.0
    """Until the end of a whole answer, which shows nothing before it is complete."""
    idle_s: float = 30.0
    """Between two chunks of a stream."""
    total_s: float = 600.0
    answer_bytes_max: int = 33_554_432
    event_bytes_max: int = 1_048_576


class PriceConfig(Table, frozen=True):
    """An operator's own price for a target, in US dollars per million tokens. Wins over the catalogue."""

    target: str
    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
    since: str = "0000-00-00"
    context_tokens_max: int | None = None
    output_tokens_max: int | None = None


class CallConfig(Table, frozen=True):
    attempts_max: int = 3
    retry_share_max: float = 0.1
    """Second attempts a target may get, as a share of its calls in the last 10 s; the first few are free."""
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


class ReportConfig(Table, frozen=True):
    baseline: str | None = None
    """Target that savings are measured against; None: the first target of the tier `expensive`."""


class LogConfig(Table, frozen=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    json: bool | None = None
    """None: JSON unless the output is a terminal."""


class Config(Table, frozen=True):
    server: ServerConfig = ServerConfig()
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
    route: RouteConfig = RouteConfig()
    call: CallConfig = CallConfig()
    ledger: LedgerConfig = LedgerConfig()
    report: ReportConfig = ReportConfig()
    log: LogConfig = LogConfig()
    state_dir: Path | None = None
    """None: `$XDG_STATE_HOME/farthing`, else `~/.local/state/farthing`."""


# -- reading ----------------------------------------------------------------------------------------

ENV_PREFIX = "FARTHING__"
FAULTS_SHOWN_MAX = 20

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SYNTAX = re.compile(r"(?P<what>.*) \(at (?:line (?P<line>\d+), column \d+|end of document)\)", re.DOTALL)


Condition = Callable[[str], object]
"""Compiles the expression of a rule. Raises ConfigError when it cannot be read."""


def load(path: Path, env: Mapping[str, str], *, condition: Condition | None = None) -> Config:
    """Read the configuration file at `path`; see `loads`. Relative paths in it start at its directory.

    Raises:
        ConfigError: the file cannot be read, is larger than `CONFIG_BYTES_MAX`, or is refused by `loads`.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(CONFIG_BYTES_MAX + 1)
    except OSError as why:
        raise ConfigError(f"{path}: cannot be read: {why.strerror or why}") from why
    if len(raw) > CONFIG_BYTES_MAX:
        raise ConfigError(f"{path}: larger than {CONFIG_BYTES_MAX} bytes; this is no configuration")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as why:
        line = raw.count(b"\n", 0, why.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from why
    return loads(text, env, name=str(path), folder=path.absolute().parent, condition=condition)


def loads(
    text: str,
    env: Mapping[str, str],
    *,
    name: str = "farthing.toml",
    folder: Path | None = None,
    condition: Condition | None = None,
) -> Config:
    """Return the configuration that `text` and the `FARTHING__…` variables of `env` describe.

    Variables win over the file. Nothing is taken half: either all of it is right or ConfigError.
    Without `condition` the expressions of rules and answers are left to whoever compiles them.

    Raises:
        ConfigError: one line for each fault, `name:line: path: what is wrong; the fix`.
    """
    text = text.replace("\r\n", "\n")
    try:
        table = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as why:
        raise ConfigError(_syntax_fault(why, text, name)) from None
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply") from None
    reader = Reader({Secret: _secret_reader(env), Path: _path_reader(folder), str: _read_text})
    variables = _override(table, env, reader)
    config = reader.read(Config, table, ())
    if not reader.faults:
        for path, message in Checks(config, condition).faults():
            reader.fault(path, message)
    if reader.faults:
        raise ConfigError(_told(reader.faults, toml.lines(text), variables, name))
    return cast(Config, config)


def _syntax_fault(why: tomllib.TOMLDecodeError, text: str, name: str) -> str:
    found = _SYNTAX.fullmatch(str(why))
    if found is None:
        return f"{name}: {why}"
    line = found["line"] or text.count("\n") + 1
    return f"{name}:{line}: not TOML: {found['what']}"


def _told(
    faults: list[tuple[Where, str]], lines: dict[Where, int], variables: dict[Where, str], name: str
) -> str:
    """All faults, in the order of the file, those of variables last."""
    told: list[tuple[int, str]] = []
    for path, message in faults:
        line, place = CONFIG_BYTES_MAX, name
        for length in range(len(path), 0, -1):
            if path[:length] in variables:
                place = variables[path[:length]]
                break
            if path[:length] in lines:
                line = lines[path[:length]]
                place = f"{name}:{line}"
                break
        about = path[:-1] if message.startswith("unknown key") else path
        told.append((line, f"{place}: {dotted(about)}: {message}" if about else f"{place}: {message}"))
    told.sort(key=lambda one: one[0])
    shown = [line for _, line in told[:FAULTS_SHOWN_MAX]]
    if len(told) > FAULTS_SHOWN_MAX:
        shown.append(f"{name}: and {len(told) - FAULTS_SHOWN_MAX} more")
    return "\n".join(shown)


def _override(table: dict[str, Any], env: Mapping[str, str], reader: Reader) -> dict[Where, str]:
    """Put `FARTHING__SERVER__PORT=9000` into `table`; return which variable gave which key."""
    given: dict[Where, str] = {}
    for variable in sorted(name for name in env if name.startswith(ENV_PREFIX)):
        parts = variable.removeprefix(ENV_PREFIX).lower().split("__")
        here: Any = table
        path: Where = ()
        for position, part in enumerate(parts):
            if not isinstance(here, dict) or not part:
                reader.fault(path, f"{variable} names no key; give a list or a table whole, as TOML")
                break
            key = next((known for known in here if known.lower().replace("-", "_") == part), part)
            path = (*path, key)
            if position == len(parts) - 1:
                here[key] = FromVariable(env[variable])
                given[path] = variable
            else:
                here = here.setdefault(key, {})
    return given


def _secret_reader(env: Mapping[str, str]) -> Leaf:
    def read(value: Any, path: Where) -> Secret:
        found = _VARIABLE.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            # The value is not repeated: it may be the very secret that does not belong here.
            variable = re.sub(r"\W+", "_", dotted(path[-2:])).strip("_").upper()
            raise ValueError(
                f'a secret never stands in the file; set an environment variable and write "${{{variable}}}"'
            )
        name = found[1]
        secret = env.get(name, "").strip()
        if not secret:
            state = "is empty" if name in env else "is not set"
            raise ValueError(f"the environment variable {name} {state}; export {name}=… or remove the key")
        if not (secret.isascii() and secret.isprintable()):
            raise ValueError(f"the environment variable {name} holds characters that no key has")
        return Secret(name, secret)

    return read


def _path_reader(folder: Path | None) -> Leaf:
    def read(value: Any, path: Where) -> Path:
        text = _read_text(value, path)
        if not text or "\0" in text:
            raise ValueError(f"expected a path, got {described(value)}")
        try:
            found = Path(text).expanduser()
        except RuntimeError as why:
            raise ValueError(f"{why}; write the whole path") from why
        return found if folder is None else folder / found

    return read


def _read_text(value: Any, path: Where) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected text in quotes, got {described(value)}")
    if _VARIABLE.fullmatch(value):
        variable = ENV_PREFIX + "__".join(map(str, path)).upper().replace("-", "_")
        raise ValueError(f"only secrets are taken from the environment like this; set {variable} instead")
    return str(value)


# -- what no single value can tell ------------------------------------------------------------------

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"b2:[0-9a-f]{64}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MAY_BE_ZERO = frozenset({"port", "drain_s", "retry_share_max", "input", "output", "cached_input"})
_AT_MOST = {"port": 65_535, "retry_share_max": 1}
_KEY_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"}
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

Faults = Iterator[tuple[Where, str]]


class Checks:
    """Faults of a whole configuration: names that lead nowhere, bounds that cannot hold, open doors."""

    def __init__(self, config: Config, condition: Condition | None) -> None:
        self.config = config
        self.condition = condition

    def faults(self) -> Faults:
        yield from self._bounds(self.config, ())
        yield from self._names()
        yield from self._providers()
        yield from self._tiers()
        yield from self._rules()
        yield from self._aliases()
        yield from self._endpoints()
        yield from self._keys()
        yield from self._answers()
        yield from self._phrases()
        yield from self._prices()
        yield from self._listener()

    def _bounds(self, value: Any, path: Where) -> Faults:
        """Every number of a configuration is a bound, a time or a price: none makes sense below zero."""
        match value:
            case msgspec.Struct():
                for field in msgspec.structs.fields(value):
                    yield from self._bounds(getattr(value, field.name), (*path, field.name))
            case dict():
                for key, item in value.items():
                    yield from self._bounds(item, (*path, key))
            case tuple():
                for index, item in enumerate(value):
                    yield from self._bounds(item, (*path, index))
            case int() | float() | Decimal() if not isinstance(value, bool):
                name = str(path[-1])
                if value < 0 or (value == 0 and name not in _MAY_BE_ZERO):
                    least = "at least 0" if name in _MAY_BE_ZERO else "more than 0"
                    yield path, f"expected {least}, got the number {value}"
                elif value > _AT_MOST.get(name, value):
                    yield path, f"expected at most {_AT_MOST[name]}, got the number {value}"

    def _names(self) -> Faults:
        for table in ("providers", "tiers", "endpoints"):
            for name in getattr(self.config, table):
                if not _NAME.fullmatch(name):
                    yield (
                        (table, name),
                        "a name has letters, digits, dots, dashes and underscores, at most 64",
                    )

    def _providers(self) -> Faults:
        if "farthing" in self.config.providers:
            yield ("providers", "farthing"), 'the name "farthing" stands for endpoints; choose another'
        for name, provider in self.config.providers.items():
            here = ("providers", name)
            url = _split(provider.base_url)
            if url is None:
                yield (*here, "base_url"), 'expected an URL such as "https://api.example.com/v1"'
            elif url.username or url.password or url.query or url.fragment:
                yield (*here, "base_url"), "an URL without user, password, query and fragment is expected"
            if provider.auth == "none" and provider.api_key is not None:
                yield (*here, "api_key"), 'would never be sent with auth = "none"; remove one of the two'
            yield from self._headers(provider, (*here, "headers"))

    def _headers(self, provider: ProviderConfig, here: Where) -> Faults:
        for name, text in provider.headers.items():
            if name.lower() in _KEY_HEADERS:
                yield (*here, name), 'a secret never stands in the file; use api_key = "${NAME}" and auth'
            elif not _HEADER_NAME.fullmatch(name) or not (
                text.isascii() and (text.isprintable() or not text)
            ):
                yield (*here, name), "not a header that can be sent"

    def _tiers(self) -> Faults:
        for name, tier in self.config.tiers.items():
            here = ("tiers", name, "targets")
            if name == "none":
                yield ("tiers", name), 'the tier "none" answers without a model; see [[answers]]'
            if not tier.targets:
                yield here, 'no target; write targets = ["provider/model"]'
            for index, target in enumerate(tier.targets):
                yield from self._target(target, (*here, index))
                if target in tier.targets[:index]:
                    yield (*here, index), f"{quoted(target)} is already in this tier"

    def _target(self, target: str, here: Where) -> Faults:
        """A target that is to be called."""
        provider, slash, model = target.partition("/")
        if not (provider and slash and model):
            yield here, f'{quoted(target)} is no target; write "provider/model"'
        elif provider not in self.config.providers:
            yield here, self._unknown("provider", provider, self.config.providers)

    def _unknown(self, noun: str, name: str, known: Mapping[str, object]) -> str:
        hint = nearest(name, known) or (f"; there is {', '.join(map(quoted, known))}" if known else "")
        return f"unknown {noun} {quoted(name)}{hint or f'; add [{noun}s.{name}]'}"

    def _tier(self, name: str | None, here: Where) -> Faults:
        if name is not None and name not in self.config.tiers:
            yield here, self._unknown("tier", name, self.config.tiers)

    def _rules(self) -> Faults:
        """What the built-in rules and default lead to may be absent; what the file names may not."""
        route = self.config.route
        if route.default != RouteConfig().default:
            yield from self._tier(route.default, ("route", "default"))
        if route.rules == DEFAULT_RULES:
            return
        for index, rule in enumerate(route.rules):
            here = ("route", "rules", index)
            yield from self._condition(rule.when, (*here, "when"))
            yield from self._tier(rule.tier, (*here, "tier"))
            yield from self._tier(rule.escalate, (*here, "escalate"))

    def _condition(self, text: str | None, here: Where) -> Faults:
        if text is None or self.condition is None:
            return
        try:
            self.condition(text)
        except ConfigError as why:
            yield here, str(why)

    def _aliases(self) -> Faults:
        for name, goal in self.config.aliases.items():
            here = ("aliases", name)
            provider, slash, rest = goal.partition("/")
            if provider == "farthing" and slash:
                if rest not in self.config.endpoints:
                    yield here, self._unknown("endpoint", rest, self.config.endpoints)
            elif slash:
                yield from self._target(goal, here)
            elif goal != "auto":
                yield from self._tier(goal, here)

    def _endpoints(self) -> Faults:
        for name, endpoint in self.config.endpoints.items():
            yield from self._tier(endpoint.tier, ("endpoints", name, "tier"))
            yield from self._form(endpoint.baseline, ("endpoints", name, "baseline"))
        yield from self._form(self.config.report.baseline, ("report", "baseline"))

    def _form(self, target: str | None, here: Where) -> Faults:
        """A target that is only priced, and so may belong to a provider that is not configured."""
        provider, _, model = (target or "provider/model").partition("/")
        if not (provider and model):
            yield here, f'{quoted(target)} is no target; write "provider/model"'

    def _endpoint(self, name: str | None, here: Where) -> Faults:
        if name is not None and name not in self.config.endpoints:
            yield here, self._unknown("endpoint", name, self.config.endpoints)

    def _keys(self) -> Faults:
        seen: dict[str, int] = {}
        for index, key in enumerate(self.config.keys):
            here = ("keys", index)
            yield from self._endpoint(key.endpoint, (*here, "endpoint"))
            if not key.tenant:
                yield (*here, "tenant"), "a key belongs to somebody; give the tenant a name"
            if (key.digest is None) == (key.key is None):
                yield here, "give either digest (from `farthing keys new`) or key, and not both"
                continue
            digest = key.digest if key.key is None else key_digest(key.key.value)
            if digest is None or not _DIGEST.fullmatch(digest):
                yield (
                    (*here, "digest"),
                    'expected "b2:" and 64 hexadecimal digits; see `farthing keys digest`',
                )
            elif digest in seen:
                yield here, f"the same key as {dotted(('keys', seen[digest]))}; a key belongs to one tenant"
            else:
                seen[digest] = index

    def _answers(self) -> Faults:
        for index, answer in enumerate(self.config.answers):
            yield from self._endpoint(answer.endpoint, ("answers", index, "endpoint"))
            yield from self._condition(answer.when, ("answers", index, "when"))
            if not answer.phrases and answer.when is None:
                yield ("answers", index), "would never be given; add phrases or when"

    def _phrases(self) -> Faults:
        """An empty phrase is in every text: it would block, or answer, everything."""
        lists: list[tuple[Where, tuple[str, ...]]] = [
            (("answers", index, "phrases"), answer.phrases)
            for index, answer in enumerate(self.config.answers)
        ]
        for index, rule in enumerate(self.config.guard.deny):
            if not rule.contains:
                yield ("guard", "deny", index, "contains"), "would never deny anything; add a phrase"
            lists.append((("guard", "deny", index, "contains"), rule.contains))
        for name, endpoint in self.config.endpoints.items():
            for index, key in enumerate(endpoint.cache.keys):
                lists.append((("endpoints", name, "cache", "keys", index, "phrases"), key.phrases))
        for here, phrases in lists:
            for index, phrase in enumerate(phrases):
                if not phrase.strip():
                    yield (*here, index), "an empty phrase fits everything; remove it"

    def _prices(self) -> Faults:
        for index, price in enumerate(self.config.prices):
            yield from self._form(price.target, ("prices", index, "target"))
            if not _DATE.fullmatch(price.since):
                yield ("prices", index, "since"), 'expected a date in quotes such as "2026-01-31"'

    def _listener(self) -> Faults:
        server = self.config.server
        if not loopback(server.host) and not self.config.keys and not server.allow_keyless:
            yield (
                ("server", "host"),
                (
                    f"{server.host} is open to others and no key is configured; run `farthing keys new`, "
                    "or set server.allow_keyless = true"
                ),
            )


def loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. A name other than `localhost` may be anything."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(text: str) -> SplitResult | None:
    """The parts of an address that can be called, or None."""
    try:
        url = urlsplit(text)
        callable_ = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        return None
    printable = text.isascii() and text.isprintable() and " " not in text
    return url if callable_ and printable else None


# -- what follows from a configuration --------------------------------------------------------------


def key_digest(key: str) -> str:
    """What is kept of an API key: enough to know it again, not enough to use it."""
    return "b2:" + hashlib.blake2b(key.encode(), digest_size=32, key=b"farthing api key v1").hexdigest()


def state_dir(config: Config, env: Mapping[str, str]) -> Path:
    """Where ledger and caches live unless they are configured elsewhere. Nothing is created."""
    if config.state_dir is not None:
        return config.state_dir
    state = Path(env.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():  # the XDG specification: a relative one is to be ignored
        state = Path(env.get("HOME") or Path.home()) / ".local" / "state"
    return state / "farthing"


def render(config: Config) -> str:
    """The effective configuration as TOML, defaults included; secrets only as `${NAME}`.

    Loads again to an equal configuration where the same environment variables are set.
    """
    return toml.dumps(plain(config))


def plain(value: Any) -> Any:
    match value:
        case msgspec.Struct():
            settings = value.__struct_config__
            tag = {settings.tag_field: settings.tag} if settings.tag_field else {}
            return tag | {name: plain(getattr(value, name)) for name in value.__struct_fields__}
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case tuple():
            return [plain(item) for item in value]
        case Secret() | Path():
            return repr(value) if isinstance(value, Secret) else str(value)
        case _:
            return value


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the file, for editors. Cross references are checked by `loads` alone."""

    def hook(kind: type) -> dict[str, Any]:
        if kind is Secret:
            return {"type": "string", "pattern": "^\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}$"}
        if kind is Path:
            return {"type": "string"}
        raise NotImplementedError(kind)

    found = msgspec.json.schema(Config, schema_hook=hook)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "farthing.toml",
        **cast(dict[str, Any], _numbers(msgspec.to_builtins(found))),
    }


def _numbers(node: Any) -> Any:
    """A Decimal is text in JSON, and a number in TOML."""
    if isinstance(node, dict):
        if node.get("format") == "decimal":
            return {key: item for key, item in node.items() if key != "format"} | {"type": "number"}
        return {key: _numbers(item) for key, item in node.items()}
    return [_numbers(item) for item in node] if isinstance(node, list | tuple) else node
