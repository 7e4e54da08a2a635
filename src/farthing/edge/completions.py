"""The front door of OpenAI's completions of before chat."""

from typing import Any

from msgspec import Struct

from farthing.dialects.completions import request_reader
from farthing.dialects.completions.answer_writer import EventWriter, whole
from farthing.edge import passing
from farthing.edge.http.fields import convert
from farthing.edge.openai import Asked, Reader
from farthing.edge.through import ThroughSink
from farthing.errors import StreamBroken
from farthing.protocols import Sink
from farthing.text.lenient_json import NotJson
from farthing.types import Answer, Json, Receipt, Request, Sent, replace


class _Body(Struct):
    """The fields that are read here, so that their types are checked; the reader of the dialect reads the
    rest."""

    model: str
    prompt: Any


def read(reader: Reader, body: Json, asked: Asked) -> Request:
    """Raises: as `Reader.chat`, by the names of completions."""
    named = convert(body, _Body)
    if reader.completes(named.model):
        return passing.completion(reader, body, asked)
    request = reader.chat(request_reader.read(body), asked)
    sent = Sent(dialect="completions", raw=asked.raw, body=body, read=request.body)
    found: Request = replace(request, sent=sent)
    return found


class TextWriter(ThroughSink):
    """Writes the answer to one request. See `forms.FormWriter`."""

    __slots__ = ("_events", "_prefix")

    def __init__(self, sink: Sink, request: Request, receipt: Receipt) -> None:
        super().__init__(sink)
        body = {} if request.sent is None else request.sent.body
        self._prefix = request_reader.prompt_of(body) if body.get("echo") else ""
        self._events = EventWriter(self._prefix)

    def send(self, events: bytes) -> None:
        out = self._events.write(events)
        if out:
            self._sink.send(out)

    def closing(self, reply: Answer) -> Answer:
        """Raises:
        StreamBroken: what is there is no answer.
        """
        if reply.stream:
            return Answer(body=self._events.write(reply.body), stream=True)
        try:
            return Answer(body=whole(reply.body, self._prefix))
        except NotJson as error:
            raise StreamBroken(f"the provider's answer cannot be told as a completion: {error}") from None
