"""The items of a request of Responses, as turns of a conversation.

An answer of a model is several items there (what it thought, what it said, each call), and one turn here.
What the tools gave comes right after it, in the order of the calls. Items are told from each other by `type`,
messages by `role` alone too.
"""

from typing import Any

from msgspec.structs import replace

from farthing.dialects.chat.fields import extras_of, invalid
from farthing.dialects.conversation import (
    NOTHING,
    Block,
    Opaque,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from farthing.dialects.responses import envelopes, tools
from farthing.dialects.responses.requests.compaction import TRIGGER, told_summary
from farthing.dialects.responses.requests.content import FOREIGN, more_of, read_content
from farthing.dialects.responses.tools import ToolNames, arguments_of
from farthing.types import Json

OF_THE_CLIENT = frozenset({
    "apply_patch_call_output", "computer_call_output", "configuration_update", "local_shell_call_output",
    "mcp_approval_response", "program_output", "shell_call_output",
    "tool_search_output",
})  # fmt: skip
"""Items of tools that only providers of Responses know, which the client sends; all others are a model's."""
BREAK = Text("\n\n")
"""Between two messages of one answer."""
_PARTS = FOREIGN.keys() | {"input_audio", "input_file", "input_image", "input_text", "output_text", "refusal"}
"""Kinds of parts, which stand in the content of an item."""
_ROLES = ("user", "assistant", "system", "developer")
_DIRECT: Json = {"type": "direct"}
_MESSAGE = frozenset({"type", "role", "content", "id", "status", "phase"})
_CALL = frozenset({
    "type", "call_id", "name", "namespace", "arguments", "input", "id", "status", "caller", "async",
})  # fmt: skip
_OUTPUT = frozenset({"type", "call_id", "output", "id", "status", "name", "namespace", "caller"})
_REASONING = frozenset({"type", "id", "summary", "content", "encrypted_content", "status"})
_THOUGHT = frozenset({"type", "thinking", "signature", "data", "maker", "place"})
"""Fields that the form of the pipeline has for a thought, which none within an envelope must be taken for."""


class ItemReader:
    """Reads the items of one request."""

    __slots__ = ("_answer", "_calls", "_names", "_results", "_said", "turns")

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        self.turns: list[Turn] = []
        self._answer: list[Block] = []
        """Blocks of the answer that is being read."""
        self._said = False
        """The last of them belong to a message."""
        self._results: list[ToolResult] = []
        """What the tools gave that the answer before them called."""
        self._calls: dict[str, int] = {}
        """The place of each call in the last answer."""

    def read(self, items: list[Any]) -> list[Turn]:
        last = len(items) - 1
        for at, item in enumerate(items):
            if item.__class__ is not dict:
                raise invalid(f"input[{at}]", "must be an object")
            if at == last and item.get("type") == TRIGGER:
                break
            self._item(item, f"input[{at}]")
        self._end_answer()
        self._end_results()
        return self.turns

    def _item(self, item: Json, where: str) -> None:
        kind = item.get("type")
        if kind is None:
            kind = "message" if "role" in item else "item_reference" if "id" in item else None
        match kind:
            case "message":
                self._message(item, where)
            case "function_call" | "custom_tool_call":
                self._made(self._call(item, kind, where))
            case "function_call_output" | "custom_tool_call_output":
                self._result(item, kind, where)
            case "reasoning":
                self._made(_reasoning(item, where))
            case "compaction" | "compaction_summary":
                self._compaction(item, kind, where)
            case tools.ADDITIONAL:
                pass  # they are read with the other tools
            case "item_reference":
                raise invalid(where, "refers to an item that is stored elsewhere; send the item itself")
            case "compaction_trigger":
                raise invalid(f"{where}.type", "`compaction_trigger` must be the last item")
            case str() if kind and kind not in _PARTS:
                self._other(item, kind)
            case _:
                raise invalid(f"{where}.type", "must name the kind of the item")

    def _message(self, item: Json, where: str) -> None:
        role = item.get("role")
        if role not in _ROLES:
            raise invalid(f"{where}.role", "must be user, assistant, system or developer")
        content = item.get("content")
        blocks: list[Block] = (
            [Text(content)] if content.__class__ is str else read_content(content, f"{where}.content")
        )
        extras = NOTHING if item.keys() <= _MESSAGE else more_of(item, _MESSAGE, where)
        if role == "assistant" and not extras:
            self._begin_answer()
            if self._said and self._answer:
                self._answer.append(BREAK)
            self._answer += blocks
            self._said = True
        else:
            self._turn(role, blocks, extras)

    def _made(self, block: Block) -> None:
        """Add what the model did beside what it said."""
        self._begin_answer()
        if isinstance(block, ToolCall):
            self._calls[block.id] = len(self._calls)
        self._answer.append(block)
        self._said = False

    def _call(self, item: Json, kind: str, where: str) -> ToolCall:
        call_id, name, namespace = item.get("call_id"), item.get("name"), item.get("namespace")
        if call_id.__class__ is not str or not call_id:
            raise invalid(f"{where}.call_id", "must be the id of the call")
        if name.__class__ is not str or not name:
            raise invalid(f"{where}.name", "must be the name of the tool")
        if namespace is not None and namespace.__class__ is not str:
            raise invalid(f"{where}.namespace", "must be a string")
        field = "arguments" if kind == "function_call" else "input"
        told = item.get(field)
        if told.__class__ is not str:
            raise invalid(f"{where}.{field}", "must be a string")
        arguments = told if kind == "function_call" else arguments_of(told)
        return ToolCall(
            call_id, self._names.flat(name, namespace or ""), arguments, extras=_further(item, _CALL, where)
        )

    def _result(self, item: Json, kind: str, where: str) -> None:
        call_id, output = item.get("call_id"), item.get("output")
        if (
            call_id is None and item.get("name") is not None
        ):  # nobody called it, and no other dialect has that
            self._turn("user", [Opaque("responses", kind, item)], NOTHING)
            return
        if call_id.__class__ is not str or not call_id:
            raise invalid(f"{where}.call_id", "must be the id of the call it answers")
        if output.__class__ is not str and output.__class__ is not list:
            raise invalid(f"{where}.output", "must be a string or a list of parts")
        plain = output.__class__ is str
        blocks = tuple(read_content(output, f"{where}.output"))
        extras = _further(item, _OUTPUT, where)
        self._end_answer()
        self._results.append(ToolResult(call_id, blocks, plain=plain, extras=extras))

    def _compaction(self, item: Json, kind: str, where: str) -> None:
        held = item.get("encrypted_content")
        if held.__class__ is not str or not held:
            raise invalid(f"{where}.encrypted_content", "must be a string")
        summary = envelopes.summary_of(held)
        if summary is not None:
            self._turn("user", [told_summary(summary)], NOTHING)
        elif envelopes.is_ours(held):
            raise invalid(f"{where}.encrypted_content", "is no summary that this gateway has given")
        else:
            self._turn("user", [Opaque("responses", kind, item)], NOTHING)

    def _other(self, item: Json, kind: str) -> None:
        """An item of a tool that a provider runs, or that only its models know."""
        if kind in OF_THE_CLIENT:
            self._turn("user", [Opaque("responses", kind, item)], NOTHING)
        else:
            self._made(Opaque("responses", kind, item))

    def _turn(self, role: Role, blocks: list[Block], extras: Json) -> None:
        self._end_answer()
        self._end_results()
        self.turns.append(Turn(role, tuple(blocks), "", extras))

    def _begin_answer(self) -> None:
        if not self._answer:
            self._end_results()
            self._calls.clear()
            self._said = False

    def _end_answer(self) -> None:
        if self._answer:
            self.turns.append(Turn("assistant", tuple(self._answer)))
            self._answer = []

    def _end_results(self) -> None:
        """Write what the tools gave, in the order of the calls; what answers none of them is last."""
        results = self._results
        if not results:
            return
        if len(results) > 1:
            none = len(self._calls)
            results.sort(key=lambda one: self._calls.get(one.call_id, none))
        self.turns.append(Turn("user", tuple(results)))
        self._results = []


def _further(item: Json, known: frozenset[str], where: str) -> Json:
    """The fields of a call or its output that have no name here; who called it, unless it was the model."""
    extras = more_of(item, known, where)
    caller = item.get("caller")
    if caller is not None and caller != _DIRECT:
        return {**extras, "caller": caller}
    return extras


def _reasoning(item: Json, where: str) -> Reasoning:
    held = item.get("encrypted_content")
    if held is not None and held.__class__ is not str:
        raise invalid(f"{where}.encrypted_content", "must be a string")
    told = _texts(item, "content", where) or _texts(item, "summary", where)
    if not held:
        return Reasoning(told)
    if envelopes.is_ours(held):
        ours = envelopes.reasoning_of(held)
        return Reasoning(told) if ours is None else replace(ours, extras=extras_of(ours.extras, _THOUGHT))
    extras: Json = {name: item[name] for name in ("id", "summary", "content", "status") if name in item}
    return Reasoning(told, "", held, "responses", {**extras, **more_of(item, _REASONING, where)})


def _texts(item: Json, field: str, where: str) -> str:
    parts = item.get(field)
    if parts is None:
        return ""
    if parts.__class__ is not list:
        raise invalid(f"{where}.{field}", "must be a list")
    texts: list[str] = []
    for at, part in enumerate(parts):
        text = part.get("text") if part.__class__ is dict else None
        if text.__class__ is not str:
            raise invalid(f"{where}.{field}[{at}].text", "must be a string")
        texts.append(text)
    return "\n\n".join(texts)
