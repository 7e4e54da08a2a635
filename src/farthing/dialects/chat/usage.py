"""What a provider in OpenAI's form says it counted, in our terms.

One reader for whole answers, streams, batches and embeddings. It takes any JSON and never raises: a count
that cannot be read counts nothing, and what is not counted is estimated by `models/money`. The ordinary
object is one typed decode; whatever else comes (other names, text for numbers, additive reasoning, a cost)
takes the way round by `_Read`.
"""

import math
import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from farthing.dialects.native_usage import (
    is_of_images,
    of_cohere,
    of_converse,
    of_gemini,
    of_images,
    of_ollama,
)
from farthing.text.lenient_json import any_json
from farthing.types import Operation, Usage, replace

TOKENS_MAX = 1_000_000_000  # of one call; more is no count
TOLD_USD_MAX = 1_000_000  # for one call; more is no charge
TICKS_PER_USD = 10_000_000_000  # xAI
AMOUNT_MAX = 10**18  # of any unit of money; more is none
AMOUNT_CHARS_MAX = 64
STANDARD_TIERS = frozenset({"", "default", "standard", "standard_only", "auto", "on_demand"})
NOWHERE = frozenset({"", "global", "not_available"})
FREE_USES = frozenset({"web_fetch", "mcp", "tool_search"})  # of server tools whose tokens are all they cost
NAME_CHARS_MAX = 40

_FEE_COUNTS = (
    ("num_search_queries", "web_search"),
    ("num_sources_used", "search_source"),
    ("citation_tokens", "citation_tokens"),  # Perplexity: beside the prompt
    ("prompt_audio_seconds", "audio_seconds"),  # Mistral: charged by the time, not by tokens
)
_STANDARD_JSON = frozenset({b"null", *(b'"%b"' % tier.encode() for tier in STANDARD_TIERS)})
_LIFE = re.compile(r"(?:^|_)(5m|30m|1h|12h)(?:_|$)")
_NUMBER = re.compile(r"\s*\d{1,15}(?:\.\d{0,15})?\s*", re.ASCII)
_NO_NAME = re.compile(r"[^a-z0-9_]+")


class UsageForm(Struct, frozen=True, kw_only=True):
    """What a provider means by its usage, where its documentation or its bills say so."""

    reasoning: Literal["inside", "added", "unsaid"] = "unsaid"
    """Whether `completion_tokens` holds the reasoning, or leaves it out although it is charged."""
    cost: Literal["", "usd", "ticks"] = ""
    """Where its own word on the charge stands, if that is taken: `cost`, or `cost_in_usd_ticks`."""
    write_life: Literal["5m", "30m"] = "5m"
    """How long a prefix is cached of which nothing is said."""
    tiers: dict[str, str] = {}
    """Other names of its service tiers: `fast` is what OpenAI now calls `priority`."""


UNSAID = UsageForm()


# -- the ordinary object ----------------------------------------------------------------------------


_Some = Annotated[int, Meta(gt=0, lt=TOKENS_MAX)]
_Count = Annotated[int, Meta(ge=0, lt=TOKENS_MAX)]
_None = Literal[0] | None


class _InputDetails(Struct, forbid_unknown_fields=True):
    cached_tokens: _Count | None = None
    audio_tokens: _None = None
    text_tokens: int | None = None
    image_tokens: _None = None
    video_tokens: int | None = None
    cache_write_tokens: _Count | None = None


class _OutputDetails(Struct, forbid_unknown_fields=True):
    reasoning_tokens: _Count | None = None
    audio_tokens: _None = None
    text_tokens: int | None = None
    image_tokens: _None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class Ordinary(Struct, forbid_unknown_fields=True):
    """The fields that nearly every provider sends and no others, each of its own type, none of which counts
    anything but text."""

    prompt_tokens: _Some
    total_tokens: Annotated[int, Meta(gt=0)]
    completion_tokens: _Some | None = None
    """Of embeddings nobody tells it."""
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: _Count = 0
    prompt_cache_miss_tokens: int = 0
    prompt_time: float | None = None
    completion_time: float | None = None
    queue_time: float | None = None
    total_time: float | None = None
    cost: float | None = None
    is_byok: bool | None = None
    cost_details: Raw = Raw(b"null")
    cost_in_usd_ticks: int | None = None
    num_sources_used: _None = None


_decode_ordinary = msgspec.json.Decoder(Ordinary).decode


def read_usage(
    raw: bytes | Raw,
    form: UsageForm = UNSAID,
    *,
    service_tier: bytes | Raw | str | None = None,
    operation: Operation = "chat",
) -> Usage | None:
    """The JSON of `usage` in our terms; None when it counts nothing. Never raises.

    `service_tier` is the answer's, not the request's: what ran decides. The result is marked `estimated`
    where one of the two counts is missing; that one is 0 and has yet to be estimated.
    """
    try:
        usage = of_ordinary(_decode_ordinary(raw), form, service_tier, operation)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        usage = None
    return _read_oddly(raw, form, service_tier, operation) if usage is None else usage


def states_nought(usage: Any) -> bool:
    """Whether a usage, as JSON or as what was read of it, says in so many words that nothing was written:
    a statement where nothing was answered, and beside an answer no count. Never raises."""
    fields = any_json(usage) if isinstance(usage, bytes | Raw) else usage
    if not isinstance(fields, dict):
        return False
    inputs = _first(fields, "prompt_tokens", "input_tokens")
    outputs = _first(fields, "completion_tokens", "output_tokens")
    if inputs is None or outputs != 0 or _first(fields, "total_tokens") not in (None, inputs):
        return False
    details = fields.get("completion_tokens_details") or fields.get("output_tokens_details")
    if isinstance(details, bytes | Raw):
        details = any_json(details)
    return not (isinstance(details, dict) and any(details.values()))  # thoughts are written too


def begun(usage: Usage) -> Usage | None:
    """What was counted on the way of an answer that did not end: the prompt is the whole of it, the answer is
    not. None where no prompt was counted."""
    if not usage.input_tokens:
        return None
    counted: Usage = replace(
        usage,
        output_tokens=0,
        reasoning_tokens=0,
        audio_output_tokens=0,
        image_output_tokens=0,
        passes=None,
        told_nusd=None,
        estimated=True,
    )
    return counted


def as_stated(usage: Usage | None) -> Usage:
    """The usage of an answer in which nothing is said, where it states as much: its noughts count."""
    stated: Usage = replace(Usage() if usage is None else usage, estimated=False)
    return stated


def of_ordinary(
    told: Ordinary, form: UsageForm, service_tier: bytes | Raw | str | None, operation: Operation
) -> Usage | None:
    """As `read_usage`, of an object that was read already; None: it takes the way round."""
    inputs, said = told.prompt_tokens, told.completion_tokens
    if said is None:
        if operation == "embeddings" and told == Ordinary(prompt_tokens=inputs, total_tokens=inputs):
            return Usage(
                input_tokens=inputs, tier="" if service_tier is None else tier_of(service_tier, form)
            )
        return None
    cached, written, reasoning = told.prompt_cache_hit_tokens, 0, 0
    details, parts = told.prompt_tokens_details, told.completion_tokens_details
    if details is not None:
        cached = details.cached_tokens or cached
        written = details.cache_write_tokens or 0
    if parts is not None:
        reasoning = parts.reasoning_tokens or 0
    outputs = told.total_tokens - inputs  # with the reasoning, where the total shows that it was left out
    if cached > inputs or written > inputs or reasoning > outputs or (outputs - said) not in (0, reasoning):
        return None
    told_nusd: int | None = None
    if form.cost:
        if form.cost == "usd" and told.cost is not None and told.is_byok is not False:
            return None
        told_nusd = _nusd(told.cost) if form.cost == "usd" else _nusd(told.cost_in_usd_ticks, TICKS_PER_USD)
    tier = "" if service_tier is None else tier_of(service_tier, form)
    untold = not (cached or told.prompt_cache_miss_tokens) and (
        details is None or (details.cached_tokens is None and not written)
    )
    if not (tier or written) and told_nusd is None:
        return Usage(
            input_tokens=inputs,
            output_tokens=outputs,
            cached_tokens=cached,
            reasoning_tokens=reasoning,
            cache_untold=untold,
        )
    return Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        cached_tokens=cached,
        reasoning_tokens=reasoning,
        cache_write_5m_tokens=written if form.write_life == "5m" else 0,
        cache_write_30m_tokens=written if form.write_life == "30m" else 0,
        tier=tier,
        told_nusd=told_nusd,
        cache_untold=untold,
    )


# -- everything else --------------------------------------------------------------------------------


def _read_oddly(
    raw: bytes | Raw, form: UsageForm, service_tier: bytes | Raw | str | None, operation: Operation
) -> Usage | None:
    fields = any_json(raw)
    return read_fields(fields, form, service_tier, operation) if isinstance(fields, dict) else None


def read_fields(
    fields: dict[str, Any],
    form: UsageForm = UNSAID,
    service_tier: bytes | Raw | str | None = None,
    operation: Operation = "chat",
) -> Usage | None:
    """As `read_usage`, of an object of any form that was read already."""
    return _Read(_as_chat(fields), form).usage(service_tier, operation)


def _as_chat(fields: dict[str, Any]) -> dict[str, Any]:
    """A usage under the names of chat."""
    if "promptTokenCount" in fields or "totalTokenCount" in fields:
        return of_gemini(fields, _count)
    if "inputTokens" in fields or "outputTokens" in fields:
        return of_converse(fields, _count)
    if "billed_units" in fields:
        return of_cohere(fields)
    if "eval_count" in fields:
        return of_ollama(fields)
    return of_images(fields) if is_of_images(fields) else fields


class _Read:
    """One usage object of any shape."""

    def __init__(self, fields: dict[str, Any], form: UsageForm) -> None:
        self.fields = fields
        self.form = form
        self.input_details = _table(
            fields, "prompt_tokens_details", "input_tokens_details", "input_token_details"
        )
        self.output_details = _table(
            fields, "completion_tokens_details", "output_tokens_details", "output_token_details"
        )

    def usage(self, service_tier: bytes | Raw | str | None, operation: Operation) -> Usage | None:
        fields = self.fields
        told_inputs = _first(fields, "prompt_tokens", "input_tokens")
        told_outputs = _first(fields, "completion_tokens", "output_tokens")
        total = _first(fields, "total_tokens")
        told_cached = self._cached()
        cached = told_cached or 0
        writes = self._writes()
        inputs = told_inputs or 0
        outputs = told_outputs or 0
        if not inputs and total is not None and total > outputs:
            inputs = total - outputs
        reasoning = self._reasoning()
        inputs = self._with_cache(inputs, outputs, total, cached + sum(writes.values()), reasoning)
        outputs = self._with_reasoning(outputs, reasoning, None if total is None else total - inputs)
        if operation == "embeddings":
            outputs, missing = 0, not inputs
        else:
            # a nought beside a total that holds it is said twice, and is believed
            missing = not inputs or (not outputs and not (told_outputs == 0 and total == inputs))
        told_nusd, fees = self._told_nusd(), self._fees()
        audio, cached_audio = self._input_part("audio_tokens")
        images, cached_images = self._input_part("image_tokens")
        if not inputs and not outputs and told_nusd is None and fees is None:
            return None
        return Usage(
            input_tokens=inputs,
            output_tokens=outputs,
            cached_tokens=cached,
            reasoning_tokens=min(reasoning, outputs),
            estimated=missing,
            cache_write_5m_tokens=writes["5m"],
            cache_write_30m_tokens=writes["30m"],
            cache_write_1h_tokens=writes["1h"],
            cache_write_12h_tokens=writes["12h"],
            audio_input_tokens=audio,
            audio_output_tokens=_first(self.output_details, "audio_tokens") or 0,
            image_input_tokens=images,
            image_output_tokens=_first(self.output_details, "image_tokens") or 0,
            tier=self._tier(service_tier),
            region=self._region(),
            fees=fees,
            told_nusd=told_nusd,
            cached_audio_tokens=min(cached_audio, cached),
            cached_image_tokens=min(cached_images, max(0, cached - cached_audio)),
            cache_untold=told_cached is None and not any(writes.values()),
        )

    # -- tokens -------------------------------------------------------------------------------------

    def _cached(self) -> int | None:
        """What was read from the prefix cache; None: no field tells."""
        details = _first(self.input_details, "cached_tokens", "cache_read_tokens")
        beside = _first(self.fields, "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
        return details or (details if beside is None else beside)

    def _input_part(self, name: str) -> tuple[int, int]:
        """Tokens of audio or of images in the input: fresh ones, and those read from the prefix cache."""
        told = _first(self.input_details, name) or 0
        cached = min(told, _first(_table(self.input_details, "cached_tokens_details"), name) or 0)
        return told - cached, cached

    def _writes(self) -> dict[str, int]:
        """Tokens written to the prefix cache, by how long they stay there."""
        written = {"5m": 0, "30m": 0, "1h": 0, "12h": 0}
        split = _table(
            self.input_details,
            "cache_write_tokens_details",
            "cache_creation_token_details",
            "cache_creation_tokens_details",
            "cache_creation",  # DashScope
        ) or _table(self.fields, "cache_creation", "cache_write_tokens_details")
        for name, value in split.items():
            life = _LIFE.search(name)
            if life is not None:
                written[life[1]] += _count(value) or 0
        if not any(written.values()):  # new-api
            written["5m"] = _count(self.fields.get("claude_cache_creation_5_m_tokens")) or 0
            written["1h"] = _count(self.fields.get("claude_cache_creation_1_h_tokens")) or 0
        told = (
            _first(
                self.input_details,
                "cache_write_tokens",
                "cache_creation_tokens",
                "cache_creation_input_tokens",  # DashScope
                "cached_creation_tokens",  # new-api
            )
            or _first(self.fields, "cache_creation_input_tokens", "cache_write_tokens")
            or 0
        )
        written[self.form.write_life] += max(0, told - sum(written.values()))
        return written

    def _with_cache(self, inputs: int, outputs: int, total: int | None, cache: int, reasoning: int) -> int:
        """The input with what went by the cache. OpenAI's form counts it inside; proxies in front of
        Anthropic or Bedrock keep some their counting: that shows in a total, which the reasoning does not
        explain as well, or, under Anthropic's names, in more than there is."""
        anthropic = "cache_read_input_tokens" in self.fields or "cache_creation_input_tokens" in self.fields
        thoughts = reasoning == cache or (self.form.reasoning == "added" and reasoning == 0)
        beside = total == inputs + outputs + cache and (anthropic or not thoughts)
        if cache and (beside or (anthropic and cache > inputs)):
            return inputs + cache
        return inputs

    def _reasoning(self) -> int:
        return (
            _first(self.output_details, "reasoning_tokens", "thinking_tokens")
            or _first(self.fields, "reasoning_tokens")
            or 0
        )

    def _with_reasoning(self, outputs: int, reasoning: int, total_outputs: int | None) -> int:
        """The output with its reasoning. `total_outputs` is what the total leaves for it; None: not told.

        More reasoning than output cannot be inside. Where a provider's is documented to be, an odd total is
        no reason to charge for more, unless it is odd by the reasoning or there is no other count.
        """
        both = outputs + reasoning
        least = both if reasoning > outputs else outputs
        if total_outputs is None:
            return both if self.form.reasoning == "added" else least
        odd = self.form.reasoning == "inside" and outputs and total_outputs != both
        return least if odd or total_outputs <= outputs else total_outputs

    # -- what else decides the price ----------------------------------------------------------------

    def _tier(self, service_tier: bytes | Raw | str | None) -> str:
        speed = self.fields.get("speed")
        if isinstance(speed, str) and tier_of(speed, UNSAID):
            return tier_of(speed, UNSAID)
        return tier_of(self.fields.get("service_tier") if service_tier is None else service_tier, self.form)

    def _region(self) -> str:
        where = self.fields.get("inference_geo")
        if not isinstance(where, str) or where.strip().lower() in NOWHERE:
            return ""
        return f"inference_geo_{_name(where)}"

    def _fees(self) -> dict[str, int] | None:
        """Uses of tools that a provider charges by the use."""
        used: dict[str, int] = {}
        for table in ("server_tool_use", "server_side_tool_usage_details"):
            for key, value in _table(self.fields, table).items():
                name = _name(key.removesuffix("_requests").removesuffix("_calls"))
                count = _count(value)
                if count and name not in FREE_USES and len(used) < 16:
                    used[name] = used.get(name, 0) + count
        for key, name in _FEE_COUNTS:
            count = _first(self.fields, key)
            if count and name not in used:
                used[name] = count
        if not used and isinstance(self.fields.get("search_context_size"), str):
            used["web_search"] = 1
        return used or None

    def _told_nusd(self) -> int | None:
        match self.form.cost:
            case "usd":
                return self._told_usd()
            case "ticks":
                return _nusd(self.fields.get("cost_in_usd_ticks"), TICKS_PER_USD)
            case _:
                return None

    def _told_usd(self) -> int | None:
        """OpenRouter's charge. With a key of one's own `cost` is its fee alone, and the provider's charge
        stands beside it; else that is a part of it."""
        cost = _decimal(self.fields.get("cost"))
        upstream = _decimal(_table(self.fields, "cost_details").get("upstream_inference_cost"))
        own_key = self.fields.get("is_byok")
        if cost is None:
            return None
        if own_key is True and upstream is None:
            return None  # the fee is known and the charge is not
        if own_key is True or (own_key is None and upstream is not None and upstream > cost):
            cost += upstream or 0
        return _nusd(cost)


def tier_of(said: Any, form: UsageForm = UNSAID) -> str:
    """The service tier in our terms; empty for the standard one, and for what names none."""
    if said.__class__ is Raw or said.__class__ is bytes:
        if bytes(said) in _STANDARD_JSON:
            return ""
        said = any_json(said)
    if not isinstance(said, str) or said in STANDARD_TIERS:
        return ""
    name = _name(said)
    return "" if name in STANDARD_TIERS else form.tiers.get(name, name)


def at_tier(usage: Usage, ran: str) -> Usage:
    """`usage` at the service tier that ran, in its provider's word."""
    found: Usage = replace(usage, tier=tier_of(ran))
    return found


def tier_shown(answer: bytes | None) -> str | None:
    """What a whole answer or an event says of the service tier; None when it names none. Never raises."""
    if answer is None or b'"service_tier"' not in answer:
        return None
    fields = any_json(answer)
    said = fields.get("service_tier") if isinstance(fields, dict) else None
    return said if isinstance(said, str) else None


def _name(said: str) -> str:
    """A provider's word as a name of ours."""
    return _NO_NAME.sub("_", said.strip().lower()[:NAME_CHARS_MAX]).strip("_")


def _table(of: dict[str, Any], *names: str) -> dict[str, Any]:
    """The first of `names` that is an object; an empty one when none is."""
    for name in names:
        found = of.get(name)
        if isinstance(found, dict):
            return found
    return {}


def _first(of: dict[str, Any], *names: str) -> int | None:
    """The first count above zero among `names`, else a zero that is told, else None."""
    told: int | None = None
    for name in names:
        count = _count(of.get(name))
        if count:
            return count
        told = count if told is None else told
    return told


def _count(value: Any) -> int | None:
    """A count of tokens, of whatever type; a part of a token is a token. None when it is none."""
    if value.__class__ is str:
        if not _NUMBER.fullmatch(value):
            return None
        value = float(value)
    if value.__class__ is float:
        if not 0 <= value < TOKENS_MAX:  # which NaN is not
            return None
        value = math.ceil(value)
    return value if value.__class__ is int and 0 <= value < TOKENS_MAX else None


def _decimal(value: Any) -> Decimal | None:
    """An amount of money that is told; None when it is none. Exact: a float stands for its shortest text."""
    if value.__class__ not in (int, float, str, Decimal):
        return None
    text = str(value).strip()
    if len(text) > AMOUNT_CHARS_MAX:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount < AMOUNT_MAX else None


def _nusd(usd: Any, per_usd: int = 1) -> int | None:
    """Nano-dollars of an amount in units of which `per_usd` are a dollar; None when none is told."""
    amount = _decimal(usd)
    if amount is None or amount > TOLD_USD_MAX * per_usd:
        return None
    return int((amount * 1_000_000_000 / per_usd).to_integral_value(ROUND_HALF_UP))
