"""Hosted providers as their SDKs know them, and how two tiers are picked from the catalogue by price.

No model is named for its price here: prices are the catalogue's. What is listed per provider are the
families of general chat models (text in, text out, tools, no search or audio or code speciality, and
none of the lines priced for rare work), so that the cheapest is one that can hold a conversation.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Literal, Protocol
from urllib.parse import urlsplit

from msgspec import Struct

from farthing.config import ANTHROPIC_URL
from farthing.dialects.chat.usage import UNSAID, UsageForm
from farthing.models.discovery.listing import named_for_chat
from farthing.models.pricing.catalogue import SNAPSHOT, price_on
from farthing.types import Model, Price, replace

# A version in a family's pattern: 5, 5.2, 4-5.
_V = r"(?P<version>\d{1,2}(?:[.-]\d{1,2})?)"

_SPECIAL = re.compile(
    r"audio|base|code|cyber|image|instruct-0|live|math|ocr|preview|pro\b|realtime|research|search|vision"
)
"""In the names of models with a speciality, or priced for rare work."""

CONTEXT_TOKENS_MIN = 32_000  # a capable general model of today takes a long conversation
INPUT_WEIGHT, OUTPUT_WEIGHT = 3, 1  # chat sends about three tokens for each it gets back


_REGIONAL = re.compile(r"([a-z]{2})\.api\.openai\.com")
_IN_A_REGION = re.compile(
    r"[a-z0-9-]+-aiplatform\.googleapis\.com|aiplatform\.[a-z]+\.rep\.googleapis\.com"
    r"|bedrock-runtime(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com"
)
"""Hosts of Vertex and Bedrock whose requests stay in a region, unless a model's name says otherwise."""


class Preset(Struct, frozen=True, kw_only=True):
    """One hosted provider."""

    name: str
    key_variables: tuple[str, ...]
    """In the order the SDK looks at them."""
    base_url: str
    """What the SDKs use by default; empty where every account has its own."""
    url_variables: tuple[str, ...] = ()
    url_suffix: str = ""
    """What follows the address in the variable to make the OpenAI-compatible one."""
    kind: Literal["openai", "anthropic"] = "openai"
    """The dialect it is asked in, as the configuration names it."""
    auth: Literal["bearer", "api-key"] = "bearer"
    families: tuple[str, ...] = ()
    """Patterns of general chat models; the newest version of each is current."""
    flagships: tuple[str, ...] = ()
    """Patterns of the best general models; the newest version among them is the flagship."""
    deployments: bool = False
    """Its models bear names of their owner's own, so that nothing is known of them before it lists them."""
    list_from: tuple[str, str] = ("", "/models")
    """What to take off the end of the address and to put there instead to ask for its models."""
    hosts: tuple[str, ...] = ()
    """Where else it is reached: these hosts and what is below them."""
    usage: UsageForm = UNSAID
    """What it means by its usage."""


_OPENAI = UsageForm(reasoning="inside", write_life="30m", tiers={"fast": "priority"})
_INSIDE = UsageForm(reasoning="inside")
# The charges of xAI and the totals of Gemini's OpenAI endpoint show that reasoning is left out of
# `completion_tokens`; xAI's own word on the charge holds the tools it used, too.
_XAI = UsageForm(reasoning="added", cost="ticks")
_GEMINI = UsageForm(reasoning="added")
_OPENROUTER = UsageForm(reasoning="inside", cost="usd")

PRESETS = (
    Preset(
        name="openai",
        key_variables=("OPENAI_API_KEY",),
        base_url="https://api.openai.com/v1",
        url_variables=("OPENAI_BASE_URL",),
        families=(rf"gpt-{_V}-(?:nano|luna)", rf"gpt-{_V}-(?:mini|terra)", rf"gpt-{_V}(?:-sol)?"),
        flagships=(rf"gpt-{_V}", rf"gpt-{_V}-sol"),
        usage=_OPENAI,
    ),
    Preset(
        name="anthropic",
        key_variables=("ANTHROPIC_API_KEY",),
        kind="anthropic",
        base_url=ANTHROPIC_URL,
        url_variables=("ANTHROPIC_BASE_URL",),
        families=(rf"claude-haiku-{_V}", rf"claude-sonnet-{_V}", rf"claude-opus-{_V}"),
        flagships=(rf"claude-opus-{_V}",),
        usage=_INSIDE,
    ),
    Preset(
        name="gemini",
        key_variables=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        base_url="https://generativelanguage.googleapis.com/v1beta/openai/",
        url_variables=("GOOGLE_GEMINI_BASE_URL",),
        url_suffix="/v1beta/openai/",
        families=(
            rf"gemini-{_V}-flash-lite",
            rf"gemini-{_V}-flash",
            rf"gemini-{_V}-(?:pro|argon)(?:-preview)?",
        ),
        flagships=(rf"gemini-{_V}-(?:pro|argon)(?:-preview)?",),
        hosts=("aiplatform.googleapis.com",),
        usage=_GEMINI,
    ),
    Preset(
        name="groq",
        key_variables=("GROQ_API_KEY",),
        base_url="https://api.groq.com/openai/v1",
        url_variables=("GROQ_BASE_URL",),
        url_suffix="/openai/v1",
        families=(r"openai/gpt-oss-20b", r"openai/gpt-oss-120b"),
        flagships=(r"openai/gpt-oss-120b",),
        usage=_INSIDE,
    ),
    Preset(
        name="mistral",
        key_variables=("MISTRAL_API_KEY",),
        base_url="https://api.mistral.ai/v1",
        families=(r"mistral-small-latest", r"mistral-medium-latest", r"mistral-large-latest"),
        flagships=(rf"mistral-large-{_V}", r"mistral-large-latest"),
        usage=_INSIDE,
    ),
    Preset(
        name="deepseek",
        key_variables=("DEEPSEEK_API_KEY",),
        base_url="https://api.deepseek.com/v1",
        families=(rf"deepseek-v{_V}-flash", rf"deepseek-v{_V}-pro", r"deepseek-chat"),
        flagships=(rf"deepseek-v{_V}-pro", r"deepseek-reasoner"),
        usage=_INSIDE,
    ),
    Preset(
        name="openrouter",
        key_variables=("OPENROUTER_API_KEY",),
        base_url="https://openrouter.ai/api/v1",
        url_variables=("OPENROUTER_BASE_URL",),
        families=(
            rf"openai/gpt-{_V}-(?:nano|luna)",
            rf"openai/gpt-{_V}-(?:mini|terra)",
            rf"google/gemini-{_V}-flash-lite",
            rf"anthropic/claude-haiku-{_V}",
        ),
        flagships=(rf"anthropic/claude-opus-{_V}", rf"openai/gpt-{_V}(?:-sol)?"),
        usage=_OPENROUTER,
    ),
    Preset(
        name="together",
        key_variables=("TOGETHER_API_KEY",),
        base_url="https://api.together.xyz/v1",
        url_variables=("TOGETHER_BASE_URL",),
        families=(r"openai/gpt-oss-20b", r"openai/gpt-oss-120b", rf"zai-org/GLM-{_V}"),
        flagships=(rf"zai-org/GLM-{_V}", r"openai/gpt-oss-120b"),
    ),
    Preset(
        name="xai",
        key_variables=("XAI_API_KEY",),
        base_url="https://api.x.ai/v1",
        families=(rf"grok-{_V}", rf"grok-{_V}-(?:mini|fast|fast-non-reasoning)"),
        flagships=(rf"grok-{_V}",),
        usage=_XAI,
    ),
    Preset(
        name="azure",
        key_variables=("AZURE_OPENAI_API_KEY",),
        base_url="",
        url_variables=("AZURE_OPENAI_ENDPOINT",),
        url_suffix="/openai/v1",
        auth="api-key",
        # A deployment bears whatever name its owner gave it; families are of the models that are deployed.
        families=(rf"gpt-{_V}-(?:nano|luna)", rf"gpt-{_V}-(?:mini|terra)", rf"gpt-{_V}(?:-sol)?"),
        flagships=(rf"gpt-{_V}", rf"gpt-{_V}-sol"),
        deployments=True,
        list_from=("/v1", "/deployments?api-version=2023-03-15-preview"),
        hosts=("openai.azure.com", "services.ai.azure.com", "cognitiveservices.azure.com"),
        usage=_OPENAI,
    ),
)


_LISTED_AT = {
    "api.cerebras.ai": "cerebras",
    "api.cohere.com": "cohere",
    "api.deepinfra.com": "deepinfra",
    "api.fireworks.ai": "fireworks",
    "api.minimax.io": "minimax",
    "api.moonshot.ai": "moonshot",
    "api.novita.ai": "novita",
    "api.perplexity.ai": "perplexity",
    "api.z.ai": "zai",
    "aiplatform.googleapis.com": "vertex",
    "inference.baseten.co": "baseten",
}
"""Hosts whose prices are listed, and are of no preset, or under another name than its."""
_IN_REGIONS = re.compile(
    r"(?P<bedrock>bedrock-runtime(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com)"
    r"|(?P<vertex>aiplatform\.[a-z]+\.rep\.googleapis\.com)"
)


def listed_as(name: str, kind: str, host: str) -> str:
    """Whose prices in the list are those of the provider called `name`: by its kind where only one provider
    speaks it, else by its host, else by what it is called."""
    if kind in ("bedrock", "vertex"):
        return kind
    host = host.lower()
    region = _IN_REGIONS.fullmatch(host)
    if region is not None and region.lastgroup is not None:
        return region.lastgroup
    homes = {one: preset.name for preset in PRESETS for one in _homes(preset)}
    for known, listed in {**homes, **_LISTED_AT}.items():
        if _is_at(host, known):
            return listed
    return name


def _homes(preset: Preset) -> tuple[str, ...]:
    home = urlsplit(preset.base_url).hostname
    return (*preset.hosts, *((home,) if home else ()))


def _is_at(host: str, known: str) -> bool:
    return host == known or host.endswith((f".{known}", f"-{known}"))


def usage_form(name: str, host: str) -> UsageForm:
    """What the provider called `name` at `host` means by its usage: by where it is, else by what it is
    called; `UNSAID` where neither is known."""
    host = host.lower()
    for preset in PRESETS:
        if any(_is_at(host, known) for known in _homes(preset)):
            return preset.usage
    return next((preset.usage for preset in PRESETS if preset.name == name), UNSAID)


def processed_in(host: str) -> str:
    """The factor of a price by which a provider at `host` charges more because its requests stay in one
    place, as `processing_eu`; empty: none."""
    if _IN_A_REGION.fullmatch(host.lower()):
        return "regional"
    place = _REGIONAL.fullmatch(host.lower())
    return "" if place is None else f"processing_{place[1]}"


def list_from(name: str) -> tuple[str, str]:
    """What to take off the end of the address of the provider called `name`, and to put there instead, to ask
    for its models."""
    return next((preset.list_from for preset in PRESETS if preset.name == name), ("", "/models"))


class Offers(Protocol):
    """Models to choose from."""

    def models(self, provider: str) -> Iterable[Model]: ...


class Prices(Offers, Protocol):
    """What this module needs of the catalogue."""

    def find(self, provider: str, model: str) -> Model | None: ...


class Pick(Struct, frozen=True, kw_only=True):
    """A chosen model of one provider and its price of today."""

    target: str
    price: Price | None = None
    """None: no list knows it."""

    @property
    def blended_usd(self) -> float:
        """US dollars per million tokens, three of input to one of output; infinite when unknown."""
        if self.price is None:
            return math.inf
        return _blended_pusd(self.price) / (INPUT_WEIGHT + OUTPUT_WEIGHT) / 1e6


class Seen:
    """A price list of one provider, without what an account cannot see: `models` are the names that it can
    be asked by. `kinds` says what a model is, where its name is its owner's own."""

    def __init__(
        self, catalogue: Prices, models: Iterable[str], kinds: Mapping[str, str] | None = None
    ) -> None:
        self._catalogue = catalogue
        self._names = tuple(models)
        self._kinds = kinds or {}

    def models(self, provider: str) -> Iterable[Model]:
        """The undated entries that the account sees, under the name to ask by; one that stands both with and
        without its date is there twice."""
        for name in self._names:
            kind = self._kinds.get(name, name)
            entry = self._catalogue.find(provider, kind)
            if entry is not None and entry.operation == "chat":
                dated = SNAPSHOT.fullmatch(entry.model)
                yield replace(entry, model=dated["base"] if dated else entry.model, asked_as=name)


def base_url(preset: Preset, env: Mapping[str, str]) -> str:
    """Where `preset` is asked; empty when the environment has to name it and does not.

    An address that already ends in the suffix keeps one: SDKs disagree whether the version belongs to it.
    """
    given = next((env[name].strip() for name in preset.url_variables if env.get(name, "").strip()), "")
    if not given:
        return preset.base_url
    stem, suffix = given.rstrip("/"), preset.url_suffix.rstrip("/")
    return stem if stem.endswith(suffix) else stem + preset.url_suffix


def cheapest(preset: Preset, prices: Offers) -> Pick | None:
    """The current general chat model with the lowest blended price; None when the catalogue prices none."""
    current = [pick for pattern in preset.families if (pick := _newest((pattern,), preset, prices))]
    return min(current, key=lambda pick: pick.blended_usd, default=None)


def flagship(preset: Preset, prices: Offers) -> Pick | None:
    """The newest of the provider's best general models; None when the catalogue prices none."""
    return _newest(preset.flagships, preset, prices)


def by_price(preset: Preset, prices: Offers) -> list[Pick]:
    """The general models by price, cheapest first, for an account that sees none of the families; where none
    is general, all that chat."""
    special: list[Pick] = []
    general: list[Pick] = []
    for model in prices.models(preset.name):
        price = price_on(model)
        if (
            price is None
            or _blended_pusd(price) == 0
            or not _capable(model)
            or not named_for_chat(model.model)
        ):
            continue
        pick = Pick(target=f"{preset.name}/{model.asked_as or model.model}", price=price)
        (special if _SPECIAL.search(model.model.lower()) else general).append(pick)
    return sorted(general or special, key=lambda pick: (pick.blended_usd, len(pick.target)))


def _newest(patterns: tuple[str, ...], preset: Preset, prices: Offers) -> Pick | None:
    """The highest version; of two alike the one whose pattern stands first, then the shorter name."""
    found = []
    for model in prices.models(preset.name):
        price = price_on(model)
        if price is None or _blended_pusd(price) == 0 or not _capable(model):
            continue  # a price of nothing is a gap in the list, not a gift
        for rank, pattern in enumerate(patterns):
            if match := re.fullmatch(pattern, model.model):
                name = model.asked_as or model.model
                order = (_version(match), -rank, -len(name))
                found.append((order, Pick(target=f"{preset.name}/{name}", price=price)))
    return max(found, key=lambda one: one[0])[1] if found else None


def _capable(model: Model) -> bool:
    return model.context_tokens_max is None or model.context_tokens_max >= CONTEXT_TOKENS_MIN


def _version(match: re.Match[str]) -> float:
    """`5-5` and `5.5` are 5.5; a name without a version is older than any with one."""
    text = match.groupdict().get("version")
    return float(text.replace("-", ".")) if text else -math.inf


def _blended_pusd(price: Price) -> int:
    return INPUT_WEIGHT * price.input_pusd + OUTPUT_WEIGHT * price.output_pusd
