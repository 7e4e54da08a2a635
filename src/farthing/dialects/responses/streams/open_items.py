"""The items of a streamed answer that are not done, and what of them the end of each tells again."""

from farthing.dialects.conversation import Reasoning, ToolCall
from farthing.dialects.responses.answers import items
from farthing.dialects.responses.streams.call_text import call_text
from farthing.dialects.responses.tools import ClientTool
from farthing.types import Json

TEXT = "response.output_text"
SUMMARY = "response.reasoning_summary_text"
ARGUMENTS = "response.function_call_arguments"
INPUT = "response.custom_tool_call_input"


class OpenItem:
    """An item that is not done."""

    __slots__ = ("id", "index", "pieces")

    def __init__(self, item_id: str, index: int) -> None:
        self.id = item_id
        self.index = index
        self.pieces: list[str] = []
        """Its text so far; of a message that of the open part."""


class OpenMessage(OpenItem):
    __slots__ = ("annotations", "begins", "chars", "cited", "content", "logprobs", "speaks", "weighs")

    def __init__(self, item_id: str, index: int) -> None:
        super().__init__(item_id, index)
        self.content: list[Json] = []
        """Its parts that are done."""
        self.speaks = False
        """A part of text is open."""
        self.chars = 0
        """In the open part, and next, where in it the open block begins."""
        self.begins = 0
        self.cited: list[Json] = []
        """The sources of the open block."""
        self.annotations: list[Json] = []
        self.logprobs: list[Json] = []
        self.weighs: list[Json] = []
        """The probabilities of the tokens of the piece that comes next."""


class OpenThought(OpenItem):
    __slots__ = ("block", "signature")

    def __init__(self, item_id: str, index: int, block: Reasoning) -> None:
        super().__init__(item_id, index)
        self.block = block
        self.signature = block.signature

    def whole(self) -> Reasoning:
        said = self.block
        maker = "messages" if self.signature and said.maker in ("", "chat") else said.maker
        return Reasoning("".join(self.pieces), self.signature, said.redacted, maker, said.extras)


class OpenCall(OpenItem):
    __slots__ = ("call_id", "raw", "said", "tool", "written")

    def __init__(self, item_id: str, index: int, block: ToolCall, tool: ClientTool, call_id: str) -> None:
        super().__init__(item_id, index)
        self.tool = tool
        self.call_id = call_id
        self.raw = block.custom
        self.said = call_text(tool, raw=block.custom)
        self.written: list[str] = []
        """What the model wrote, piece by piece."""

    def item(self, status: str) -> Json:
        return items.call(self.id, status, self.call_id, self.tool, "".join(self.pieces))


def place_in(message: OpenMessage) -> Json:
    """Where the part of a message that is open, or opens next, stands."""
    return {"item_id": message.id, "output_index": message.index, "content_index": len(message.content)}


def delta_of(item: OpenItem) -> tuple[str, bytes]:
    """How the events of an item's pieces are called, and what further fields each has."""
    if isinstance(item, OpenMessage):
        return TEXT, b'"content_index":%d,"logprobs":[],' % len(item.content)
    if isinstance(item, OpenThought):
        return SUMMARY, b'"summary_index":0,'
    assert isinstance(item, OpenCall)
    return (INPUT if item.tool.kind == "custom" else ARGUMENTS), b""
