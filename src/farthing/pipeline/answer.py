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

from functools import partial

import msgspec

from farthing.brain.cache.flight import Flight
from farthing.brain.cache.fresh import why_asked_anew
from farthing.brain.compose import compose
from farthing.errors import (
    ProviderUnavailable,
    StreamBroken,
)
from farthing.models import answers
from farthing.models.broadcast import Broadcast
from farthing.models.call import Called, Wanted
from farthing.models.stream import SignsOfLife
from farthing.pipeline.optional import optional
from farthing.pipeline.receipt_notes import (
    note_asked,
    note_end,
    note_failure,
    note_route,
    note_target,
    stop_reason,
)
from farthing.pipeline.reuse import keep, land, let_go, recall, reuse
from farthing.pipeline.steps import Memory, Steps
from farthing.postprocess.guard import guard_request
from farthing.protocols import (
    Hold,
    Inspector,
    Sink,
)
from farthing.turn import next_stage
from farthing.types import Answer, Prompt, Receipt, Request, Route, Traits

NOTHING_KNOWN = Traits()


async def answer(request: Request, steps: Steps, receipt: Receipt, sink: Sink) -> Answer:
    """Answer `request`: stream the middle of a streamed answer to `sink`, return what comes last.

    Raises:
        RequestError, Overloaded, NoProviderLeft: before anything was sent, so the edge can set a status.
        StreamBroken: after the answer had begun.
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
        wanted = want(request, route, prompt, hold, receipt, sink, steps.kept_bytes_max if keeps else 0)
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
        await let_go(memory)
        return reply
    except BaseException as error:
        note_failure(request, receipt, error)
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


def inspector_of(request: Request, route: Route, steps: Steps, receipt: Receipt) -> Inspector | None:
    """Who will look at the answer afterwards. The gateway's own errands are not looked at."""
    inspector = steps.inspector
    return (
        inspector
        if inspector is not None and not receipt.purpose and inspector.wants(request, route)
        else None
    )


def want(
    request: Request,
    route: Route,
    prompt: Prompt,
    hold: Hold,
    receipt: Receipt,
    sink: Sink,
    keep_bytes_max: int,
) -> Wanted:
    """What to ask for. What a deadline may cut is streamed to us, so that a part of it can be returned, and
    that a target which says nothing is left while there is time for another."""
    terms = request.endpoint.terms
    cut = terms.deadline_s is not None and (terms.on_limit == "partial" or len(route.targets) > 1)
    if cut and request.operation == "chat":
        prompt = msgspec.structs.replace(prompt, stream=True)
    direct = request.stream and route.escalation is None
    return Wanted(
        request=request,
        prompt=prompt,
        hold=hold,
        receipt=receipt,
        keep_bytes_max=keep_bytes_max,
        signs=SignsOfLife(partial(tell_alive, sink, receipt)) if direct else None,
    )


def tell_alive(sink: Sink, receipt: Receipt, target: str) -> None:
    """Let the client know that `target` lives and has not begun. Only its name is said: it may still fail."""
    answered, receipt.target = receipt.target, target
    sink.send(answers.SIGN_OF_LIFE)
    receipt.target = answered


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
        StreamBroken: the provider failed after its answer had begun.
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


def serve_fixed(request: Request, text: str, steps: Steps, receipt: Receipt) -> Answer:
    """The tier `none`: a rule of the configuration answers, no model does."""
    receipt.usage = steps.money.fixed_usage(request, text)
    receipt.status, receipt.stop_reason = 200, "stop"
    return answers.from_fixed(request, text, receipt.usage)
