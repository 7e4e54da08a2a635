"""Messages of chat completions for hosts that refuse in them what they do not know, or demand what others do
not give.

Clients send back the answers that they got, with all that the provider of each has added: its thoughts, their
proofs, marks for its cache. Behind a gateway the next turn may be another provider's.
"""

import operator
from typing import Any

from farthing.dialects.gemini import signatures
from farthing.dialects.gemini.models import abilities
from farthing.types import Json

THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""What hosts call the text of what was thought, those first that most have."""
_MESSAGE = frozenset({"role", "content", "name", "tool_calls", "tool_call_id", "prefix"})
_CALL = frozenset({"id", "type", "function", "index"})
_TOOL = frozenset({"type", "function"})
_MARK = "cache_control"


class StrictFit:
    """Fits the messages and tools of one request."""

    __slots__ = ("_gave_way", "_noted", "_thoughts")

    def __init__(self, thoughts: str, gave_way: list[str]) -> None:
        """`thoughts`: what the host calls what was thought; empty: it takes none. Names of what is left out
        are added to `gave_way`."""
        self._thoughts = thoughts
        self._gave_way = gave_way
        self._noted: set[str] = set()

    def message(self, message: Json) -> Json:
        """The message with the fields alone that are known; itself if it has no others."""
        changed: Json = {}
        content, calls = message.get("content"), message.get("tool_calls")
        if isinstance(content, list):
            changed["content"] = [self._part(one) for one in content]
        if isinstance(calls, list):
            changed["tool_calls"] = [self._only(one, _CALL, "messages") for one in calls]
        if message.keys() <= _MESSAGE:
            same = all(_same(value, message[name]) for name, value in changed.items())
            return message if same else {**message, **changed}
        found = _thought_in(message)
        told = {self._thoughts: found} if self._thoughts and found else {}
        known = _MESSAGE.union(THOUGHTS, ("thinking_blocks", "reasoning_details")) if told else _MESSAGE
        self._left_out(message, known, "messages")
        kept = {name: value for name, value in message.items() if name in _MESSAGE}
        return {**kept, **changed, **told}

    def tools(self, tools: list[Any]) -> list[Any]:
        return [self._only(tool, _TOOL, "tools") for tool in tools]

    def _part(self, part: Any) -> Any:
        if not isinstance(part, dict) or _MARK not in part:
            return part
        self._note(_MARK)
        return {name: value for name, value in part.items() if name != _MARK}

    def _only(self, fields: Any, known: frozenset[str], where: str) -> Any:
        if not isinstance(fields, dict) or fields.keys() <= known:
            return fields
        self._left_out(fields, known, where)
        return {name: value for name, value in fields.items() if name in known}

    def _left_out(self, fields: Json, known: frozenset[str], where: str) -> None:
        for name, value in fields.items():
            if name not in known and value:
                self._note(_MARK if name == _MARK else f"{where}.{name}")

    def _note(self, name: str) -> None:
        if name not in self._noted:
            self._noted.add(name)
            self._gave_way.append(name)


def _thought_in(message: Json) -> str:
    """What was thought before an answer; empty: nobody has told it."""
    for name in THOUGHTS:
        told = message.get(name)
        if isinstance(told, str) and told:
            return told
    return ""


def _same(one: list[Any], other: list[Any]) -> bool:
    return not any(map(operator.is_not, one, other))


def signs(model: str) -> bool:
    """Whether it is a model that wants its calls back with their proofs."""
    name = model.rpartition("/")[2]
    return name.startswith("gemini") and abilities(name).signs


def with_thoughts(message: Json) -> Json:
    """An answer with calls, and what was thought before them under the name that the models know which refuse
    it without; white space where nobody has told it."""
    if message.get("reasoning_content") or not message.get("tool_calls"):
        return message
    return {**message, "reasoning_content": _thought_in(message) or " "}


def with_proof(message: Json) -> Json:
    """An answer with calls, the first of which has the value that Google documents for calls that another
    model has made, if it has no proof."""
    calls = message["tool_calls"]
    first = calls[0] if isinstance(calls, list) else None
    if not isinstance(first, dict) or signatures.at(first):
        return message
    extra = first.get(signatures.EXTRA)
    proof = signatures.told_at_call(signatures.ANY)[signatures.EXTRA]
    told = {**first, signatures.EXTRA: {**extra, **proof} if isinstance(extra, dict) else proof}
    return {**message, "tool_calls": [told, *calls[1:]]}
