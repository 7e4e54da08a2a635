"""Builds the call of a request and takes over its answer. See `answer` for the journey."""

from functools import partial

import msgspec

from farthing.brain.cache.flight import Flight
from farthing.errors import ProviderUnavailable, StreamBroken
from farthing.models import answers
from farthing.models.broadcast import Broadcast
from farthing.models.calling.request import CallRequest, CallResult
from farthing.models.stream import SignsOfLife
from farthing.pipeline.guarded import wants
from farthing.pipeline.receipt_notes import note_end, note_target, stop_reason
from farthing.pipeline.steps import Memory, Steps
from farthing.pipeline.texts import with_found
from farthing.protocols import Hold, Inspector, Sink
from farthing.types import Answer, Prompt, Receipt, Request, Route


def inspector_of(request: Request, route: Route, steps: Steps, receipt: Receipt) -> Inspector | None:
    """The inspector that will read the answer after delivery; None: nobody will. The gateway's own background
    jobs are not inspected."""
    inspector = steps.inspector
    return (
        inspector
        if inspector is not None and not receipt.purpose and wants(inspector, request, route, steps, receipt)
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
) -> CallRequest:
    """Build the call. If a deadline may cut the answer, the provider is asked to stream it: a part of it can
    then be returned, and a silent target is given up while there is time for another."""
    terms = request.endpoint.terms
    cut = terms.deadline_s is not None and (terms.on_limit == "partial" or len(route.targets) > 1)
    if cut and request.operation == "chat":
        prompt = msgspec.structs.replace(prompt, stream=True)
    direct = request.stream and route.escalation is None and request.operation == "chat"
    return CallRequest(
        request=request,
        prompt=prompt,
        hold=hold,
        receipt=receipt,
        keep_bytes_max=keep_bytes_max,
        signs=SignsOfLife(partial(tell_alive, sink, receipt)) if direct else None,
    )


def tell_alive(sink: Sink, receipt: Receipt, target: str) -> None:
    """Send a sign of life to the client: `target` is working and has not begun to answer. The headers name
    `target`, which may still fail; the receipt does not."""
    answered, receipt.target = receipt.target, target
    sink.send(answers.SIGN_OF_LIFE)
    receipt.target = answered


async def deliver(call: CallRequest, result: CallResult, memory: Memory, steps: Steps) -> Answer:
    """Turn the complete reply in `result` into the answer, and account for its cost.

    Raises:
        NoProviderLeft: of embeddings, it lacks some.
    """
    receipt, reply = call.receipt, result.reply
    assert reply is not None, "a target that answers has a reply or a stream"
    note_target(receipt, result)
    receipt.stop_reason = stop_reason(reply.finish_reason, result)
    receipt.status = 200
    steps.money.account(result, call.prompt, receipt)
    if steps.caller.times:
        steps.caller.timed(result, call)
    if memory.texts is not None:
        reply = result.reply = await with_found(reply, memory.texts, result.target)
    return Answer(body=reply.body, own=reply.own)


async def relay(
    call: CallRequest, result: CallResult, flight: Flight[Broadcast] | None, sink: Sink, steps: Steps
) -> Answer:
    """Relay the stream in `result` to the client, or collect it, and return its last part. Requests that
    share the call receive the stream as it comes, unless this session's own budget has capped it.

    Raises:
        StreamBroken: the provider failed after its answer had begun.
    """
    request, receipt, stream = call.request, call.receipt, result.stream
    assert stream is not None
    note_target(receipt, result)
    broadcast: Broadcast | None = None
    broke: BaseException | None = None
    try:
        if flight is not None and request.stream and result.capped_by != "usd_max":
            broadcast = Broadcast(result, sink, held_bytes_max=steps.kept_bytes_max)
            flight.begins(broadcast)
            await broadcast.relay(flight.outgrown)
        elif request.stream:
            await stream.relay(sink)
        else:
            await stream.gather()
        if stream.cut is None:
            result.health.succeeded()
        note_end(request, receipt, result)
    except StreamBroken as error:
        result.health.failed(ProviderUnavailable(str(error)))
        result.attempt.error = error.code
        broke = error
        raise
    except BaseException as error:
        broke = error
        raise
    finally:
        steps.money.account(result, call.prompt, receipt)
        if broadcast is not None and flight is not None:
            flight.arrived()
            broadcast.end(broke)
        if steps.caller.times:
            steps.caller.timed(result, call)
    steps.money.total(receipt)  # its cost goes out with the closing events
    return answers.closing(request, stream, receipt) if request.stream else answers.gathered(stream)


def serve_fixed(request: Request, text: str, steps: Steps, receipt: Receipt) -> Answer:
    """The answer of the tier `none`: a fixed text of the configuration. No model is called."""
    receipt.usage = steps.money.fixed_usage(request, text)
    receipt.status, receipt.stop_reason = 200, "stop"
    return answers.from_fixed(request, text, receipt.usage)
