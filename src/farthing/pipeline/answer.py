"""THE JOURNEY of one request, start to finish. Read this file first.

    admit -> guard -> classify -> retrieve -> cache -> compose -> route -> reserve -> call -> check -> settle -> record

`admit` is the edge's, before any work (edge/admit); the rest stands in `answer`, in this order. Promises
that hold on every path through it, each with a test of that name:

1.  The brain can make an answer cheaper or sooner, never absent: `optional` (and `optional_now`) goes on
    without a step that fails or is late, and all optional steps of one request share one time budget.
2.  A failed provider is invisible until the first meaningful chunk is out, and told truthfully after it; a
    client is never worse off through the gateway than without it.
3.  One request leaves exactly one receipt: success, error, disconnect or crash.
4.  Money is reserved before it is spent and settled exactly once.
5.  What the client sent reaches the model unless the configuration says otherwise, field by field.

`batch_barrier` marks where a busy gateway changes from one stage to the next for all its requests at once
(`loop_batch`); it means nothing to a single one. `in_task`: with any step that does not say of itself that it
can do without, a request is an ordinary asyncio task from here on.

The last bytes of an answer are returned, not sent: the edge sends them after the receipt is written, so
no client holds a complete answer that the ledger does not know. `Sink.closing` writes them in the client's
own form before that: what cannot be written in it is no success in the receipt.
"""  # noqa: E501

from functools import partial

from farthing.brain.cache.fresh import why_asked_anew
from farthing.brain.compose import compose
from farthing.evaluation.guard import guard_request
from farthing.pipeline.continued import relay_on
from farthing.pipeline.delivery import deliver, inspector_of, relay, serve_fixed, want
from farthing.pipeline.guarded import fall_back, inspect, pins
from farthing.pipeline.next_tiers import with_next_tiers
from farthing.pipeline.optional import optional
from farthing.pipeline.receipt_notes import (
    note_asked,
    note_failure,
    note_route,
)
from farthing.pipeline.retrieve import retrieved
from farthing.pipeline.reuse import keep, land, let_go, recall, reuse
from farthing.pipeline.steps import Memory, Steps
from farthing.pipeline.texts import for_missing
from farthing.protocols import (
    Hold,
    Sink,
)
from farthing.runtime.loop_batch import batch_barrier, in_task
from farthing.types import Answer, Receipt, Request, Route, Traits

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
        await (batch_barrier() if steps.immediate else in_task())
        if steps.guardrails or steps.guard_plugins:
            await guard_request(request, steps.guardrails, steps.guard_plugins)
        traits = await optional(
            "classify", steps.classifier.classify(request), NOTHING_KNOWN, steps, receipt, Traits
        )
        note_asked(request, traits, steps, receipt)
        if steps.retrievals:
            request, traits = await retrieved(request, traits, steps, receipt)

        await batch_barrier()
        receipt.asked_anew = why_asked_anew(request, partial(pins, steps=steps, receipt=receipt))
        if not receipt.asked_anew:
            request = recall(request, memory, steps, receipt)
            served = await reuse(request, traits, memory, sink, steps, receipt)
            if served is not None:
                return sink.closing(served)

        prompt = compose(*for_missing(request, traits, memory), request.endpoint.terms)
        chosen = await optional("route", steps.router.route(request, traits), None, steps, receipt, Route)
        route = with_next_tiers(chosen or fall_back(request, steps, receipt), request, prompt, steps, receipt)
        note_route(receipt, route, steps)
        if route.fixed is not None:
            return sink.closing(serve_fixed(request, route.fixed, steps, receipt))

        hold = steps.contract.reserve(request, prompt)
        inspected = inspector_of(request, route, steps, receipt) if steps.inspects else None
        keeps = memory.key is not None or memory.lookup is not None or inspected is not None
        call = want(request, route, prompt, hold, receipt, sink, steps.kept_bytes_max if keeps else 0)
        if steps.cascades.checks(route, request, receipt):  # before a byte of it goes out
            first = await steps.cascades.first(call, route, steps.caller)
            result = await steps.cascades.check(first, call, route, steps.caller, steps.money)
        else:
            result = await steps.caller.call(call, route)
        if result.returned:
            sink.returned(result.returned)
        reply = (
            await deliver(call, result, memory, steps)
            if result.stream is None
            else await relay(call, result, memory.flight, sink, steps)
            if steps.continuing is None
            else await relay_on(call, route, result, memory.flight, sink, steps)
        )

        await batch_barrier()
        if keeps:
            kept = await keep(request, memory, result, steps, receipt)
            if inspected is not None and kept is not None:
                inspect(inspected, request, route, kept, steps, receipt)
        await let_go(memory)
        return sink.closing(reply)
    except BaseException as error:
        note_failure(request, receipt, error)
        raise
    finally:
        land(memory, steps, receipt)
        steps.money.total(receipt)
        if hold is not None:
            hold.settle(receipt.cost_nusd)
        steps.ledger.record(receipt)
