"""What stands between the journey and its call: what is asked for, and how the answer is taken over.

See `answer` for the journey.
"""

from functools import partial

import msgspec

from farthing.brain.cache.flight import Flight
from farthing.errors import ProviderUnavailable, StreamBroken
from farthing.models import answers
from farthing.models.broadcast import Broadcast
from farthing.models.call import CallRequest, CallResult
from farthing.models.stream import SignsOfLife
from farthing.pipeline.guarded import wants
from farthing.pipeline.receipt_notes import note_end, note_target, stop_reason
from farthing.pipeline.steps import Memory, Steps
from farthing.pipeline.texts import with_found
from farthing.protocols import Hold, Inspector, Sink
from farthing.types import Answer, Prompt, Receipt, Request, Route


def inspector_of(request: Request, route: Route, steps: Steps, receipt: Receipt) -> Inspector | None:
    """Who will look at the answer afterwards. The gateway's own background jobs are not looked at."""
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
    """What to ask for. What a deadline may cut is streamed to us, so that a part of it can be returned, and
    that a target which says nothing is left while there is time for another."""
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
    """Let the client know that `target` lives and has not begun. Only its name is said: it may still fail."""
    answered, receipt.target = receipt.target, target
    sink.send(answers.SIGN_OF_LIFE)
    receipt.target = answered


def deliver(call: CallRequest, result: CallResult, memory: Memory, steps: Steps) -> Answer:
    """Take over the whole answer that `result` holds.

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
        reply = result.reply = with_found(reply, memory.texts, result.target)
    return Answer(body=reply.body, own=reply.own)


async def relay(
    call: CallRequest, result: CallResult, flight: Flight[Broadcast] | None, sink: Sink, steps: Steps
) -> Answer:
    """Relay or gather the stream that `result` began, and return the last of it. Those who share the call
    see it as it comes, unless money that only this session is short of has capped it.

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
    """The tier `none`: a rule of the configuration answers, no model does."""
    receipt.usage = steps.money.fixed_usage(request, text)
    receipt.status, receipt.stop_reason = 200, "stop"
    return answers.from_fixed(request, text, receipt.usage)
