"""THE JOURNEY of one request, start to finish. Read this file first.

    admit -> guard -> classify -> cache -> compose -> route -> reserve -> call -> check -> settle -> record

`admit` is the edge's, before any work (edge/admit); the rest stands in `answer`, in this order. Promises
that hold on every path through it, each with a test of that name:

1.  The brain can make an answer cheaper or sooner, never absent: `optional` goes on without a step
    that fails or is late, and all optional steps of one request share one time budget.
2.  A failed provider is invisible until the first meaningful chunk is out, and told truthfully after it; a
    client is never worse off through the gateway than without it.
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
import time
from collections.abc import Coroutine
from time import perf_counter
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from farthing.brain.cache.flight import Flight, Flights, Follower
from farthing.brain.cache.fresh import Given, who_and_what, why_asked_anew
from farthing.brain.compose import compose
from farthing.errors import (
    ContractExceeded,
    DeadlineExceeded,
    FarthingError,
    NoProviderLeft,
    ProviderUnavailable,
    RequestError,
    StreamBroken,
)
from farthing.escalate import Cascades
from farthing.models import answers
from farthing.models.broadcast import Broadcast
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
    flights: Flights[Broadcast] | None
    """None: identical requests do not share a call."""
    given: Given = msgspec.field(default_factory=Given)
    """Who was given which answer a moment ago."""
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


class Memory(Struct):
    """What one request has to do with the answers to others."""

    key: bytes | None = None
    """Its key in the exact cache; None: no answer may be taken from there, nor kept."""
    asked: int | None = None
    """Who asks for what (`who_and_what`)."""
    flight: Flight[Broadcast] | None = None
    """The shared call that it leads."""
    look: Look | None = None
    fresh: CacheHit | None = None
    """What it has for those who wait for the same."""


async def answer(request: Request, steps: Steps, receipt: Receipt, sink: Sink) -> Answer:
    """Answer `request`: stream the middle of a streamed answer to `sink`, return what comes last.

    Raises:
        RequestError, Overloaded, NoProviderLeft: before anything was sent, so the edge can set a status.
        StreamBroken: after the first chunk.
    """
    hold: Hold | None = None
    memory = Memory()
    try:
        await next_stage()
        if steps.guardrails:
            await guard_request(request, steps.guardrails)
        traits = await optional("classify", steps.classifier.classify(request), NOTHING_KNOWN, steps, receipt)
        note_asked(request, traits, steps, receipt)

        await next_stage()
        receipt.asked_anew = why_asked_anew(request, steps.router.pins)
        if not receipt.asked_anew:
            request = recall(request, memory, steps, receipt)
            served = await reuse(request, traits, memory, sink, steps, receipt)
            if served is not None:
                return served

        prompt = compose(request, traits, request.endpoint.terms)
        routing = steps.router.route(request, traits)
        route = await optional("route", routing, None, steps, receipt) or steps.router.fallback(request)
        note_route(receipt, route, steps)
        if route.fixed is not None:
            return serve_fixed(request, route.fixed, steps, receipt)

        hold = steps.contract.reserve(request, prompt)
        inspected = inspector_of(request, route, steps, receipt) if steps.inspects else None
        keeps = memory.key is not None or memory.look is not None or inspected is not None
        wanted = want(request, route, prompt, hold, receipt, steps.kept_bytes_max if keeps else 0)
        called = await (  # what may be escalated is checked before a byte of it goes out
            steps.caller.call(wanted, route)
            if route.escalation is None and receipt.purpose != "explore"
            else steps.cascades.answer(wanted, route, steps.caller, steps.money)
        )
        if called.returned:
            sink.returned(called.returned)
        relayed = called.stream is not None
        reply = (
            await relay(wanted, called, memory.flight, sink, steps)
            if relayed
            else deliver(wanted, called, steps)
        )

        await next_stage()
        if keeps:
            kept = await keep(request, memory, called, steps, receipt)
            if inspected is not None and kept is not None:
                inspected.inspect(request, route, kept, receipt)
        return reply
    except BaseException as error:
        note_failure(receipt, error)
        raise
    finally:
        if memory.flight is not None:
            land(memory.flight, memory.fresh, receipt)
        if memory.asked is not None and receipt.status == 200:
            steps.given.note(memory.asked)
        steps.money.total(receipt)
        if hold is not None:
            hold.settle(receipt.cost_nusd)
        steps.ledger.record(receipt)


def recall(request: Request, memory: Memory, steps: Steps, receipt: Receipt) -> Request:
    """Where the answer to `request` may lie. Returns `request`, for a fresh answer where the same session or
    user asks once more for what it was given a moment ago. What an SDK sends again was not given."""
    endpoint = request.endpoint
    memory.key = steps.cache.key(request)
    if memory.key is None and endpoint.semantic is None:
        return request
    asked = memory.asked = who_and_what(request, memory.key)
    if asked is None or receipt.client_retry or not steps.given.lately(asked, endpoint.cache_again_s):
        return request
    receipt.asked_anew = "again"
    return msgspec.structs.replace(request, endpoint=endpoint.asked_anew())


async def reuse(
    request: Request, traits: Traits, memory: Memory, sink: Sink, steps: Steps, receipt: Receipt
) -> Answer | None:
    """The answer to another request that stands for this one too: to the same, then to one that is alike.

    Raises:
        StreamBroken, ContractExceeded: another's stream was followed, and broke or was cut.
    """
    found = None if memory.key is None else await reuse_same(request, memory.key, sink, steps, receipt)
    if isinstance(found, Answer):
        return found
    if isinstance(found, Flight):
        memory.flight, found = found, None
    if found is None and request.endpoint.semantic is not None:
        found, memory.look = await reuse_similar(request, traits, steps, receipt)
    if found is None:
        return None
    served = serve_hit(request, found, steps, receipt)
    if served is not None:
        memory.fresh = found  # for those who wait for the same answer
    return served


async def reuse_same(
    request: Request, key: bytes, sink: Sink, steps: Steps, receipt: Receipt
) -> CacheHit | Answer | Flight[Broadcast] | None:
    """Look for an answer that is there already or under way: a stored one, or the whole of a shared call; the
    end of one whose stream was followed; or the flight that this request leads, which must land."""
    mode = request.endpoint.cache_exact
    if mode == "refresh":
        receipt.cache = "miss"
        return None
    hit = await optional("cache", steps.cache.lookup(key), None, steps, receipt)
    if mode == "observe":
        receipt.cache_would_hit = hit is not None and not receipt.asked_anew
        return None
    if hit is not None:
        receipt.cache = hit.kind
        receipt.similarity = hit.similarity
        return hit
    receipt.cache = "miss"
    if steps.flights is None:
        return None
    place = steps.flights.join(key)
    if isinstance(place, Flight):
        sink.outlive(place.client_left)
        return place
    try:
        return await share(request, place, sink, steps, receipt)
    finally:
        place.leave()


async def share(
    request: Request, place: Follower[Broadcast], sink: Sink, steps: Steps, receipt: Receipt
) -> CacheHit | Answer | None:
    """The answer of a call that another request makes: as it comes where a stream is wanted and comes, else
    when it is whole. None: there is none to share."""
    found = await place.answer(live=request.stream)
    if isinstance(found, Broadcast):
        return await follow(request, found, sink, steps, receipt) if found.open else None
    if found is not None:
        receipt.cache = "coalesced"
    return found


async def follow(
    request: Request, broadcast: Broadcast, sink: Sink, steps: Steps, receipt: Receipt
) -> Answer:
    """Send on another request's stream, all of it, as it comes. It costs that one, and this one nothing.

    Raises:
        StreamBroken, ContractExceeded: as the other request's own client hears it.
    """
    called, stream = broadcast.called, broadcast.called.stream
    assert stream is not None, "a broadcast is of a stream"
    receipt.cache = "coalesced"
    note_hit(request, receipt, called.target.name, steps)
    receipt.ttft_ms = (time.monotonic() - receipt.started_s) * 1000
    await broadcast.follow(sink)
    receipt.usage = called.attempt.usage
    note_end(request, receipt, called)
    steps.money.total(receipt)  # what it would have cost goes out with the closing events
    return answers.closing(request, stream, receipt)


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
    request: Request, memory: Memory, called: Called, steps: Steps, receipt: Receipt
) -> CacheHit | None:
    """Keep a complete answer for those who will ask the same or alike; None when it may not be given again.
    One that was doubted, and went out for want of a better, is shared with those who wait, not kept."""
    fresh = memory.fresh = answers.complete(request, called)
    if fresh is None or not answers.may_be_kept(request, called, fresh):
        return None
    if "escalate" in receipt.skipped:
        return fresh
    key, look = memory.key, memory.look
    if key is not None:
        keeping = steps.cache.store(key, fresh, ttl_s=request.endpoint.cache_ttl_s)
        await optional("store", keeping, None, steps, receipt)
    if look is not None and steps.semantic is not None:
        learning = steps.semantic.learn(look, request, fresh, receipt)
        await optional("learn", learning, None, steps, receipt)
    return fresh


def land(flight: Flight[Broadcast], fresh: CacheHit | None, receipt: Receipt) -> None:
    """Give the answer to those who wait for it. Where the call went on for them after its own client had
    left, its receipt says so as of any that leaves."""
    flight.land(fresh)
    if flight.orphaned and receipt.status == 200:
        receipt.status = 499
        receipt.stop_reason = receipt.error = "client_gone"


def inspector_of(request: Request, route: Route, steps: Steps, receipt: Receipt) -> Inspector | None:
    """Who will look at the answer afterwards. The gateway's own errands are not looked at."""
    inspector = steps.inspector
    return (
        inspector
        if inspector is not None and not receipt.purpose and inspector.wants(request, route)
        else None
    )


def want(
    request: Request, route: Route, prompt: Prompt, hold: Hold, receipt: Receipt, keep_bytes_max: int
) -> Wanted:
    """What to ask for. What a deadline may cut is streamed to us, so that a part of it can be returned, and
    that a target which says nothing is left while there is time for another."""
    terms = request.endpoint.terms
    cut = terms.deadline_s is not None and (terms.on_limit == "partial" or len(route.targets) > 1)
    if cut and request.operation == "chat":
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


async def relay(
    wanted: Wanted, called: Called, flight: Flight[Broadcast] | None, sink: Sink, steps: Steps
) -> Answer:
    """Relay or gather the stream that `called` began, and return the last of it. Those who share the call
    see it as it comes, unless money that only this session is short of has capped it.

    Raises:
        StreamBroken: the provider failed after its first chunk.
    """
    request, receipt, stream = wanted.request, wanted.receipt, called.stream
    assert stream is not None
    note_target(receipt, called)
    broadcast: Broadcast | None = None
    broke: BaseException | None = None
    try:
        if flight is not None and request.stream and called.capped_by != "usd_max":
            broadcast = Broadcast(called, sink, held_bytes_max=steps.kept_bytes_max)
            flight.begins(broadcast)
            await broadcast.relay(flight.outgrown)
        elif request.stream:
            await stream.relay(sink)
        else:
            await stream.gather()
        if stream.cut is None:
            called.health.succeeded()
        note_end(request, receipt, called)
    except StreamBroken as error:
        called.health.failed(ProviderUnavailable(str(error)))
        called.attempt.error = error.code
        broke = error
        raise
    except BaseException as error:
        broke = error
        raise
    finally:
        steps.money.account(called, wanted.prompt, receipt)
        if broadcast is not None and flight is not None:
            flight.arrived()
            broadcast.end(broke)
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
    receipt.status, receipt.stop_reason = 200, hit.finish_reason
    note_hit(request, receipt, hit.target, steps)
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


def note_hit(request: Request, receipt: Receipt, target: str, steps: Steps) -> None:
    """Whose answer it is that is given again; it is compared with what it would have cost."""
    receipt.target = target
    receipt.tier = "cache"
    receipt.route_reason = f"{receipt.cache} hit"
    steps.money.choose_baseline(receipt, target if steps.router.pins(request) else None)


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
        ContractExceeded, DeadlineExceeded: a limit cut it, and the endpoint wants no partial answers.
    """
    stream = called.stream
    assert stream is not None
    receipt.status = 200
    if stream.cut is None:
        receipt.stop_reason = stop_reason(stream.reader.finish_reason, called)
        return
    receipt.stop_reason = f"limit:{stream.cut}"
    if request.endpoint.terms.on_limit == "refuse":
        if stream.cut == "deadline_s":
            raise DeadlineExceeded("the deadline of the endpoint passed before the answer was complete")
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
