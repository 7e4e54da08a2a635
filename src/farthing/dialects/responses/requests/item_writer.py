"""The turns of a conversation as the items of a Responses request."""

from typing import Any

from farthing.dialects import proofs
from farthing.dialects.call_ids import valid_id
from farthing.dialects.chat.requests.lowered_messages import GIVES_WAY, NEUTRAL, told_as_text
from farthing.dialects.conversation import (
    Audio,
    Block,
    Composed,
    Document,
    Image,
    Inline,
    Link,
    Opaque,
    Plain,
    Reasoning,
    Refusal,
    Stored,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from farthing.dialects.tool_names import short_name
from farthing.dialects.written import Notes
from farthing.types import Json

FILE_NAME = "document.pdf"
"""Of a file without a name: servers want one."""
_DETAILS = frozenset({"auto", "low", "high", "original"})
_FILE_ID = "a file stored at another provider is unknown to this one; send its data"
_READ = frozenset({"citations", "context"})
"""Fields of a document that are read, or noted under a name of their own."""


class ItemWriter:
    """Writes the items of one request."""

    __slots__ = ("_custom", "_items", "_notes", "_own", "_provider", "_theirs")

    def __init__(self, notes: Notes, provider: str) -> None:
        self._notes = notes
        self._provider = provider
        self._theirs = notes.said.dialect == "messages"
        self._own = notes.said.dialect == "responses"
        self._items: list[Json] = []
        self._custom: set[str] = set()
        """Ids of calls of custom tools: their results are items of another kind."""

    def write(self, turns: tuple[Turn, ...]) -> list[Json]:
        for turn in turns:
            if turn.name:
                self._notes.unsaid.append("messages.name")
            self._further(turn.extras)
            if turn.role == "assistant":
                self._assistant(turn)
            else:
                self._say(turn)
        return self._items

    def _further(self, extras: Json) -> None:
        """Name the fields of a message, a part or a call that Responses has no word for. Those of chat give
        way: its clients send back what an earlier provider added to its answers."""
        if not extras or self._own:
            return
        for name, value in extras.items():
            if self._theirs and name in NEUTRAL and value == NEUTRAL[name]:
                continue
            if not self._theirs or name in GIVES_WAY:
                self._notes.yielded.append(f"messages.{name}")
            else:
                self._notes.lacks(f"messages.{name}", "Responses has no such field; leave it out")

    def _say(self, turn: Turn) -> None:
        """Write what a user says, the results of tools, or an instruction."""
        parts: list[Json] = []
        for block in turn.blocks:
            if isinstance(block, ToolResult):
                self._message(turn.role, parts)
                parts = []
                self._result(block)
            elif isinstance(block, Opaque) and block.dialect == "responses":
                self._message(turn.role, parts)
                parts = []
                self._items.append(block.value)
            else:
                self._part(block, parts)
        self._message(turn.role, parts)

    def _message(self, role: str, parts: list[Json]) -> None:
        if len(parts) == 1 and parts[0]["type"] == "input_text":
            self._items.append({"role": role, "content": parts[0]["text"]})
        elif parts:
            self._items.append({"role": role, "content": parts})

    def _part(self, block: Block, into: list[Json]) -> None:
        """Add a block as Responses has it, which may be several parts or none."""
        notes = self._notes
        if getattr(block, "cache", None) is not None:
            notes.yielded.append("cache_control")
        match block:
            case Text(text=text):
                self._about_text(block)
                if text:
                    into.append({"type": "input_text", "text": text})
            case Image():
                self._image(block, into)
            case Document():
                self._document(block, into)
            case Refusal(text=text):
                into.append({"type": "input_text", "text": text})
            case Audio():
                notes.lacks("input_audio", "Responses takes no sound; ask a target of kind openai")
            case ToolResult():
                self._result(block)
            case Opaque(kind=kind, value=value):
                told = told_as_text(value) if self._theirs else None
                if told is None:
                    notes.lacks(kind, "Responses has no such part; leave it out")
                else:
                    into.append({"type": "input_text", "text": told})
            case _:
                notes.yielded.append("messages")

    def _about_text(self, block: Text) -> None:
        if block.citations:
            self._notes.yielded.append("messages.citations")
        self._further(block.extras)

    def _image(self, block: Image, into: list[Json]) -> None:
        source = block.source
        self._further(block.extras)
        written: Json = {"type": "input_image", "detail": block.detail or "auto"}
        if block.detail and block.detail not in _DETAILS:
            self._notes.yielded.append("image_url.detail")
            written["detail"] = "auto"
        match source:
            case Inline(media_type=media_type, data=data):
                written["image_url"] = f"data:{media_type};base64,{data}"
            case Link(url=url):
                written["image_url"] = url
            case Stored(id=file_id) if not self._theirs:
                written["file_id"] = file_id
            case _:
                self._notes.lacks("image.source.file_id", _FILE_ID)
                return
        into.append(written)

    def _document(self, block: Document, into: list[Json]) -> None:
        source = block.source
        self._about(block, into)
        match source:
            case Inline(media_type=media_type, data=data):
                held = f"data:{media_type};base64,{data}"
                into.append({"type": "input_file", "filename": block.name or FILE_NAME, "file_data": held})
            case Link(url=url):
                into.append({"type": "input_file", "file_url": url})
            case Stored(id=file_id):
                if self._theirs:
                    self._notes.lacks("document.source.file_id", _FILE_ID)
                else:
                    into.append({"type": "input_file", "file_id": file_id})
            case Plain() | Composed():
                self._text_document(block, source, into)

    def _text_document(self, block: Document, source: Plain | Composed, into: list[Json]) -> None:
        """A document of text, or of parts, between two lines that say so."""
        title = block.name.replace('"', "'")
        begin = f'<document title="{title}">' if title else "<document>"
        if isinstance(source, Plain):
            into.append({"type": "input_text", "text": f"{begin}\n{source.text}\n</document>"})
            return
        into.append({"type": "input_text", "text": begin})
        for inner in source.blocks:
            self._part(inner, into)
        into.append({"type": "input_text", "text": "</document>"})

    def _about(self, block: Document, into: list[Json]) -> None:
        """Say what is said of a document, and note what cannot be asked of it."""
        self._further({name: value for name, value in block.extras.items() if name not in _READ})
        cited, context = block.extras.get("citations"), block.extras.get("context")
        if isinstance(cited, dict) and cited.get("enabled"):
            self._notes.lacks("document.citations", "Responses cites no documents; leave it out")
        if isinstance(context, str) and context:
            into.append({"type": "input_text", "text": context})

    def _result(self, result: ToolResult) -> None:
        if result.cache is not None:
            self._notes.yielded.append("cache_control")
        self._further(result.extras)
        call_id = valid_id(result.call_id)
        parts: list[Json] = []
        for block in result.blocks:
            self._part(block, parts)
        output: Any = parts
        if all(part["type"] == "input_text" for part in parts) and (result.plain or len(parts) == 1):
            output = "\n".join([part["text"] for part in parts])
        if result.is_error:
            output = _failed(output)
        kind = "custom_tool_call_output" if result.call_id in self._custom else "function_call_output"
        self._items.append({"type": kind, "call_id": call_id, "output": output})

    # -- earlier answers -------------------------------------------------------------------------------

    def _assistant(self, turn: Turn) -> None:
        """Write the items of an earlier answer in the order in which they were made."""
        content: list[Json] = []
        for block in turn.blocks:
            match block:
                case Text(text=text):
                    if block.cache is not None:
                        self._notes.yielded.append("cache_control")
                    self._about_text(block)
                    if text:
                        content.append({"type": "output_text", "text": text, "annotations": []})
                case Refusal(text=text):
                    content.append({"type": "refusal", "refusal": text})
                case _:
                    self._answered(content)
                    content = []
                    self._item(block)
        self._answered(content)

    def _answered(self, content: list[Json]) -> None:
        if len(content) == 1 and content[0]["type"] == "output_text":
            self._items.append({"role": "assistant", "content": content[0]["text"]})
        elif content:
            self._items.append({"type": "message", "role": "assistant", "content": content})

    def _item(self, block: Block) -> None:
        match block:
            case ToolCall():
                self._call(block)
            case Reasoning():
                self._reasoning(block)
            case Opaque(dialect="responses", value=value):
                self._items.append(value)
            case Opaque(kind=kind):
                self._notes.lacks(kind, "Responses has no such item; leave it out")
            case Audio():
                self._notes.lacks("audio", "Responses takes no sound; ask a target of kind openai")
            case _:
                self._notes.lacks("image", "Responses takes it from the user alone; move it there")

    def _call(self, call: ToolCall) -> None:
        if call.cache is not None:
            self._notes.yielded.append("cache_control")
        self._further(call.extras)
        called: Json = {"call_id": valid_id(call.id)}
        if call.custom:
            self._custom.add(call.id)
            self._items.append(
                {"type": "custom_tool_call", **called, "name": call.name, "input": call.arguments}
            )
            return
        name = short_name(call.name) if self._theirs else call.name
        self._items.append(
            {"type": "function_call", **called, "name": name, "arguments": call.arguments or "{}"}
        )

    def _reasoning(self, block: Reasoning) -> None:
        """It goes back whole to who made it; its text alone is nobody's."""
        item = proofs.item_of(block.signature, self._provider)
        if item is not None:
            self._items.append(item)
        else:
            self._notes.yielded.append("messages.thinking" if self._theirs else "reasoning_content")


def _failed(output: Any) -> Any:
    """A result that says that it is an error: there is no field for it."""
    if isinstance(output, str):
        said = output[:6].lower().startswith("error")
        return output if said else f"Error: {output}" if output else "Error"
    return [{"type": "input_text", "text": "Error:"}, *output]
