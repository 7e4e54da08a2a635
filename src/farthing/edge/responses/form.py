"""Answers for clients of Responses, whole and streamed.

What a provider wrote in this dialect goes out unchanged; everything else is translated from the pipeline's
form. A client is sent something at least every `QUIET_S`: first the beginning of the response, then that it
is in progress, because some do not count comments as signs of life.
"""

from collections.abc import Sequence
from time import time

from farthing.dialects.chat.answers import answer_reader
from farthing.dialects.conversation import Event
from farthing.dialects.events import BadAnswer, BadStream
from farthing.dialects.responses.answers import answer_writer
from farthing.dialects.responses.answers.frame import Frame
from farthing.dialects.responses.answers.items import weighs
from farthing.dialects.responses.ids import response_id
from farthing.dialects.responses.streams.own_events import OwnEvents
from farthing.dialects.responses.streams.stream_writer import EventWriter
from farthing.dialects.responses.streams.summary_writer import SummaryWriter
from farthing.edge import streaming
from farthing.edge.overflow import overflows
from farthing.edge.responses import errors
from farthing.edge.streaming import StreamForm
from farthing.edge.through import ThroughSink
from farthing.errors import FarthingError, ProviderError, StreamBroken
from farthing.protocols import Sink
from farthing.types import Answer, Dialect, Json, Receipt, Request

QUIET_S = streaming.QUIET_S
COMMENT = b": keep-alive\n\n"


class ResponsesForm:
    """OpenAI's Responses. See `forms.ClientForm`."""

    dialect: Dialect = "responses"

    def failed(self, error: FarthingError, request_id: str) -> tuple[int, bytes]:
        return errors.failed(error)

    def broken(self, error: FarthingError, request_id: str) -> bytes:
        return errors.own_event(error) or errors.event(error)

    def own(self, error: FarthingError) -> ProviderError | None:
        return errors.own(error)

    def writer(self, sink: Sink, request: Request, receipt: Receipt) -> "Whole | Streamed":
        return Streamed(sink, request, receipt) if request.stream else Whole(sink, request, receipt)


class _Asked:
    """The parts of a request that its answer depends on."""

    __slots__ = ("body", "compacts", "frame")

    def __init__(self, request: Request, receipt: Receipt) -> None:
        sent = request.sent
        self.body: Json = {} if sent is None else sent.body
        self.compacts = "" if sent is None else sent.compacts
        self.frame = Frame(
            self.body,
            id=response_id(request.id),
            model=request.alias or request.model,
            created_s=int(receipt.at_unix_s),
        )


class Whole(ThroughSink):
    """Writes a whole answer; nothing is sent before it is complete."""

    __slots__ = ("_asked", "_receipt")

    def __init__(self, sink: Sink, request: Request, receipt: Receipt) -> None:
        super().__init__(sink)
        self._receipt = receipt
        self._asked = _Asked(request, receipt)

    def send(self, events: bytes) -> None:
        """Never called: a client that waits for a whole answer gets no events."""
        raise AssertionError("events for a client that waits for a whole answer")

    def closing(self, reply: Answer) -> Answer:
        """Raises:
        StreamBroken: what is there is no answer.
        """
        body = reply.own
        if body is None:
            try:
                body = self._written(reply.body)
            except BadAnswer as error:
                raise StreamBroken(f"the provider's answer cannot be told in this dialect: {error}") from None
        return Answer(body=body)

    def _written(self, body: bytes) -> bytes:
        asked = self._asked
        message = answer_reader.read(body)
        usage = self._receipt.usage or message.usage
        if asked.compacts == "path":
            return answer_writer.compaction(message, asked.frame, usage=usage)
        return answer_writer.write(
            message,
            asked.frame,
            asked.body,
            usage=usage,
            ended_s=int(time()),
            compacts=bool(asked.compacts),
            logprobs=answer_reader.tokens_in(body) if weighs(asked.body) else None,
        )


class Streamed(StreamForm):
    """Writes one stream, with signs of life while nothing comes."""

    __slots__ = ("_asked", "_theirs", "_writer")

    def __init__(self, sink: Sink, request: Request, receipt: Receipt) -> None:
        asked = _Asked(request, receipt)
        super().__init__(sink, receipt, QUIET_S, logprobs=weighs(asked.body))
        self._asked = asked
        self._writer: EventWriter | SummaryWriter = (
            SummaryWriter(asked.frame) if asked.compacts else EventWriter(asked.frame, asked.body)
        )
        self._theirs: OwnEvents | None = None
        """The provider's own events; None if none came."""

    def broken(self, error: FarthingError) -> bytes | None:
        """The end of a response that was partly sent, or a failed response if its client reads this error in
        that form."""
        self.close()
        if not self._begun and not overflows(error):
            return None
        code, words = errors.code_and_words(error)
        theirs = self._theirs
        if theirs is None:
            return self._writer.fail(code, words)
        own = errors.own_event(error)
        return (theirs.through(own) if own else theirs.fail(code, words)) or None

    def _write(self, events: Sequence[Event]) -> bytes:
        return self._writer.write(events, ended_s=int(time()))

    def _own(self, events: bytes) -> bytes:
        theirs = self._theirs
        if theirs is None:
            theirs = self._theirs = OwnEvents()
            if self._begun:
                theirs.goes_on(self._asked.frame.id, self._writer.next_number)
        return theirs.through(events)

    def _resume(self, events: Sequence[Event], item: str) -> None:
        theirs, self._theirs = self._theirs, None
        if theirs is None or isinstance(self._writer, SummaryWriter):
            raise BadStream("the beginning of the response is not known")
        number, response = theirs.broke_off()
        self._asked.frame.follow(response)
        self._writer.resume(events, number, item)

    def _own_end(self, events: bytes) -> bytes:
        return self._own(events)

    def _alive(self) -> bytes:
        theirs = self._theirs
        if theirs is None or not theirs.begun:
            return self._writer.alive()
        return theirs.alive() or COMMENT


RESPONSES = ResponsesForm()
