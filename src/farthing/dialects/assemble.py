"""A whole answer from the events of its stream, whatever dialect they were read from."""

from msgspec.structs import replace

from farthing.dialects.conversation import (
    ArgumentsDelta,
    Block,
    BlockStarted,
    CitationDelta,
    Counted,
    Event,
    Message,
    Opaque,
    Reasoning,
    ReasoningDelta,
    SignatureDelta,
    Started,
    Stop,
    Stopped,
    Text,
    TextDelta,
    ToolCall,
)
from farthing.text.lenient_json import any_json
from farthing.types import Json, Usage


class _Growing:
    """A block that is still coming. Its pieces are joined once, at the end."""

    __slots__ = ("block", "citations", "pieces", "signature")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.pieces: list[str] = []
        self.signature: str | None = None
        self.citations: list[Json] = []

    def whole(self, maker: str) -> Block:
        block = self.block
        text = "".join(self.pieces)
        if isinstance(block, Text):
            return Text(block.text + text, block.cache, (*block.citations, *self.citations), block.extras)
        if isinstance(block, ToolCall):
            return replace(block, arguments=block.arguments + text or "{}")
        if isinstance(block, Reasoning) and not block.redacted:
            signature = block.signature if self.signature is None else self.signature
            return Reasoning(block.text + text, signature, "", maker if signature else "", block.extras)
        if isinstance(block, Opaque) and text and isinstance(block.value, dict):
            return replace(block, value={**block.value, "input": any_json(text.encode("utf-8", "replace"))})
        return block


class Assembly:
    """Add the events of one answer as they come; `message` is what they say so far.

    `maker` is the dialect they were read from, whose signatures they hold.
    """

    __slots__ = ("_blocks", "_id", "_maker", "_model", "_stopped", "_usage")

    def __init__(self, maker: str) -> None:
        self._maker = maker
        self._id = self._model = ""
        self._blocks: dict[int, _Growing] = {}
        self._stopped: Stopped | None = None
        self._usage: Usage | None = None

    def add(self, event: Event) -> None:
        """A piece of a block that has not begun is left out."""
        match event:
            case TextDelta(index, text) | ArgumentsDelta(index, text) | ReasoningDelta(index, text):
                if index in self._blocks:
                    self._blocks[index].pieces.append(text)
            case BlockStarted(index, block):
                self._blocks[index] = _Growing(block)
            case SignatureDelta(index, signature):
                if index in self._blocks:
                    self._blocks[index].signature = signature
            case CitationDelta(index, citation):
                if index in self._blocks:
                    self._blocks[index].citations.append(citation)
            case Counted(usage):
                self._usage = usage
            case Started(id, model):
                self._id, self._model = id, model
            case Stopped():
                self._stopped = event
            case _:
                pass

    def message(self) -> Message:
        stopped = self._stopped
        stop: Stop = "unknown" if stopped is None else stopped.stop
        return Message(
            id=self._id,
            model=self._model,
            blocks=tuple(self._blocks[index].whole(self._maker) for index in sorted(self._blocks)),
            stop=stop,
            stop_said="" if stopped is None else stopped.said,
            stop_sequence=None if stopped is None else stopped.stop_sequence,
            refused_why="" if stopped is None else stopped.refused_why,
            usage=self._usage,
        )
