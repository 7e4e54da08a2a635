"""THE JOURNEY of one request, start to finish. Read this file first.

    admit -> guard -> classify -> cache -> compose -> route -> reserve -> call -> check -> settle -> record

`admit` is the edge's, before any work (edge/admit); the rest stands in `answer`, in this order. Promises
that hold on every path through it, each with a test of that name:

1.  The brain can make an answer cheaper or sooner, never absent: `optional` goes on without a step
    that fails or is late, and all optional steps of one request share one time budget.
2.  A failed provider is invisible until the first chunk is out, and told truthfully after it.
3.  One request leaves exactly one receipt: success, error, disconnect or crash.
4.  Money is reserved before it is spent and settled exactly once.
5.  What the client sent reaches the model unless the configuration says otherwise, field by field.

`next_stage` marks where a busy gateway changes from one stage to the next for all its requests at once
(`turn`); it means nothing to a single one.

The last bytes of an answer are returned, not sent: the edge sends them after the receipt is written, so
no client holds a complete answer that the ledger does not know.
"""

import asyncio
import logging
from collections.abc import Coroutine
from time import perf_counter
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from farthing.brain.cache.flight import Flight, Flights
from farthing.brain.compose import compose
from farthing.errors import (
    ContractExceeded,
    FarthingError,
    NoProviderLeft,
    ProviderUnavailable,
    RequestError,
    StreamBroken,
)
from farthing.escalate import Cascades
from farthing.models import answers
from farthing.models.call import Called, Caller, Wanted
from farthing.models.money import Money
from farthing.postprocess.guard import guard_request
from farthing.protocols import (
    Classifier,
    Confirmer,
    Contract,
    Guardrail,
    Hold,
    Inspector,
    Ledger,
    ResponseCache,
    Router,
    SemanticCache,
    Sink,
)
from farthing.turn import in_task, next_stage, resumed
from farthing.types import Answer, CacheHit, Look, Prompt, Receipt, Request, Route, Traits

log = logging.getLogger("farthing.pipeline")
T = TypeVar("T")

NOTHING_KNOWN = Traits()


class Steps(Struct, frozen=True, kw_only=True):
    """The implementations one configuration chose. Built by `app.py`, replaced whole by a reload."""

    guardrails: tuple[Guardrail, ...]
    classifier: Classifier
    cache: ResponseCache
    semantic: SemanticCache | None
    """None: only the same question gets a stored answer."""
    confirmer: Confirmer | None = None
    """None: what the verifier cannot tell is a miss."""
    inspector: Inspector | None = None
    """None: nothing is learned about answers."""
    inspects: bool = False
    """Whether it looks at any answer, or only hears who asks again."""
    flights: Flights | None
    """None: identical requests do not share a call."""
    router: Router
    contract: Contract
    caller: Caller
    cascades: Cascades
    ledger: Ledger
    money: Money
    brain_timeout_s: float
    kept_bytes_max: int
    """Largest streamed answer that is kept for the cache."""
    strict: bool = False


async def answer(request: Request, steps: Steps, receipt: Receipt, sink: Sink) -> Answer:
    """Answer `request`: stream the middle of a streamed answer to `sink`, return what comes last.

    Raises:
        RequestError, Overloaded, NoProviderLeft: before anything was sent, so the edge can set a status.
        StreamBroken: after the first chunk.
    """
    hold: Hold | None = None
    flight: Flight | None = None
    to_keep: CacheHit | None = None
    look: Look | None = None
    try:
        await next_stage()
        if steps.guardrails:
            await guard_request(request, steps.guardrails)
        traits = await optional("classify", steps.classifier.classify(request), NOTHING_KNOWN, steps, receipt)
        note_asked(request, traits, steps, receipt)

        await next_stage()
        key = steps.cache.key(request)
        hit, flight = (None, None) if key is None else await reuse(request, key, steps, receipt)
        if hit is None and request.endpoint.semantic is not None:
            hit, look = await reuse_similar(request, traits, steps, receipt)
        served = None if hit is None else serve_hit(request, hit, steps, receipt)
        if served is not None:
            to_keep = hit  # for those who wait for the same answer
            return served

        prompt = compose(request, traits, request.endpoint.terms)
        routing = steps.router.route(request, traits)
        route = await optional("route", routing, None, steps, receipt) or steps.router.fallback(request)
        note_route(receipt, route, steps)
        if route.fixed is not None:
            return serve_fixed(request, route.fixed, steps, receipt)

        hold = steps.contract.reserve(request, prompt)
        inspected = inspector_of(request, route, steps, receipt) if steps.inspects else None
        keeps = key is not None or look is not None or inspected is not None
        wanted = want(request, prompt, hold, receipt, steps.kept_bytes_max if keeps else 0)
        called = await (  # what may be escalated is checked before a byte of it goes out
            steps.caller.call(wanted, route)
            if route.escalation is None and receipt.purpose != "explore"
            else steps.cascades.answer(wanted, route, steps.caller, steps.money)
        )
        relayed = called.stream is not None
        reply = await relay(wanted, called, sink, steps) if relayed else deliver(wanted, called, steps)

        await next_stage()
        if keeps:
            to_keep = await keep(request, key, look, called, steps, receipt)
            if inspected is not None and to_keep is not None:
                inspected.inspect(request, route, to_keep, receipt)
        return reply
    except BaseException as error:
        note_failure(receipt, error)
        raise
    finally:
        if flight is not None:
            flight.land(to_keep, left=receipt.status == 499)
        steps.money.total(receipt)
        if hold is not None:
            hold.settle(receipt.cost_nusd)
        steps.ledger.record(receipt)


async def reuse(
    request: Request, key: bytes, steps: Steps, receipt: Receipt
) -> tuple[CacheHit | None, Flight | None]:
    """Look for an answer that is there already or under way. The flight, when given, must land."""
    mode = request.endpoint.cache_exact
    if mode == "refresh":
        receipt.cache = "miss"
        return None, None
    hit = await optional("cache", steps.cache.lookup(key), None, steps, receipt)
    if mode == "observe":
        receipt.cache_would_hit = hit is not None
        return None, None
    if hit is not None:
        receipt.cache = hit.kind
        receipt.similarity = hit.similarity
        return hit, None
    receipt.cache = "miss"
    if steps.flights is None:
        return None, None
    flight = steps.flights.join(key)
    if flight.leads:
        return None, flight
    hit = await flight.answer()
    if hit is not None:
        receipt.cache = "coalesced"
    return hit, flight if flight.leads else None


async def reuse_similar(
    request: Request, traits: Traits, steps: Steps, receipt: Receipt
) -> tuple[CacheHit | None, Look | None]:
    """Look for the answer to a question that asks the same in other words; the look is for `keep`."""
    if steps.semantic is None or steps.router.answers(request, traits):
        return None, None  # what the configuration says itself is not replaced by what was said to another
    look = await optional("semantic", steps.semantic.look(request, receipt), None, steps, receipt)
    if look is not None and look.unsure and steps.confirmer is not None:
        await confirm(request, look, steps.confirmer, steps.semantic)
    return note_look(receipt, look), look


async def confirm(request: Request, look: Look, confirmer: Confirmer, semantic: SemanticCache) -> None:
    """Let a model say whether the stored answer may go out: in a time of its own, not the brain's, since the
    endpoint that wants this waits for a model either way."""
    if look.proposal is not None and await confirmer.confirm(request, look.proposal):
        await semantic.confirmed(look, request)


async def keep(
    request: Request, key: bytes | None, look: Look | None, called: Called, steps: Steps, receipt: Receipt
) -> CacheHit | None:
    """Keep a complete answer for those who ask the same or alike; None when it is not to be shared. One that
    was doubted, and went out for want of a better, is shared with those who wait for it and kept for none."""
    fresh = answers.storable(request, called)
    if fresh is None or "escalate" in receipt.skipped:
        return fresh
    if key is not None:
        keeping = steps.cache.store(key, fresh, ttl_s=request.endpoint.cache_ttl_s)
        await optional("store", keeping, None, steps, receipt)
    if look is not None and steps.semantic is not None:
        learning = steps.semantic.learn(look, request, fresh, receipt)
        await optional("learn", learning, None, steps, receipt)
    return fresh


def inspector_of(request: Request, route: Route, steps: Steps, receipt: Receipt) -> Inspector | None:
    """Who will look at the answer afterwards. The gateway's own errands are not looked at."""
    inspector = steps.inspector
    return (
        inspector
        if inspector is not None and not receipt.purpose and inspector.wants(request, route)
        else None
    )


def want(request: Request, prompt: Prompt, hold: Hold, receipt: Receipt, keep_bytes_max: int) -> Wanted:
    """What to ask for. What a deadline may cut is streamed to us, so that a part of it can be returned."""
    terms = request.endpoint.terms
    if terms.deadline_s is not None and terms.on_limit == "partial" and request.operation == "chat":
        prompt = msgspec.structs.replace(prompt, stream=True)
    return Wanted(request=request, prompt=prompt, hold=hold, receipt=receipt, keep_bytes_max=keep_bytes_max)


def deliver(wanted: Wanted, called: Called, steps: Steps) -> Answer:
    """Take over the whole answer that `called` holds."""
    receipt, reply = wanted.receipt, called.reply
    assert reply is not None, "a target that answers has a reply or a stream"
    note_target(receipt, called)
    receipt.stop_reason = stop_reason(reply.finish_reason, called)
    receipt.status = 200
    steps.money.account(called, wanted.prompt, receipt)
    if steps.caller.times:
        steps.caller.timed(called, wanted)
    return Answer(body=reply.body)


async def relay(wanted: Wanted, called: Called, sink: Sink, steps: Steps) -> Answer:
    """Relay or gather the stream that `called` began, and return the last of it.

    Raises:
        StreamBroken: the provider failed after its first chunk.
    """
    request, receipt, stream = wanted.request, wanted.receipt, called.stream
    assert stream is not None
    note_target(receipt, called)
    try:
        if request.stream:
            await stream.relay(sink)
        else:
            await stream.gather()
        note_end(request, receipt, called)
    except StreamBroken as error:
        called.health.failed(ProviderUnavailable(str(error)))
        called.attempt.error = error.code
        raise
    finally:
        steps.money.account(called, wanted.prompt, receipt)
        if steps.caller.times:
            steps.caller.timed(called, wanted)
    steps.money.total(receipt)  # its cost goes out with the closing events
    return answers.closing(request, stream, receipt) if request.stream else answers.gathered(stream)


def serve_hit(request: Request, hit: CacheHit, steps: Steps, receipt: Receipt) -> Answer | None:
    """The stored answer; it cost nothing now, and is compared with what it would have cost.

    None: it cannot be given in the form this client asked for, so the journey goes on as at a miss.
    """
    reply = answers.from_hit(request, hit)
    if reply is None:
        receipt.skipped["cache"], receipt.cache, receipt.similarity = "NotChunks", "miss", None
        return None
    receipt.usage = hit.usage
    receipt.target = hit.target
    receipt.tier = "cache"
    receipt.route_reason = f"{receipt.cache} hit"
    receipt.status, receipt.stop_reason = 200, "stop"
    steps.money.choose_baseline(receipt, hit.target if steps.router.pins(request) else None)
    return reply


def serve_fixed(request: Request, text: str, steps: Steps, receipt: Receipt) -> Answer:
    """The tier `none`: a rule of the configuration answers, no model does."""
    receipt.usage = steps.money.fixed_usage(request, text)
    receipt.status, receipt.stop_reason = 200, "stop"
    return answers.from_fixed(request, text, receipt.usage)


async def optional(name: str, step: Coroutine[Any, Any, T], default: T, steps: Steps, receipt: Receipt) -> T:
    """Await one optional step; if it fails or the brain's time is up, note why and use `default`.

    No other `except Exception` of the request path goes on afterwards: promise 1 is kept here alone.
    A step that never waits costs no timer: it is run to its first wait before one is set.
    """
    stage_ms = receipt.stage_ms
    began_s = perf_counter()
    try:
        try:
            waits_for = step.send(None)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # T, by the type of `step`
        left_s = time_left_s(name, steps, stage_ms)
        await in_task()
        async with asyncio.timeout(max(0.0, left_s)):
            return await resumed(step, waits_for)
    except RequestError:
        raise
    except Exception as error:
        if steps.strict:
            raise
        log.warning("step %s skipped: %s: %s", name, type(error).__name__, error)
        receipt.skipped[name] = type(error).__name__
        return default
    finally:
        stage_ms[name] = (perf_counter() - began_s) * 1000


def time_left_s(name: str, steps: Steps, stage_ms: dict[str, float]) -> float:
    """What the brain has left for the step `name`. A router that asks a model has a time of its own for it,
    which is not taken from the others."""
    asks_s = steps.router.wait_s
    spent_ms = sum(stage_ms.values()) - (stage_ms.get("route", 0.0) if asks_s else 0.0)
    return steps.brain_timeout_s + (asks_s if name == "route" else 0.0) - spent_ms / 1000


def note_asked(request: Request, traits: Traits, steps: Steps, receipt: Receipt) -> None:
    """What was asked. Who learns from answers hears of it where it can be told who asks."""
    receipt.task_type = traits.task
    receipt.complexity = traits.complexity
    receipt.risk = traits.risk
    receipt.domain = traits.domain
    receipt.language = traits.language
    if (request.session is not None or request.user) and not receipt.purpose and steps.inspector is not None:
        steps.inspector.asked(request, receipt)


def note_look(receipt: Receipt, look: Look | None) -> CacheHit | None:
    """What the semantic cache had; the answer, when it may be served."""
    if receipt.cache == "off":
        receipt.cache = "miss"
    if look is None:
        return None
    receipt.cache_language = look.language
    proposal = look.proposal
    if proposal is None:
        return None
    receipt.cache_entry = proposal.entry
    receipt.cache_probability = None if look.confirmed else proposal.verdict.probability
    receipt.similarity = proposal.hit.similarity
    if look.serves:
        receipt.cache = "semantic"
        return proposal.hit
    receipt.cache_would_hit = proposal.verdict.outcome == "serve"
    return None


def note_route(receipt: Receipt, route: Route, steps: Steps) -> None:
    receipt.tier = route.tier
    receipt.route_reason = route.reason
    receipt.route_score = route.score
    receipt.propensity = route.propensity
    if route.by or route.policy:
        receipt.route_by, receipt.route_policy = route.by, route.policy
        receipt.explored = "" if route.shadow is None else route.shadow.tier
    steps.money.choose_baseline(receipt, route.targets[0].name if route.pinned else None)


def note_target(receipt: Receipt, called: Called) -> None:
    """Who answers: the headers say it."""
    receipt.target, receipt.tier = called.target.name, called.attempt.tier
    receipt.ttft_ms = called.attempt.started_ms + (called.attempt.ttft_ms or 0.0) + called.held_ms


def note_end(request: Request, receipt: Receipt, called: Called) -> None:
    """How a stream ended.

    Raises:
        ContractExceeded: a limit cut it, and the endpoint wants no partial answers.
    """
    stream = called.stream
    assert stream is not None
    receipt.status = 200
    if stream.cut is None:
        receipt.stop_reason = stop_reason(stream.reader.finish_reason, called)
        return
    receipt.stop_reason = f"limit:{stream.cut}"
    if request.endpoint.terms.on_limit == "refuse":
        raise ContractExceeded(f"the endpoint's {stream.cut} was reached", limit=stream.cut)


def stop_reason(finish_reason: str | None, called: Called) -> str:
    """The provider's word, or the limit of ours that made it stop."""
    if finish_reason == "length" and called.capped_by is not None:
        return f"limit:{called.capped_by}"
    return finish_reason or "stop"


def note_failure(receipt: Receipt, error: BaseException) -> None:
    """Why there is no answer. What is neither ours nor a cancellation is a bug: the edge answers 500 and logs
    it, and it leaves a receipt too."""
    if isinstance(error, FarthingError):
        note_error(receipt, error)
    elif isinstance(error, asyncio.CancelledError):
        note_cancelled(receipt, error)
    else:
        receipt.status, receipt.stop_reason, receipt.error = 500, "error", type(error).__name__


def note_cancelled(receipt: Receipt, error: asyncio.CancelledError) -> None:
    """The client left; or we are going down, and it hears so."""
    why = "draining" if error.args == ("draining",) else "client_gone"
    receipt.status = 503 if why == "draining" else 499
    receipt.stop_reason = receipt.error = why


def note_error(receipt: Receipt, error: FarthingError) -> None:
    receipt.error = error.code
    receipt.error_message = str(error)[:1000]
    receipt.status = error.status
    if isinstance(error, ContractExceeded):
        receipt.stop_reason = f"limit:{error.limit}"
    elif isinstance(error, NoProviderLeft):
        receipt.stop_reason = "no_provider"
    else:
        receipt.stop_reason = "error"
