"""A streamed summary of a conversation as events of Responses: events of the model in, bytes out."""

from collections.abc import Iterable

from farthing.dialects.conversation import (
    BlockStarted,
    Counted,
    Ended,
    Event,
    Started,
    Stopped,
    Text,
    TextDelta,
)
from farthing.dialects.events import BadStream
from farthing.dialects.responses.answers import items
from farthing.dialects.responses.answers.frame import Frame, Status
from farthing.dialects.responses.ids import item_id
from farthing.dialects.responses.streams.lifecycle import Lifecycle
from farthing.dialects.responses.streams.stream_writer import CHARS_MAX
from farthing.types import Usage


class SummaryWriter(Lifecycle):
    """Writes the events of a compaction: one item with all that was said, and nothing besides."""

    __slots__ = ("_chars", "_stopped", "_text", "_texts", "_usage")

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame)
        self._texts: set[int] = set()
        self._text: list[str] = []
        self._chars = 0
        self._stopped = Stopped("unknown")
        self._usage: Usage | None = None

    def write(self, events: Iterable[Event], *, ended_s: int = 0) -> bytes:
        """As `EventWriter.write`."""
        out: list[bytes] = []
        for event in events:
            self._begin(out)
            match event:
                case TextDelta(text=text) | BlockStarted(block=Text(text=text)):
                    self._text.append(text)
                    self._chars += len(text)
                    if self._chars > CHARS_MAX:
                        raise BadStream(f"an answer has more than {CHARS_MAX} characters")
                case Started(_, model):
                    self._model = model
                case Counted(usage):
                    self._usage = usage
                case Stopped():
                    self._stopped = event
                case Ended():
                    self._end(ended_s, out)
                case _:
                    pass
        return b"".join(out)

    def _end(self, ended_s: int, out: list[bytes]) -> None:
        if self._ended:
            return
        item = items.compaction(item_id("compaction", self._frame.id, 0), "".join(self._text))
        self._event("response.output_item.added", {"output_index": 0, "item": item}, out)
        self._event("response.output_item.done", {"output_index": 0, "item": item}, out)
        incomplete = items.STOPS[self._stopped.stop]
        status: Status = "incomplete" if incomplete else "completed"
        response = self._frame.response(
            status, [item], model=self._model, usage=self._usage, incomplete=incomplete, ended_s=ended_s
        )
        self._terminal(response, out, status)
