"""Writes what each stage found into the receipt: who asked, who answered and how it ended."""

import asyncio
import re

from farthing.dialects.chat.fields import FIELDS, PARTS
from farthing.errors import (
    ContractExceeded,
    DeadlineExceeded,
    FarthingError,
    NoProviderLeft,
)
from farthing.models.calling.request import CallResult
from farthing.pipeline.guarded import pins, tell_asked
from farthing.pipeline.steps import Steps
from farthing.runtime.redact import without_asked
from farthing.types import CacheHit, CacheLookup, Receipt, Request, Route, Traits

MESSAGE_CHARS_MAX = 1_000
WORD_CHARS_MAX = 40
_A_WORD = re.compile(r"[A-Za-z]{1,24}(?:[ _.:-][A-Za-z]{1,24}){0,3}")
EXCERPT_CHARS_MAX = 500  # of a message that holds words of a provider


def note_asked(request: Request, traits: Traits, steps: Steps, receipt: Receipt) -> None:
    """Record the traits of the request; the inspector hears of it if its session or user is known."""
    receipt.task_type = traits.task
    receipt.complexity = traits.complexity
    receipt.risk = traits.risk
    receipt.domain = traits.domain
    receipt.language = traits.language
    if (request.session is not None or request.user) and not receipt.purpose and steps.inspector is not None:
        tell_asked(steps.inspector, request, steps, receipt)


def note_hit(request: Request, receipt: Receipt, target: str, steps: Steps) -> None:
    """Record the target whose stored answer is served again, and choose the baseline to compare its cost
    with."""
    receipt.target = target
    receipt.tier = "cache"
    receipt.route_reason = f"{receipt.cache} hit"
    steps.money.choose_baseline(receipt, target, pinned=pins(request, steps, receipt))


def note_lookup(receipt: Receipt, lookup: CacheLookup | None) -> CacheHit | None:
    """Record the result of the semantic cache. Returns the stored answer if it may be served."""
    if receipt.cache == "off":
        receipt.cache = "miss"
    if lookup is None:
        return None
    receipt.cache_language = lookup.language
    candidate = lookup.candidate
    if candidate is None:
        return None
    receipt.cache_entry = candidate.entry
    receipt.cache_probability = None if lookup.confirmed else candidate.verdict.probability
    receipt.similarity = candidate.hit.similarity
    if lookup.serves:
        receipt.cache = "semantic"
        return candidate.hit
    receipt.cache_would_hit = candidate.verdict.outcome == "serve"
    return None


def note_route(receipt: Receipt, route: Route, steps: Steps) -> None:
    receipt.tier = route.tier
    receipt.route_reason = route.reason
    receipt.route_score = route.score
    receipt.propensity = route.propensity
    if route.by or route.policy:
        receipt.route_by, receipt.route_policy = route.by, route.policy
        receipt.explored = "" if route.shadow is None else route.shadow.tier
    first = route.targets[0].name if route.targets else ""
    steps.money.choose_baseline(receipt, first, pinned=route.pinned)


def note_target(receipt: Receipt, result: CallResult) -> None:
    """Record the target that answered and the time to its first token. The headers name the target."""
    receipt.target, receipt.tier = result.target.name, result.attempt.tier
    receipt.ttft_ms = result.attempt.started_ms + (result.attempt.ttft_ms or 0.0) + result.held_ms


def note_end(request: Request, receipt: Receipt, result: CallResult) -> None:
    """Record how a stream ended.

    Raises:
        ContractExceeded, DeadlineExceeded: a limit cut it, and the endpoint allows no partial
            answers.
    """
    stream = result.stream
    assert stream is not None
    receipt.status = 200
    if stream.cut is None:
        receipt.stop_reason = stop_reason(stream.reader.finish_reason, result)
        return
    receipt.stop_reason = f"limit:{stream.cut}"
    if request.endpoint.terms.on_limit == "refuse":
        if stream.cut == "deadline_s":
            raise DeadlineExceeded("the deadline of the endpoint passed before the answer was complete")
        raise ContractExceeded(f"the endpoint's {stream.cut} was reached", limit=stream.cut)


def note_failure(request: Request, receipt: Receipt, error: BaseException) -> None:
    """Record why there is no answer. An exception that is neither a `FarthingError` nor a cancellation is a
    bug: the edge answers 500 and logs it, and there is a receipt for it too."""
    if isinstance(error, FarthingError):
        note_error(receipt, error, request)
    elif isinstance(error, asyncio.CancelledError):
        note_cancelled(receipt, error)
    else:
        receipt.status, receipt.stop_reason, receipt.error = 500, "error", type(error).__name__


def note_cancelled(receipt: Receipt, error: asyncio.CancelledError) -> None:
    """Record a cancellation: the client left, or the gateway is shutting down and the client is told so."""
    why = "draining" if error.args == ("draining",) else "client_gone"
    receipt.status = 503 if why == "draining" else 499
    receipt.stop_reason = receipt.error = why


def note_error(receipt: Receipt, error: FarthingError, request: Request | None = None) -> None:
    """Record `error`. Of a provider's message, the receipt has an excerpt from which the words of `request`
    are removed; without `request`, or if it is too long to compare, it has none of the provider's words."""
    receipt.error = error.code
    receipt.error_message = str(error)[:MESSAGE_CHARS_MAX]
    if request is not None:
        receipt.error_message = _excerpt(error, request) or receipt.error_message
    receipt.status = error.status
    if isinstance(error, ContractExceeded):
        receipt.stop_reason = f"limit:{error.limit}"
    elif isinstance(error, NoProviderLeft):
        receipt.stop_reason = "no_provider"
    else:
        receipt.stop_reason = "error"


def _excerpt(error: FarthingError, request: Request) -> str | None:
    """The message, with those words of others that do not repeat the request. None: the request is too long
    to compare with."""
    unknown = False

    def cleaned(words: str) -> str:
        nonlocal unknown
        found = without_asked(words[:EXCERPT_CHARS_MAX], request.body, FIELDS | PARTS)
        unknown = unknown or found is None
        return found or ""

    told = error.worded(cleaned)[:MESSAGE_CHARS_MAX]
    return None if unknown else told


def stop_reason(finish_reason: str | None, result: CallResult) -> str:
    """The provider's stop reason, or the gateway's limit that stopped it; `other` for text that is not a
    single word."""
    if finish_reason == "length" and result.capped_by is not None:
        return f"limit:{result.capped_by}"
    if finish_reason and (len(finish_reason) > WORD_CHARS_MAX or not finish_reason.isidentifier()):
        return finish_reason if _A_WORD.fullmatch(finish_reason) else "other"
    return finish_reason or "stop"
