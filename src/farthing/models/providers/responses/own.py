"""A streamed response for a client of Responses."""

from farthing.dialects.responses.answers.whole import assembled, closing, exploded
from farthing.dialects.responses.streams.stream_reader import Reader
from farthing.models.providers import own
from farthing.models.providers.decoder import AnswerForm
from farthing.text.lenient_json import read_json


class OwnDecoder(own.OwnDecoder):
    """See `protocols.StreamDecoder`. Its pieces are `Told`. An error that ends a stream is written anew by
    whoever writes for the client: it has to be numbered after what went out."""

    __slots__ = ()

    def __init__(self, form: AnswerForm, event_bytes_max: int, *, created: int) -> None:
        super().__init__(form, event_bytes_max, created=created)

    def _exploded(self, body: bytes) -> tuple[list[bytes], list[bytes]]:
        *before, ending = exploded(read_json(body))
        return before, [ending]

    def _assembled(self, events: bytes) -> bytes | None:
        return assembled(events, self._event_bytes_max)

    def _cut(self, limit: str) -> list[bytes]:
        reader = self._reader
        assert isinstance(reader, Reader)
        return closing(reader.snapshot(), reader.open_items(), reader.sequence + 1)
