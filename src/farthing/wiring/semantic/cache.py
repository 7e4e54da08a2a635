"""Builds the semantic cache: its embedder, verifier, error-rate monitor and store.

Nothing is opened, and numpy is not imported, before the configuration of an endpoint asks for it.
"""

import logging
import random
import time
from collections.abc import Callable, Mapping
from hashlib import blake2b, sha256
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

import msgspec
from msgspec import Struct

from farthing.brain.cache.semantic.language import Languages
from farthing.brain.cache.semantic.language import load as load_languages
from farthing.brain.cache.semantic.scope import PARTITIONING, Scopes
from farthing.brain.cache.semantic.store.admin import SemanticCacheAdmin
from farthing.brain.cache.semantic.store.entries_file import EntryStore
from farthing.config import (
    Config,
    EndpointConfig,
    EndpointSemanticConfig,
    OnnxEmbedderConfig,
    RemoteEmbedderConfig,
    SemanticConfig,
)
from farthing.config import show as shown
from farthing.errors import ConfigError
from farthing.guarantees.certificates import semantic_cache
from farthing.guarantees.monitor.file import WatchFile
from farthing.guarantees.monitor.semantic_cache import SequentialBound
from farthing.models.embed.session import MODELS, require
from farthing.models.embed.session import PACKAGES as EMBEDDER_PACKAGES
from farthing.protocols import AnswerJudge, Embedder, PairModel, Verifier
from farthing.text.phrase import normalised
from farthing.types import Endpoint, Price, Request, Semantics, Target, replace
from farthing.wiring.semantic import certificates

if TYPE_CHECKING:
    from farthing.brain.cache.semantic.cache import SemanticAnswers
    from farthing.brain.cache.semantic.store.questions import Questions
    from farthing.brain.cache.semantic.store.state import SemanticCacheState

log = logging.getLogger("farthing.semantic")

PACKAGES = ("numpy", "numkong")
VERIFIER_WEIGHTS = MODELS / "verifier.npz"
PAIR_MODEL = MODELS / "minilm-pair.int8.onnx"
CHARS_PER_TOKEN = 4  # of English; what a remote embedder charges for one question is reckoned by it
SHELF_BUSY_MS = 250
UNDECIDING = ("cache", "target_s", "baseline")
"""Of an endpoint: what says nothing of who answers it and how."""
GAUGES = ("semantic_entries", "semantic_index_bytes", "semantic_writes_lost", "semantic_ready")

MakeRemote = Callable[[RemoteEmbedderConfig, Target], Embedder]
"""Makes the embedder that asks `target`."""


class Reading(Struct, frozen=True):
    """How pairs of questions are compared."""

    verifier: Verifier
    name: str
    """Changes whenever its probabilities may mean something else."""
    pair_model: PairModel | None


def missing_packages(config: Config) -> str | None:
    """The packages that a semantic cache of `config` needs and that are missing; None: none is missing."""
    local = isinstance(config.cache.semantic.embedder, OnnxEmbedderConfig)
    try:
        require(tuple(dict.fromkeys((*PACKAGES, *(EMBEDDER_PACKAGES if local else ())))))
    except ConfigError as why:
        return str(why)
    return None


class SemanticParts:
    """What the semantic caches of all configurations share. The first that needs it opens it."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.bound = SequentialBound()
        self.cache_state: SemanticCacheState | None = None
        self.reading: Reading | None = None
        self.languages: Languages | None = None
        self.nusd_of: Callable[[int], int] | None = None
        self.certified: Callable[[], object] = _nothing
        """Called when certificates were read."""
        self._bound_file = WatchFile(self.bound, state_dir / "semantic-bound.json")
        self._entry_stores: dict[object, EntryStore] = {}
        """By what they were opened with: that of the cache state, and those of reloads that were refused."""
        self._opened_with: SemanticConfig | None = None
        self._started = False

    def prepare(self, config: Config) -> None:
        """Do the slow part of a first `open`, if `config` needs one. May run in any thread, one call at a
        time; a second call finds everything done.

        Raises:
            ConfigError, StoreError: as for `open`.
        """
        wanted = any(endpoint.cache.semantic.mode != "off" for endpoint in config.endpoints.values())
        if self.cache_state is None and wanted:
            self._load_parts(config)

    def _load_parts(self, config: Config) -> None:
        """Import the vector code, which takes 0.2 s; open and check the file of entries."""
        require(PACKAGES)
        import farthing.brain.cache.semantic.cache
        import farthing.models.embed.onnx
        import farthing.stores.vector.partitions  # noqa: F401  # for `open`, which finds all three loaded

        if self.reading is None:
            self.reading = build_reading()
        if self.languages is None:
            self.languages = load_languages()
        settings = config.cache.semantic
        if _of_cache_state(settings) not in self._entry_stores:
            self._entry_stores[_of_cache_state(settings)] = EntryStore(
                semantic_path(config, self.state_dir),
                entries_max=settings.entries_max,
                bytes_max=settings.bytes_max,
                busy_ms=SHELF_BUSY_MS,
            )

    def open(
        self, config: Config, target_of: Callable[[str], Target | None], remote: MakeRemote
    ) -> "SemanticCacheState":
        """Open the state of the cache, unless it is open. Later changes of its settings are logged and take
        effect only after a restart.

        Raises:
            ConfigError: a package of the extra `semantic` is missing, or a file cannot be used.
            StoreError: the file of entries cannot be opened.
        """
        settings = config.cache.semantic
        if self.cache_state is not None:
            if _of_cache_state(settings) != _of_cache_state(self._opened_with):
                log.warning("cache.semantic changed in what it keeps; the old settings hold until a restart")
            return self.cache_state
        self._load_parts(config)
        from farthing.brain.cache.semantic.store.state import SemanticCacheState
        from farthing.stores.vector.partitions import PartitionedIndex

        embedder, self.nusd_of = build_embedder(settings, target_of, remote)
        index = PartitionedIndex(embedder.dims, name=embedder.name)
        self.cache_state = SemanticCacheState(self._entry_stores[_of_cache_state(settings)], index, embedder)
        self._opened_with = settings
        self._bound_file.open()
        if self._started:
            self.start()
        return self.cache_state

    @property
    def questions(self) -> "Questions | None":
        """The questions asked, and those that need a fresh answer; None: no cache was opened."""
        return None if self.cache_state is None else self.cache_state.questions

    @property
    def ready(self) -> bool:
        """Whether answers can be stored, or no cache wants them."""
        return self.cache_state is None or self.cache_state.ready

    def start(self) -> None:
        """Load the stored entries and maintain them, on the running event loop; what a reload opens is
        started then."""
        self._started = True
        if self.cache_state is not None:
            self.cache_state.start(also=self._bound_file.run, warm=self._warm)

    async def load(self) -> None:
        """Load the stored entries, for a process that serves no clients and maintains nothing."""
        if self.cache_state is not None:
            await self._warm()
            await self.cache_state.load()

    async def _warm(self) -> None:
        """Load the models, off the event loop."""
        for model in (
            self.cache_state and self.cache_state.embedder,
            self.reading and self.reading.pair_model,
        ):
            warm = getattr(model, "warm", None)
            if warm is not None:
                await warm()

    def forgotten(self, endpoint: str) -> int:
        """How often operators invalidated this endpoint; the exact cache is invalidated with it."""
        return 0 if self.cache_state is None else self.cache_state.invalidations.forgotten(endpoint)

    def gauges(self) -> dict[str, float]:
        """As of the cache; zeros until it is opened."""
        return dict.fromkeys(GAUGES, 0.0) if self.cache_state is None else self.cache_state.gauges()

    async def aclose(self) -> None:
        """Write what is pending, then close. A second call is harmless."""
        if self.cache_state is not None:
            await self.cache_state.aclose()
            self._bound_file.save()
            if self.reading is not None and self.reading.pair_model is not None:
                await self.reading.pair_model.aclose()
        for entry_store in tuple(self._entry_stores.values()):  # a reload that was cut off may still open one
            await entry_store.aclose()


def _nothing() -> None:
    pass


def build_semantics(config: EndpointSemanticConfig) -> Semantics | None:
    """The semantic-cache terms of one endpoint, without what a certificate says; None: the cache is off."""
    if config.mode == "off":
        return None
    return Semantics(
        mode=config.mode,
        threshold=config.threshold,
        risk_max=config.risk_max,
        confidence=config.confidence,
        audit_share=config.audit_share,
        languages=config.languages,
        personal=config.personal == "allow",
        never=tuple(normalised(phrase) for phrase in config.never),
        adapt=config.adapt,
        documents=config.documents,
        tags=config.tags,
        stale=config.stale,
        ttl_s=config.ttl_s,
    )


def build_semantic(
    config: Config,
    parts: SemanticParts,
    endpoints: Mapping[str, Endpoint],
    *,
    target_of: Callable[[str], Target | None],
    remote: MakeRemote,
    judge: AnswerJudge | None,
    arm: Callable[[Request], str] | None = None,
) -> "tuple[SemanticAnswers | None, dict[str, Endpoint]]":
    """The semantic cache of one configuration, None if no endpoint uses it, and the endpoints with the
    thresholds of their certificates. `arm` is as in `Scopes`.

    Raises:
        ConfigError: an endpoint is `on` without threshold or certificate, or a part is missing.
    """
    if all(endpoint.semantic is None for endpoint in endpoints.values()):
        return None, dict(endpoints)
    cache_state = parts.open(config, target_of, remote)
    reading = parts.reading
    languages = parts.languages
    assert reading is not None and languages is not None, "opened with the cache"
    from farthing.brain.cache.semantic.cache import Limits, SemanticAnswers

    settings = config.cache.semantic
    scope = semantic_cache.Scope(
        embedder=cache_state.embedder.name,
        verifier=reading.name,
        cosine_min=settings.cosine_min,
        partitioning=PARTITIONING,
    )
    certified = {
        name: certificates.certified(endpoint, parts.state_dir, scope) for name, endpoint in endpoints.items()
    }
    terms = {name: e.semantic for name, e in certified.items() if e.semantic is not None}
    made = certificates.made_unix_s(parts.state_dir, terms)
    try:
        semantic_cache.note_scope(parts.state_dir, scope, time.time())
    except OSError as error:
        raise ConfigError(f"cannot write to {parts.state_dir}: {error.strerror}; set state_dir") from error
    parts.bound.configure(terms)  # from here on nothing is refused, which would leave half of it behind
    for name, made_unix_s in made.items():
        parts.bound.certified(name, made_unix_s)
    parts.certified()
    check = checking(terms)
    cache_state.drop_versions({name: t.documents for name, t in terms.items()}, check)
    answers = SemanticAnswers(
        cache_state,
        scopes=Scopes(
            embedder=cache_state.embedder.name,
            language_of=languages.of,
            policies=answer_policies(config, endpoints),
            arm=arm,
        ),
        verifier=reading.verifier,
        bound=parts.bound,
        limits=Limits(
            candidates_max=settings.candidates_max,
            cosine_min=settings.cosine_min,
            kept_per_user_hour_max=settings.kept_per_user_hour_max,
            answer_bytes_max=config.cache.answer_bytes_max,
            check=check,
        ),
        draw=random.SystemRandom().random,  # a client that could foresee audits could behave for them
        judge=judge,
        nusd_of=parts.nusd_of,
    )
    return answers, certified


def checking(terms: Mapping[str, Semantics]) -> frozenset[str]:
    """The endpoints that doubt what others drop."""
    return frozenset(name for name, t in terms.items() if t.stale == "check")


def build_cache_admin(parts: SemanticParts, endpoints: Mapping[str, Endpoint]) -> SemanticCacheAdmin | None:
    """The operators' administration of the cache; None: there is no cache."""
    if parts.cache_state is None:
        return None
    terms = {name: e.semantic for name, e in endpoints.items() if e.semantic is not None}
    state = parts.cache_state
    return SemanticCacheAdmin(state.invalidations, check=checking(terms), written=state.written)


def semantic_path(config: Config, state_dir: Path) -> Path:
    """The file of the entries."""
    return config.cache.semantic.path or state_dir / "semantic.db"


def answer_policies(config: Config, endpoints: Mapping[str, Endpoint]) -> dict[str, str]:
    """For each endpoint, a short digest of everything that decides who answers it and how.

    It does not cover the whole configuration: a change of a limit, a key or a log level leaves answers as
    good as they were, and going from `observe` to `on` must not empty the cache.
    """
    plain = shown.plain(config)
    common = {name: plain.get(name) for name in ("tiers", "aliases", "route", "answers", "guard")}
    addresses = {name: provider.base_url for name, provider in config.providers.items()}
    versions = {}
    for name in endpoints:
        endpoint = shown.plain(config.endpoints.get(name, EndpointConfig()))
        own = {key: value for key, value in endpoint.items() if key not in UNDECIDING}
        decides = msgspec.json.encode((common, addresses, own), order="sorted")
        versions[name] = blake2b(decides, digest_size=6).hexdigest()
    return versions


def build_embedder(
    settings: SemanticConfig, target_of: Callable[[str], Target | None], remote: MakeRemote
) -> tuple[Embedder, Callable[[int], int] | None]:
    """The embedder, and a function from a question's characters to its cost in nano-dollars; None: it costs
    nothing.

    Raises:
        ConfigError: a package of the extra `semantic` is missing, or no price is known.
    """
    match settings.embedder:
        case OnnxEmbedderConfig() as onnx:
            from farthing.models.embed.onnx import OnnxEmbedder

            return OnnxEmbedder(window_s=onnx.window_ms / 1000), None
        case RemoteEmbedderConfig() as wanted:
            target = target_of(f"{wanted.provider}/{wanted.model}")
            assert target is not None, "it has a slash"
            if wanted.usd_per_million is not None:
                price = Price(
                    since="0000-00-00", input_pusd=int(wanted.usd_per_million * 1_000_000), output_pusd=0
                )
                target = replace(target, price=price)
            return remote(wanted, target), _charge(target)
        case _:
            assert_never(settings.embedder)


def _charge(target: Target) -> Callable[[int], int]:
    if target.price is None:
        raise ConfigError(
            f"cache.semantic.embedder: no price of {target.name} is known; set usd_per_million, 0 if none"
        )
    pusd = target.price.input_pusd
    return lambda chars: (chars // CHARS_PER_TOKEN + 1) * pusd // 1000


def build_reading() -> Reading:
    """The trained verifier if its weights are installed; else the rules, which compare only numbers and
    names."""
    if not VERIFIER_WEIGHTS.is_file():
        from farthing.brain.cache.semantic.verify.rules import VERSION as RULES_VERSION
        from farthing.brain.cache.semantic.verify.rules import RulesVerifier

        log.warning("semantic cache: no weights of the verifier at %s; rules decide", VERIFIER_WEIGHTS)
        return Reading(RulesVerifier(), f"rules/{RULES_VERSION}", None)
    from farthing.brain.cache.semantic.verify.trained import VERSION, TrainedVerifier
    from farthing.models.pair.onnx import OnnxPairModel

    pair_model = OnnxPairModel() if PAIR_MODEL.is_file() else None
    digest = sha256(VERIFIER_WEIGHTS.read_bytes()).hexdigest()[:12]
    beside = "alone" if pair_model is None else pair_model.name
    return Reading(TrainedVerifier(pair_model), f"trained/{VERSION}/{digest}/{beside}", pair_model)


def _of_cache_state(settings: SemanticConfig | None) -> object:
    """The part of the settings that is fixed when the cache is opened."""
    if settings is None:
        return None
    return settings.embedder, settings.path, settings.entries_max, settings.bytes_max
