"""The turns of a conversation as the `messages` of Converse, and its instructions as `system`.

Roles alternate, a user begins and no text is blank. The results of the calls of one turn stand together,
first, in the order of the calls.
"""

from typing import Any

from farthing.dialects import proofs
from farthing.dialects.call_inputs import InputReader
from farthing.dialects.chat.fields import is_billing
from farthing.dialects.conversation import (
    Audio,
    Block,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from farthing.dialects.converse.answers.answer_reader import REDACTED, SIGNATURE
from farthing.dialects.converse.requests.notes import Notes
from farthing.dialects.converse.requests.sources import SourceWriter
from farthing.dialects.turns import TurnsByCallId
from farthing.types import Json

PLACEHOLDER = "."
"""What a user says where the conversation begins with an answer, or a document stands alone: words are wanted
that say something."""
EMPTY = "(empty)"
"""What stands for the result of a tool that gave nothing."""


class TurnWriter(TurnsByCallId):
    """Writes the turns of one conversation."""

    __slots__ = ("_inputs", "_notes", "_provider", "_sources", "_told")

    def __init__(self, notes: Notes, provider: str, *, told: bool) -> None:
        """`provider` is who gets back what it thought. `told`: calls and results are told as texts, since no
        tool is to be called."""
        super().__init__()
        self._notes = notes
        self._provider = provider
        self._told = told
        self._sources = SourceWriter(notes)
        self._inputs = InputReader()

    def system(self, turns: tuple[Turn, ...]) -> list[Json]:
        """The instructions that stand before all else."""
        written: list[Json] = []
        for turn in turns:
            self._instructions(turn, written)
        return written

    def messages(self, turns: tuple[Turn, ...]) -> list[Json]:
        """All turns, in order."""
        self._write(turns)
        for content in self._mixed:
            content[:] = [
                one for at, one in enumerate(content) if not at or not _both_points(one, content[at - 1])
            ]
        messages = self._messages
        if not messages or messages[0]["role"] == "assistant":
            messages.insert(0, {"role": "user", "content": [{"text": PLACEHOLDER}]})
        last = messages[-1]
        if last["role"] == "assistant" and self._notes.said.dialect == "responses":  # answered anew there
            messages.append({"role": "user", "content": [{"text": PLACEHOLDER}]})
        elif last["role"] == "assistant" and "text" in last["content"][-1]:  # to be gone on with
            last["content"][-1] = {"text": last["content"][-1]["text"].rstrip()}
        for message in messages:
            _accompany(message["content"])
        return messages

    def _instruct(self, turn: Turn) -> None:
        written: list[Json] = []
        self._instructions(turn, written)
        if written:  # in its place: at the head it would change the prefix of every later request
            into = self._into("user")
            for block in written:
                told = block if "text" not in block else {"text": f"<system>\n{block['text']}\n</system>"}
                into.append(told)

    def _instructions(self, turn: Turn, written: list[Json]) -> None:
        self._named(turn)
        for block in turn.blocks:
            if not isinstance(block, Text):
                self._sources.write(block)
            elif self._notes.said.dialect == "messages" and is_billing(block.text):
                self._notes.yielded.append("x-anthropic-billing-header")
            elif block.text and not block.text.isspace():
                written.append({"text": block.text})
                self._notes.mark(written, block.cache)
            else:
                self._notes.mark(written, block.cache)

    def _named(self, turn: Turn) -> None:
        if turn.name:
            self._notes.unsaid.append("messages.name")
        self._notes.unknown(turn.extras)

    def _user(self, turn: Turn) -> None:
        self._named(turn)
        results: list[Json] = []
        others: list[Json] = []
        for block in turn.blocks:
            if not isinstance(block, ToolResult):
                self._add(others, block)
            elif self._told:
                self._tell_result(others, block)
            else:
                self._result(results, block)
        if results or others:
            self._put(results, others)

    def _assistant(self, turn: Turn) -> None:
        self._named(turn)
        written: list[Json] = []
        for block in turn.blocks:
            if not isinstance(block, ToolCall):
                self._add(written, block)
            elif self._told:
                called = f'<tool_call name="{block.name}">\n{block.arguments}\n</tool_call>'
                self._add(written, Text(called, block.cache))
            else:
                written.append(self._call(block))
                self._notes.mark(written, block.cache)
        if written:
            self._into("assistant").extend(written)

    def _add(self, into: list[Json], block: Block) -> None:
        if isinstance(block, Text):
            if block.text and not block.text.isspace():
                into.append({"text": block.text})
                if block.citations:
                    self._notes.yielded.append(self._notes.said.name_of("messages.citations"))
                self._notes.unknown(block.extras)
            self._notes.mark(into, block.cache)
            return
        if isinstance(block, Refusal):
            written: Json | None = {"text": block.text} if block.text.strip() else None
        elif isinstance(block, Reasoning):
            written = self._reasoning(block)
        else:
            written = self._sources.write(block)
        if written is not None:
            into.append(written)
            self._notes.mark(into, getattr(block, "cache", None))

    def _reasoning(self, block: Reasoning) -> Json | None:
        """What was thought, if it was by this provider: no other can prove it."""
        item = proofs.item_of(block.signature, self._provider) if self._provider else None
        if item is not None and isinstance(item.get(SIGNATURE), str):
            return {"reasoningContent": {"reasoningText": {"text": block.text, SIGNATURE: item[SIGNATURE]}}}
        if item is not None and isinstance(item.get(REDACTED), str):
            return {"reasoningContent": {REDACTED: item[REDACTED]}}
        own = self._notes.said.dialect == "messages"
        self._notes.yielded.append(
            "messages.thinking" if own else self._notes.said.name_of("reasoning_content")
        )
        return None

    def _call(self, call: ToolCall) -> Json:
        self._open.add(call.id)
        given: Any = {"input": call.arguments} if call.custom else self._inputs.read(call.arguments)
        self._notes.unknown(call.extras)
        name = self._notes.tool_name(call.name)
        return {"toolUse": {"toolUseId": self._ids.new(call.id), "name": name, "input": given}}

    def _result(self, into: list[Json], result: ToolResult) -> None:
        self._open.discard(result.call_id)
        content: list[Json] = []
        for block in result.blocks:
            if isinstance(block, Audio):
                self._notes.lacks("input_audio", "results of tools hold no sound at Bedrock; send its words")
            else:
                self._add(content, block)
        mark = result.cache
        if any("cachePoint" in block for block in content):  # it stands behind the result
            mark = {"ttl": next(one["cachePoint"].get("ttl") for one in content if "cachePoint" in one)}
            content = [block for block in content if "cachePoint" not in block]
        told: Json = {"toolUseId": self._ids.of(result.call_id), "content": content or [{"text": EMPTY}]}
        if result.is_error and self._notes.abilities.failed_results:
            told["status"] = "error"
        elif result.is_error:
            self._notes.yielded.append(self._notes.said.name_of("is_error"))
        into.append({"toolResult": told})
        self._notes.mark(into, mark)

    def _tell_result(self, into: list[Json], result: ToolResult) -> None:
        """The result of a tool as a text, with what else it holds behind it."""
        texts = [block.text for block in result.blocks if isinstance(block, Text)]
        self._add(into, Text("<tool_result>\n" + "\n".join(texts) + "\n</tool_result>", result.cache))
        for block in result.blocks:
            if not isinstance(block, Text):
                self._add(into, block)

    def _answered(self, block: Json) -> str | None:
        result = block.get("toolResult")
        return None if result is None else str(result["toolUseId"])


def _both_points(one: Json, before: Json) -> bool:
    return "cachePoint" in one and "cachePoint" in before


def _accompany(content: list[Json]) -> None:
    """Have a text stand beside a document, which Converse wants."""
    if any("document" in block for block in content) and not any("text" in block for block in content):
        content.append({"text": PLACEHOLDER})
