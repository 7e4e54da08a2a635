"""A streamed answer that breaks off is gone on with by another call, where the configuration wants that.

The client has a part of the answer, which stays as it is; what comes is written behind it (`Spliced`). It
may come from another model, so it is marked: by a comment in the stream, in the receipt, and beside the
usage. Nothing of such an answer is kept or learnt from. Where nobody goes on, the stream ends broken, as it
would have.
"""

from farthing.brain.cache.flight import Flight
from farthing.errors import (
    ContractExceeded,
    DeadlineExceeded,
    NoProviderLeft,
    Overloaded,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    StreamBroken,
    forget_frames,
)
from farthing.models import answers
from farthing.models.broadcast import Broadcast
from farthing.models.calling.request import CallRequest, CallResult
from farthing.models.continuing.delivered import Watched
from farthing.models.continuing.seam import Seam
from farthing.models.continuing.spliced import Spliced, first_of
from farthing.models.continuing.terms import Continuing
from farthing.models.stream import Stream
from farthing.pipeline.delivery import relay
from farthing.pipeline.receipt_notes import note_end
from farthing.pipeline.steps import Steps
from farthing.protocols import Sink
from farthing.types import Answer, Prompt, Route, Target, Usage, replace

REFUSALS = (400, 422)


async def relay_on(
    call: CallRequest,
    route: Route,
    result: CallResult,
    flight: Flight[Broadcast] | None,
    sink: Sink,
    steps: Steps,
) -> Answer:
    """As `relay`, but an answer that breaks off may go on with another call. Those who share the first get
    what came of that alone.

    Raises:
        StreamBroken: it broke off, and could not go on to its end.
    """
    terms = steps.continuing
    if terms is None or not terms.watches(call.request, call.receipt):
        return await relay(call, result, flight, sink, steps)
    watched = Watched(sink)
    try:
        return await relay(call, result, flight, watched, steps)
    except StreamBroken as error:
        if error.refused or (flight is not None and flight.orphaned):
            raise
        forget_frames(error)
        broken = error
    if flight is not None:
        flight.land(None)  # what follows is for this client alone, and ends when it leaves
    going_on = _GoingOn(call, route, result, watched, sink, steps, terms)
    reply = await going_on.to_the_end(broken)
    if reply is None:
        raise broken
    return reply


class _GoingOn:
    """Goes on with one answer."""

    def __init__(
        self,
        call: CallRequest,
        route: Route,
        first: CallResult,
        watched: Watched,
        sink: Sink,
        steps: Steps,
        terms: Continuing,
    ) -> None:
        self._call = call
        self._route = _route_of(route, first.target)
        self._first = first
        self._watched = watched
        self._sink = sink
        self._steps = steps
        self._terms = terms
        self._usage = call.receipt.usage
        """Of the whole answer: what the first call took in, and what all put out."""
        self._resumed = False
        """The client has a part of a continuation."""

    async def to_the_end(self, broken: StreamBroken) -> Answer | None:
        """Go on, more than once if need be and allowed. None: nobody does.

        Raises:
            StreamBroken: a continuation broke off too.
        """
        call, first = self._call, self._first
        call.hold.release(first.held_nusd, first.attempt.cost_nusd)
        text = self._terms.begun(self._watched, _stream_of(first), call.request, call.prompt)
        broke = first
        for _ in range(self._terms.times_max):
            if text is None:
                break
            found = await self._asked(broke, text)
            if found is None:
                break
            broke, blank, prompt = found
            spliced = self._spliced(broke.target, text, blank, prompt)
            try:
                return await self._relayed(broke, prompt, spliced)
            except StreamBroken as error:
                forget_frames(error)
                if error.refused or spliced.wrong:
                    raise
                broken = error
            self._resumed = self._resumed or spliced.begun
            call.hold.release(broke.held_nusd, broke.attempt.cost_nusd)
            text = self._terms.begun_again(text, spliced, _stream_of(broke), call.prompt)
        if broke is first:
            return None
        raise broken

    async def _asked(self, broke: CallResult, text: str) -> tuple[CallResult, str, Prompt] | None:
        """The first call that goes on with `text`, the white space at its end that it was not shown, and what
        it was asked. None: there is none. Takes one retry from the budget of the target that `broke`."""
        call, terms = self._call, self._terms
        receipt, tenant = call.receipt, call.request.tenant.name
        tokens = 0 if self._usage is None else self._usage.output_tokens
        paid = False
        for target in terms.asked(self._route, broke.target, receipt, tenant):
            made = terms.prompt(call.prompt, target, text, tokens)
            if made is None:
                continue
            left_s = call.hold.left_s
            paid = paid or ((left_s is None or left_s > 0) and broke.health.may_retry())
            if not paid:
                break
            prompt, blank = made
            going_on: CallRequest = replace(
                call, prompt=prompt, keep_bytes_max=0, otherwise="escalated", signs=None
            )
            try:
                return await self._called(going_on, target), blank, prompt
            except NoProviderLeft as error:
                forget_frames(error)
                if any(map(_is_refusal, error.failures)):
                    terms.refused(tenant, target)
            except ContractExceeded as error:
                forget_frames(error)
                if error.limit != "usd_max":
                    break
            except (DeadlineExceeded, Overloaded) as error:
                forget_frames(error)
                break
        return None

    async def _called(self, call: CallRequest, target: Target) -> CallResult:
        """Raises: as `Caller.call`."""
        receipt = call.receipt
        before, reason = len(receipt.attempts), receipt.route_reason
        route: Route = replace(self._route, targets=(target,))
        try:
            return await self._steps.caller.call(call, route)
        finally:
            receipt.route_reason = reason  # it says why the first was asked
            for attempt in receipt.attempts[before:]:
                attempt.continues = True

    async def _relayed(self, result: CallResult, prompt: Prompt, spliced: Spliced) -> Answer:
        """Send what `result` says behind what the client has, and return what closes the stream.

        Raises:
            StreamBroken: it broke off too. ContractExceeded, DeadlineExceeded: as `note_end`.
        """
        request, receipt, stream = self._call.request, self._call.receipt, _stream_of(result)
        money = self._steps.money
        try:
            await stream.relay(spliced)
            if not spliced.wrong:
                spliced.finish(whole=stream.cut is None or bool(stream.reader.finished))
            if spliced.wrong:
                raise StreamBroken(f"the continuation cannot be read: {spliced.wrong}")
            if stream.cut is None:
                result.health.succeeded()
            note_end(request, receipt, result)
        except StreamBroken as error:
            result.health.failed(ProviderUnavailable(str(error)))
            result.attempt.error = error.code
            raise
        finally:
            money.account(result, prompt, receipt, goes_out=False)
            self._usage = receipt.usage = with_more(self._usage, result.attempt.usage)
        money.total(receipt)  # its cost goes out with the closing events
        return answers.closing_continued(request, self._payload, stream, receipt)

    @property
    def _payload(self) -> bytes | None:
        """The first chunk of the answer that broke off."""
        return _stream_of(self._first).reader.first_payload

    def _spliced(self, target: Target, text: str, blank: str, prompt: Prompt) -> Spliced:
        watched, body = self._watched, self._call.prompt.body
        form = "" if prompt.prefill is None else prompt.prefill.form
        mark = f": farthing: continued by {target.name} after {len(text)} characters\n\n"
        return Spliced(
            self._sink,
            first_of(self._payload),
            text,
            Seam(text, blank, echoes=form == "prefix_repeated"),
            mark=mark.encode(),
            own=watched.own and not self._resumed,
            item=watched.item,
            legacy_functions="functions" in body and not body.get("tools"),
        )


def with_more(first: Usage | None, more: Usage | None) -> Usage | None:
    """The usage of an answer as one: what its first call took in, and what both put out. None: unknown."""
    if first is None or more is None:
        return None
    added: Usage = replace(
        first,
        output_tokens=first.output_tokens + more.output_tokens,
        reasoning_tokens=first.reasoning_tokens + more.reasoning_tokens,
        estimated=first.estimated or more.estimated,
        told_nusd=None,
        passes=None,
    )
    return added


def _stream_of(result: CallResult) -> Stream:
    assert result.stream is not None, "what broke off is a stream"
    return result.stream


def _route_of(route: Route, target: Target) -> Route:
    """The route by which `target` was asked: `route`, or that to which it escalates."""
    found: Route | None = route
    while found is not None:
        if any(one.name == target.name for one in found.targets):
            return found
        found = found.escalation
    alone: Route = replace(route, targets=(target,))
    return alone


def _is_refusal(error: ProviderError) -> bool:
    """Whether the target refused the request itself."""
    return isinstance(error, ProviderRejected) and not error.unasked and error.upstream_status in REFUSALS
