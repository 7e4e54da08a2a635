"""The messages of a chat completion request: who said what, which tools were called, what they gave."""

from typing import Any

from msgspec.structs import replace

from farthing.dialects.chat.fields import extras_of, invalid
from farthing.dialects.chat.reasoning import Placed, reasoning_of
from farthing.dialects.chat.requests.parts import read_content
from farthing.dialects.chat.requests.tools import arguments_of, name_of, read_call
from farthing.dialects.conversation import (
    NOTHING,
    Audio,
    Block,
    Opaque,
    Reasoning,
    Refusal,
    Stored,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from farthing.types import Json

_MESSAGE = frozenset({
    "role", "content", "name", "cache_control", "tool_calls", "tool_call_id", "function_call", "refusal",
    "audio", "is_error", "thinking_blocks", "reasoning_details", "reasoning_content", "reasoning",
})  # fmt: skip
_THOUGHT = frozenset({"type", "thinking", "signature", "data", "maker", "place"})
_CALL = frozenset({"id", "type", "function", "cache_control", "place"})
_RESULT = frozenset({"role", "content", "tool_call_id", "is_error", "cache_control", "turn"})
_SPEAKERS = ("user", "assistant", "system", "developer")
_REASONING = frozenset({"thinking_blocks", "reasoning_details", "reasoning_content", "reasoning"})
_ROLES = frozenset({"user", "assistant", "system", "developer", "tool", "function"})


def read_turns(messages: list[Any], own: str = "") -> tuple[tuple[Turn, ...], tuple[Turn, ...]]:
    """The instructions at the head, and what follows. `own`: as of `read_content`."""
    turns: list[Turn] = []
    head = 0
    calls: dict[str, str] = {}
    for index, message in enumerate(messages):
        if message.__class__ is not dict:
            raise invalid(f"messages[{index}]", "must be an object")
        role = message.get("role")
        content = message.get("content")
        if content.__class__ is str and len(message) == 2 and role in _SPEAKERS:
            turn = Turn(role, (Text(content),))
        elif role == "user" or role == "system" or role == "developer":
            turn = _turn(message, role, read_content(content, f"messages[{index}]", own), index)
        elif role == "assistant" and own:
            turn = _turn(message, role, _own_assistant(message, index, own), index)
        elif role == "assistant":
            turn = _turn(message, role, _assistant(message, index, calls), index)
        elif role == "tool":
            call_id = message.get("tool_call_id")
            if content.__class__ is str and len(message) == 3 and call_id.__class__ is str and call_id:
                turn = Turn("user", (ToolResult(call_id, (Text(content),)),))
            elif own:
                turn = Turn("user", (_own_result(message, index, own),), "", message.get("turn") or NOTHING)
            else:
                turn = Turn("user", (_result(message, index),))
        elif role == "function":
            turn = Turn("user", (_function_result(message, index, calls),))
        else:
            raise invalid(f"messages[{index}].role", f"must be one of {', '.join(sorted(_ROLES))}")
        if head == index and (turn.role == "system" or turn.role == "developer"):
            head += 1
        turns.append(turn)
    return tuple(turns[:head]), tuple(turns[head:])


def _turn(message: Json, role: Any, blocks: list[Block], index: int) -> Turn:
    mark = message.get("cache_control")
    if mark is not None and blocks:
        _mark(blocks, mark)
    name = message.get("name")
    if name is not None and name.__class__ is not str:
        raise invalid(f"messages[{index}].name", "must be a string")
    extras = NOTHING
    if len(message) > 2 and not message.keys() <= _MESSAGE:
        extras = {key: value for key, value in message.items() if key not in _MESSAGE and value is not None}
    return Turn(role, tuple(blocks), name or "", extras)


def _mark(blocks: list[Block], mark: Any) -> None:
    """Put the mark of a whole message on the last block that can have one."""
    for at in range(len(blocks) - 1, -1, -1):
        block = blocks[at]
        if isinstance(block, Refusal | Reasoning | Opaque):
            continue
        if block.cache is None:
            blocks[at] = replace(block, cache=mark)
        return


def _assistant(message: Json, index: int, calls: dict[str, str]) -> list[Block]:
    """The blocks of an earlier answer, in the order in which they were made, as far as chat tells."""
    where = f"messages[{index}]"
    content = message.get("content")
    blocks = [] if content is None else read_content(content, where)
    refusal, spoken = message.get("refusal"), message.get("audio")
    if refusal.__class__ is str and refusal:
        blocks.append(Refusal(refusal))
    if spoken.__class__ is dict and isinstance(spoken.get("id"), str):
        blocks.append(Audio(Stored(spoken["id"])))
    told = message.get("tool_calls")
    if told is not None:
        if told.__class__ is not list:
            raise invalid(f"{where}.tool_calls", "must be a list")
        calls_told = [read_call(call, where, at) for at, call in enumerate(told)]
        if content.__class__ is list:
            had = {block.id for block in blocks if isinstance(block, ToolCall)}  # told twice, in two forms
            calls_told = [call for call in calls_told if call.id not in had]
        blocks += calls_told
    function = message.get("function_call")
    if function is not None:
        if function.__class__ is not dict:
            raise invalid(f"{where}.function_call", "must be an object")
        name = name_of(function, f"{where}.function_call")
        calls[name] = f"function_{index}"
        blocks.append(ToolCall(calls[name], name, arguments_of(function, f"{where}.function_call")))
    if not _REASONING.isdisjoint(message) and not any(isinstance(block, Reasoning) for block in blocks):
        return with_reasoning(blocks, reasoning_of(message))
    return blocks


def _own_assistant(message: Json, index: int, own: str) -> list[Block]:
    """The blocks of an answer of another dialect, in their order."""
    where = f"messages[{index}]"
    blocks = read_content(message.get("content"), where, own)
    thoughts, calls = message.get("thinking_blocks") or (), message.get("tool_calls") or ()
    placed: list[tuple[int, Block]] = []
    thought: list[Block] = []
    for entry in thoughts:
        block: Block = replace(
            reasoning_of({"thinking_blocks": [entry]})[0][1],
            maker=entry.get("maker", "messages"),
            extras=extras_of(entry, _THOUGHT),
        )
        if "place" in entry:
            placed.append((entry["place"], block))
        else:
            thought.append(block)
    called: list[Block] = []
    for at, entry in enumerate(calls):
        call = read_call(entry, where, at)
        if len(entry) > 3:
            call = replace(call, extras=extras_of(entry, _CALL))
        if "place" in entry:
            placed.append((entry["place"], call))
        else:
            called.append(call)
    blocks = [*thought, *blocks, *called]
    for place, block in sorted(placed, key=_place):
        blocks.insert(place, block)
    return blocks


def _place(placed: tuple[int, Block]) -> int:
    return placed[0]


def _own_result(message: Json, index: int, own: str) -> ToolResult:
    result = _result(message, index, own)
    return replace(result, extras=extras_of(message, _RESULT))


def with_reasoning(blocks: list[Block], thought: list[Placed]) -> list[Block]:
    """`blocks` with what was thought at its place: behind `at` others, where all text counts as one."""
    texts = sum(not isinstance(block, ToolCall) for block in blocks)
    placed: dict[int, list[Block]] = {}
    for at, reasoning in thought:
        place = 0 if at == 0 else min(len(blocks), at - min(texts, 1) + texts)
        placed.setdefault(place, []).append(reasoning)
    merged: list[Block] = []
    for place in range(len(blocks) + 1):
        merged += placed.get(place, ())
        merged += blocks[place : place + 1]
    return merged


def _result(message: Json, index: int, own: str = "") -> ToolResult:
    call_id = message.get("tool_call_id")
    if call_id.__class__ is not str or not call_id:
        raise invalid(f"messages[{index}].tool_call_id", "must be the id of the call it answers")
    content = message.get("content")
    plain = content.__class__ is str or content is None
    blocks = read_content(content, f"messages[{index}]", own)
    if len(message) == 3:
        return ToolResult(call_id, tuple(blocks), plain=plain)
    name = message.get("name")
    return ToolResult(
        call_id,
        tuple(blocks),
        is_error=message.get("is_error") is True,
        name=name if isinstance(name, str) else "",
        cache=message.get("cache_control"),
        plain=plain,
    )


def _function_result(message: Json, index: int, calls: dict[str, str]) -> ToolResult:
    """What a legacy function gave; it belongs to the last call of that name."""
    name = name_of(message, f"messages[{index}]")
    called = calls.get(name)
    if called is None:
        raise invalid(f"messages[{index}].name", "answers a function that was not called")
    blocks = read_content(message.get("content"), f"messages[{index}]")
    return ToolResult(called, tuple(blocks), name=name, cache=message.get("cache_control"))
