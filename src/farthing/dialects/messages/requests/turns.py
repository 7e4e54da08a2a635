"""The turns of a conversation as the `messages` of Messages, and its instructions as `system`."""

from typing import Any

from farthing.dialects.call_inputs import InputReader
from farthing.dialects.conversation import (
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
    Source,
    Stored,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from farthing.dialects.messages.citations import without_unsigned
from farthing.dialects.messages.requests.notes import Notes, marked
from farthing.dialects.proofs import is_signed
from farthing.dialects.turns import TurnsByCallId
from farthing.types import Json

PLACEHOLDER = "."
"""What a user says where the conversation begins with an answer, or holds instructions alone, or where the
model would go on with an answer that it is not to go on with: Messages wants a user first and last, and words
that say something."""
_UNMARKED = ("thinking", "redacted_thinking")
"""Blocks on which a mark for the prefix cache is refused."""
_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})


class TurnWriter(TurnsByCallId):
    """Writes the turns of one conversation."""

    __slots__ = ("_inputs", "_notes", "_own")

    def __init__(self, notes: Notes) -> None:
        super().__init__()
        self._notes = notes
        self._own = notes.said.dialect == "messages"
        """It came as Messages: fields and blocks without a name here go up as they came."""
        self._inputs = InputReader()

    def system(self, turns: tuple[Turn, ...]) -> list[Json]:
        """The instructions that stand before all else."""
        return [block for turn in turns for block in self._instructions(turn)]

    def messages(self, turns: tuple[Turn, ...]) -> list[Json]:
        """All turns, in order."""
        self._write(turns)
        messages = self._messages
        first = next((message for message in messages if message["role"] != "system"), None)
        if first is None or first["role"] == "assistant":
            messages.insert(0, {"role": "user", "content": [{"type": "text", "text": PLACEHOLDER}]})
        last = messages[-1]
        if last["role"] == "assistant" and self._notes.said.dialect == "responses":  # answered anew there
            messages.append({"role": "user", "content": [{"type": "text", "text": PLACEHOLDER}]})
        elif last["role"] == "assistant":
            self._prefill(last["content"])
        return messages

    def _instruct(self, turn: Turn) -> None:
        blocks = self._instructions(turn)
        if not blocks:
            return
        if self._own or self._notes.abilities.system_in_place:
            self._messages.append(self._more({"role": "system", "content": blocks}, turn.extras))
        else:  # in its place all the same: at the head it would change the prefix of every later request
            self._into("user").extend(
                {**block, "text": f"<system>\n{block['text']}\n</system>"} for block in blocks
            )

    def _instructions(self, turn: Turn) -> list[Json]:
        self._named(turn)
        self._unknown(turn.extras)
        written = []
        for block in turn.blocks:
            if isinstance(block, Text):
                if block.text and not block.text.isspace():
                    written.append(self._text(block))
                elif written and block.cache is not None:
                    written[-1].setdefault("cache_control", block.cache)
            else:
                self._notes.cannot(block)
        return written

    def _named(self, turn: Turn) -> None:
        if turn.name:
            self._notes.unsaid.append("messages.name")

    def _further(self, turn: Turn) -> None:
        """Put the fields of a turn that have no name here on the message that it went into."""
        self._unknown(turn.extras)
        if turn.extras and self._own:
            for name, value in turn.extras.items():
                self._messages[-1].setdefault(name, value)

    def _unknown(self, extras: Json) -> None:
        """Note fields of chat's messages and parts that nobody knows. They give way: clients send back what
        they were answered with, and it holds what their last provider added."""
        if extras and not self._own:
            where = self._notes.said.name_of("messages")
            self._notes.yielded += [f"{where}.{name}" for name in extras]

    def _user(self, turn: Turn) -> None:
        if turn.name:
            self._named(turn)
        results: list[Json] = []
        others: list[Json] = []
        for block in turn.blocks:
            if block.__class__ is ToolResult:
                results.append(self._result(block))
            else:
                self._add(others, block)
        if not results and not others:
            return
        self._put(results, others)
        self._further(turn)

    def _assistant(self, turn: Turn) -> None:
        if turn.name:
            self._named(turn)
        written: list[Json] = []
        for block in turn.blocks:
            if block.__class__ is ToolCall:
                written.append(self._call(block))
            else:
                self._add(written, block)
        if written:
            self._into("assistant").extend(written)
            self._further(turn)

    def _prefill(self, content: list[Json]) -> None:
        """An answer to be gone on with must not end in white space."""
        last = content[-1]
        if last["type"] == "text":
            content[-1] = {**last, "text": last["text"].rstrip()}

    def _add(self, into: list[Json], block: Block) -> None:
        if block.__class__ is Text:
            if block.text and not block.text.isspace():
                plain = not (block.cache or block.extras or block.citations or self._own)
                into.append({"type": "text", "text": block.text} if plain else self._text(block))
            elif into and block.cache is not None and into[-1]["type"] not in _UNMARKED:
                into[-1] = {"cache_control": block.cache, **into[-1]}  # it may be the client's own object
            return
        written = self._other(block)
        if written is not None:
            into.append(written)

    def _text(self, block: Text) -> Json:
        written: Json = {"type": "text", "text": block.text}
        if block.cache is not None:
            written["cache_control"] = block.cache
        if block.citations and self._own:
            cited = self._cited(block.citations)
            if cited:
                written["citations"] = cited
        elif block.citations:
            self._notes.yielded.append(self._notes.said.name_of("messages.citations"))
        self._unknown(block.extras)
        return self._more(written, block.extras)

    def _cited(self, citations: tuple[Json, ...]) -> list[Json]:
        """Those of `citations` that the model takes."""
        if not self._notes.abilities.signs:
            return list(citations)
        cited = without_unsigned(citations)
        if len(cited) != len(citations):
            self._notes.yielded.append("messages.citations")
        return cited

    def _more(self, written: Json, extras: Json) -> Json:
        """With the fields that have no name here, where they are of Messages."""
        return {**extras, **written} if extras and self._own else written

    def _other(self, block: Block) -> Json | None:
        """A block as Messages has it; None where it has none, which is noted."""
        match block:
            case Image():
                return self._image(block)
            case Document():
                return self._document(block)
            case Reasoning():
                return self._reasoning(block)
            case Refusal(text=text):
                return {"type": "text", "text": text} if text.strip() else None
            case Opaque(dialect="messages", value=value):
                return value  # type: ignore[no-any-return]
            case ToolCall():
                return self._call(block)
            case ToolResult():
                return self._result(block)
            case Text():
                return self._text(block)
            case _:
                self._notes.cannot(block)
                return None

    def _image(self, block: Image) -> Json | None:
        given = self._source(block.source)
        if given is None:
            return None
        if block.detail and block.detail != "auto":
            self._notes.yielded.append(self._notes.said.name_of("image_url.detail"))
        return self._more(marked({"type": "image", "source": given}, block.cache), block.extras)

    def _document(self, block: Document) -> Json | None:
        given = self._source(block.source)
        if given is None:
            return None
        written: Json = {"type": "document", "source": given}
        if block.name:
            written["title"] = block.name
        return self._more(marked(written, block.cache), block.extras)

    def _lacks(self, name: str) -> None:
        self._notes.unsaid.append(self._notes.said.name_of(name))

    def _source(self, source: Source) -> Json | None:
        match source:
            case Inline(media_type=media_type, data=data):
                if media_type in _IMAGES or media_type == "application/pdf" or self._own:
                    return {"type": "base64", "media_type": media_type, "data": data}
                self._lacks("image_url" if media_type.startswith("image/") else "file")
                return None
            case Link(url=url):
                return {"type": "url", "url": url}
            case Plain(text=text):
                return {"type": "text", "media_type": "text/plain", "data": text}
            case Composed(blocks=blocks):
                content: list[Json] = []
                for block in blocks:
                    self._add(content, block)
                return {"type": "content", "content": content}
            case Stored():
                if self._own:
                    return {"type": "file", "file_id": source.id}
                self._lacks("file_id")
                return None

    def _reasoning(self, block: Reasoning) -> Json | None:
        if block.maker == "messages":
            if block.redacted:
                return self._more({"type": "redacted_thinking", "data": block.redacted}, block.extras)
            if is_signed(block.signature) or (self._own and not self._notes.abilities.signs):
                written = {"type": "thinking", "thinking": block.text, "signature": block.signature}
                return self._more(written, block.extras)
            if block.text and not self._notes.abilities.signs:
                return {"type": "thinking", "thinking": block.text}
        name = "messages.thinking" if self._own else self._notes.said.name_of("reasoning_content")
        self._notes.yielded.append(name)
        return None

    def _call(self, call: ToolCall) -> Json:
        self._open.add(call.id)
        given = {"input": call.arguments} if call.custom else self._inputs.read(call.arguments)
        written: Json = {"type": "tool_use", "id": self._ids.new(call.id), "name": call.name, "input": given}
        if call.cache is not None:
            written["cache_control"] = call.cache
        self._unknown(call.extras)
        return self._more(written, call.extras)

    def _result(self, result: ToolResult) -> Json:
        self._open.discard(result.call_id)
        written: Json = {"type": "tool_result", "tool_use_id": self._ids.of(result.call_id)}
        mark = result.cache
        blocks = result.blocks
        if len(blocks) == 1 and result.plain and blocks[0].__class__ is Text:
            text: Any = blocks[0]
            if text.text:
                written["content"] = text.text
            mark = text.cache if mark is None else mark
        else:
            content: list[Json] = []
            for block in blocks:
                self._add(content, block)
            for at, block_written in enumerate(content):
                inner = block_written.get("cache_control")
                if inner is not None:  # refused inside a result: it stands for the same place on the result
                    mark = inner if mark is None else mark
                    content[at] = {k: v for k, v in block_written.items() if k != "cache_control"}
            if content:
                written["content"] = content
        if result.is_error:
            written["is_error"] = True
        return self._more(marked(written, mark), result.extras)

    def _answered(self, block: Json) -> str | None:
        return block.get("tool_use_id", "") if block.get("type") == "tool_result" else None
