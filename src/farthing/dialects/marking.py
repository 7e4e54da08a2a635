"""Our marks for a provider's prompt cache in the model of a conversation: every dialect that has a word for
them writes them as it writes a client's own.

A provider looks back only some blocks from a mark for what it has cached, so that a turn of many blocks (a
dozen tools called at once) would not find the turn before it. The last turns are therefore marked each
`BLOCKS_APART` blocks, as far as the number of marks allows. A mark that moves changes no prefix.
"""

from typing import Any, Final

from farthing.dialects.conversation import (
    Conversation,
    CustomTool,
    Document,
    FunctionTool,
    Image,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from farthing.types import CacheMarks, Json, replace

MARKS_MAX: Final = 4
BLOCKS_APART: Final = 15
"""Providers look back 20 blocks."""


def mark_of(life: str) -> Json:
    """The mark (`cache_control`) of what is to stay for `5m` or `1h`."""
    return {"type": "ephemeral"} if life == "5m" else {"type": "ephemeral", "ttl": life}


def turns_marked_max(marks: CacheMarks) -> int:
    """How many marks there may be among the turns."""
    return MARKS_MAX - bool(marks.tools) - bool(marks.system)


class Places:
    """Which blocks of the turns are marked, asked from the last one to the first."""

    __slots__ = ("_left", "_next", "_passed")

    def __init__(self, marks: CacheMarks) -> None:
        self._left = turns_marked_max(marks) if marks.turns else 0
        self._passed = 0
        self._next = 0

    @property
    def done(self) -> bool:
        return not self._left

    def passes(self, blocks: int) -> bool:
        """Whether none of the next `blocks` is to be marked, which are then passed."""
        passed = self._passed + blocks
        if self._left > 0 and passed > self._next:
            return False
        self._passed = passed
        return True

    def takes(self, *, may: bool) -> bool:
        """Whether the next block is marked, which may be or may not."""
        here = may and self._left > 0 and self._passed >= self._next
        if here:
            self._left -= 1
            self._next = self._passed + BLOCKS_APART
        self._passed += 1
        return here


def with_marks(said: Conversation, marks: CacheMarks) -> Conversation:
    """`said` with marks; itself where it has any of its own."""
    if _is_marked(said):
        return said
    changes: dict[str, Any] = {}
    if marks.tools and said.tools and isinstance(said.tools[-1], FunctionTool | CustomTool):
        changes["tools"] = (*said.tools[:-1], replace(said.tools[-1], cache=mark_of(marks.tools)))
    if marks.system and said.system:
        changes["system"] = _with_last(said.system, mark_of(marks.system))
    if marks.turns:
        changes["turns"] = _marked_turns(said.turns, marks)
    return replace(said, **changes) if changes else said


def _is_marked(said: Conversation) -> bool:
    turns = (*said.system, *said.turns)
    return any([getattr(one, "cache", None) for one in said.tools]) or any(
        [getattr(block, "cache", None) for turn in turns for block in turn.blocks]
    )


def _with_last(turns: tuple[Turn, ...], mark: Json) -> tuple[Turn, ...]:
    """With a mark on the last text of the last turn."""
    last = turns[-1]
    if not last.blocks or not _may_be_marked(last.blocks[-1]):
        return turns
    marked = (*last.blocks[:-1], replace(last.blocks[-1], cache=mark))
    return (*turns[:-1], replace(last, blocks=marked))


def _marked_turns(turns: tuple[Turn, ...], marks: CacheMarks) -> tuple[Turn, ...]:
    places, mark = Places(marks), mark_of(marks.turns)
    found = list(turns)
    for at in range(len(turns) - 1, -1, -1):
        if places.done:
            break
        turn = turns[at]
        own = turn.role in ("user", "assistant")
        blocks = list(turn.blocks)
        for index in range(len(blocks) - 1, -1, -1):
            if places.takes(may=own and _may_be_marked(blocks[index])):
                blocks[index] = replace(blocks[index], cache=mark)
                found[at] = replace(turn, blocks=tuple(blocks))
    return tuple(found)


def _may_be_marked(block: Any) -> bool:
    if isinstance(block, Text):
        return bool(block.text) and not block.text.isspace()
    return isinstance(block, Image | Document | ToolCall | ToolResult)
