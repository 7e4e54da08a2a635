"""A streamed answer of Messages for a client of Messages."""

from farthing.dialects.messages.answers.whole import assembled, event_of, exploded
from farthing.models.providers import own
from farthing.models.providers.anthropic.form import MESSAGES
from farthing.models.providers.decoder import AnswerForm
from farthing.text.lenient_json import read_json
from farthing.types import Json

STOP = b'event: message_stop\ndata: {"type":"message_stop"}'


class OwnDecoder(own.OwnDecoder):
    """See `protocols.StreamDecoder`. Its pieces are `Told`."""

    __slots__ = ()

    def __init__(self, event_bytes_max: int, *, created: int, form: AnswerForm = MESSAGES) -> None:
        """`form` is how it comes, where that is not as Anthropic itself sends it."""
        super().__init__(form, event_bytes_max, created=created)

    def _last(self) -> list[bytes]:
        return [STOP]

    def _exploded(self, body: bytes) -> tuple[list[bytes], list[bytes]]:
        *before, ending, stop = exploded(read_json(body))
        return before, [ending, stop]

    def _assembled(self, events: bytes) -> bytes | None:
        return assembled(events, self._event_bytes_max)

    def _error(self, block: bytes) -> bytes:
        """As it came, without lines that nobody has read: they may hold what its data must not, a key."""
        kept = [line for line in block.split(b"\n") if line.startswith(b"data:")]
        return b"event: error\n%b\n\n" % b"\n".join(kept)

    def _cut(self, limit: str) -> list[bytes]:
        reader = self._reader
        closing: list[Json] = [{"type": "content_block_stop", "index": index} for index in reader.open_blocks]
        usage = self.usage
        output_tokens = max(self.chunks, 0 if usage is None else usage.output_tokens)
        closing.append(
            {
                "type": "message_delta",
                "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
                "usage": {"output_tokens": output_tokens},
            }
        )
        return [event_of(one) for one in closing]
